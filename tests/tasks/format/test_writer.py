"""Writing task directories: what is in them, and what a stop, a fault or a rerun leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support import sound_reader

from harness.core import progress
from harness.core.errors import UserError
from hear_byola.core.locks import claimed
from tasks.check import check_task
from tasks.format.newtask import NewClip, NewTask
from tasks.format.tables import Event
from tasks.format.task import read_task
from tasks.format.writer import write_task

SPLITS = ("train", "valid", "test")


def new_task(clips: tuple[NewClip, ...], **changes: Any) -> NewTask:
    fields: dict[str, Any] = {
        "task_name": "made",
        "version": "v1",
        "mode": "full",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest",
        "splits": SPLITS,
        "evaluation": ("top1_acc",),
        "sample_duration": 0.1,
        "labels": ("a", "b"),
        "clips": clips,
    }
    return NewTask(**fields | changes)


def noises(folder: Path, n: int = 12) -> tuple[NewClip, ...]:
    """Clips of noise; which of them were read is told by files in the folder."""
    folder.mkdir(exist_ok=True)
    return tuple(
        NewClip(f"c{i:03d}.wav", SPLITS[i % 3], (str(folder), i), ("ab"[i // 3 % 2],))
        for i in range(n)
    )


def errors_in(directory: Path) -> list[str]:
    return [finding.reason for finding in check_task(directory) if finding.severity == "error"]


def n_read(folder: Path) -> int:
    return len(list(folder.glob("read-*")))


def one_file(tmp_path: Path, audio: np.ndarray, rate: int, **changes: Any) -> Path:
    """Write a task of the same sound in all three splits; return its directory."""
    source = tmp_path / "sound.wav"
    soundfile.write(source, audio, rate, subtype="FLOAT")
    clips = tuple(NewClip(f"{split}.wav", split, str(source), ("a",)) for split in SPLITS)
    rates = changes.pop("rates", (rate,))
    task = new_task(clips, labels=("a",), **changes)
    return write_task(task, tmp_path / "tasks", sound_reader.read_file, rates=rates)


def written(directory: Path, rate: int) -> np.ndarray:
    samples, found = soundfile.read(directory / str(rate) / "test" / "test.wav", dtype="int16")
    assert found == rate
    return np.asarray(samples)


def test_a_scene_task_is_written_as_hear_has_it(tmp_path: Path) -> None:
    task = new_task(
        noises(tmp_path / "log"),
        split_mode="new_split_kfold",
        splits=("train", "valid", "test"),
        evaluation=("top1_acc", "mAP"),
        extra={"made_from": "noise"},
        evaluation_params={"task_specific_param_grid": {"max_epochs": [3]}},
    )
    directory = write_task(task, tmp_path / "tasks", sound_reader.noise, rates=(8000, 16000))
    assert directory == tmp_path / "tasks" / "made-v1-full"
    assert errors_in(directory) == []
    read = read_task(directory)
    assert read.evaluation == ("top1_acc", "mAP")
    assert read.metadata["nfolds"] == 3
    assert read.metadata["made_from"] == "noise"
    assert read.task_specific_param_grid == {"max_epochs": (3,)}
    assert [clip.name for clip in read.clips["test"]] == [f"c{i:03d}.wav" for i in (2, 5, 8, 11)]
    assert [clip.labels for clip in read.clips["test"]] == [("a",), ("b",), ("a",), ("b",)]
    assert os.listdir(tmp_path / "tasks") == ["made-v1-full"]


def grouped(folder: Path) -> tuple[NewClip, ...]:
    return tuple(dataclasses.replace(clip, group=f"g{clip.name[3]}") for clip in noises(folder))


def groups_in(directory: Path) -> dict[str, str]:
    clips = read_task(directory).clips.values()
    return {clip.name: clip.group for of_split in clips for clip in of_split}


def test_groups_are_written(tmp_path: Path) -> None:
    task = new_task(grouped(tmp_path / "log"))
    directory = write_task(task, tmp_path / "tasks", sound_reader.noise, rates=(8000,))
    assert groups_in(directory) == {clip.name: clip.group for clip in task.clips}
    plain = new_task(noises(tmp_path / "log"), version="v2")
    plain_directory = write_task(plain, tmp_path / "tasks", sound_reader.noise, rates=(8000,))
    assert not (plain_directory / "groups.csv").exists()


def test_a_task_that_was_made_without_its_groups_gets_them(tmp_path: Path) -> None:
    said: list[str] = []

    def write(clips: tuple[NewClip, ...]) -> Path:
        task = new_task(clips)
        return write_task(
            task, tmp_path / "tasks", sound_reader.noise, rates=(8000,), say=said.append
        )

    directory = write(noises(tmp_path / "log"))
    split_files = {path: path.read_bytes() for path in directory.glob("*.json")}
    assert write(grouped(tmp_path / "log")) == directory
    assert said[-1] == f"{directory / 'groups.csv'} was missing and has been added."
    assert groups_in(directory)["c010.wav"] == "g0"
    assert {path: path.read_bytes() for path in directory.glob("*.json")} == split_files
    before = len(said)
    write(grouped(tmp_path / "log"))
    assert said[before:] == [f"{directory} already exists."]
    others = tuple(dataclasses.replace(clip, group="one") for clip in noises(tmp_path / "log"))
    with pytest.raises(UserError, match="made from something else: other groups"):
        write(others)


def test_some_clips_without_a_group_are_refused(tmp_path: Path) -> None:
    clips = grouped(tmp_path / "log")
    clips = (dataclasses.replace(clips[0], group=""), *clips[1:])
    with pytest.raises(UserError, match=r"'c000\.wav' has no group, but others have one"):
        write_task(new_task(clips), tmp_path / "tasks", sound_reader.noise, rates=(8000,))


def test_an_event_task_keeps_its_times(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    events = (Event("b", 10.0, 40.5), Event("a", 50.0, 99.0))
    clips = tuple(
        NewClip(f"{split}.wav", split, (str(tmp_path / "log"), seed), events=events)
        for seed, split in enumerate(SPLITS)
    )
    task = new_task(
        clips,
        embedding_type="event",
        prediction_type="multilabel",
        evaluation=("event_onset_200ms_fms",),
    )
    directory = write_task(task, tmp_path, sound_reader.noise, rates=(8000,))
    assert read_task(directory).clips["train"][0].events == events
    assert errors_in(directory) == []


def test_samples_of_16_bit_mono_sound_stay_as_they_are(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 800).astype(np.int16)
    directory = one_file(tmp_path, samples / np.float32(32768), 8000)
    assert np.array_equal(written(directory, 8000), samples)


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.stack([np.full(800, 0.5), np.full(800, -0.25)], axis=1)
    directory = one_file(tmp_path, stereo, 8000)
    assert set(written(directory, 8000)) == {4096}


@pytest.mark.parametrize(
    ("seconds", "frames"), [(0.05, 400), (0.2, 1600), (None, 800), (0.10007, 801)]
)
def test_clips_are_cut_or_padded_at_their_end(
    tmp_path: Path, seconds: float | None, frames: int
) -> None:
    sound = np.linspace(0.1, 0.9, 800)
    directory = one_file(tmp_path, sound, 8000, sample_duration=seconds)
    samples = written(directory, 8000)
    assert len(samples) == frames
    kept = min(frames, 800)
    assert np.array_equal(samples[:kept], np.rint(sound[:kept].astype(np.float32) * 32768))
    assert not samples[800:].any()


def test_every_rate_holds_the_same_sound(tmp_path: Path) -> None:
    rates = (16000, 22050, 48000)
    sine = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    directory = one_file(tmp_path, sine, 44100, sample_duration=1.0, rates=rates)
    for rate in rates:
        inside = slice(rate // 10, -rate // 10)
        wanted = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
        error = written(directory, rate)[inside] / 32768 - wanted[inside]
        assert np.abs(error).max() < 5e-5  # rounding to 16 bit is 1.5e-5


def test_what_is_too_loud_is_clipped_and_told(tmp_path: Path) -> None:
    source = tmp_path / "loud.wav"
    soundfile.write(source, np.array([1.5, -1.5, 1.0, 0.5]), 8000, subtype="FLOAT")
    clips = tuple(NewClip(f"{split}.wav", split, str(source), ("a",)) for split in SPLITS)
    said: list[str] = []
    task = new_task(clips, sample_duration=None)
    directory = write_task(task, tmp_path, sound_reader.read_file, rates=(8000,), say=said.append)
    assert written(directory, 8000).tolist() == [32767, -32768, 32767, 16384]
    assert any("3 clips were louder than full scale" in text for text in said)


def test_full_scale_is_no_clipping(tmp_path: Path) -> None:
    source = tmp_path / "full.wav"
    soundfile.write(source, np.array([1.0, -1.0]), 8000, subtype="FLOAT")
    clips = tuple(NewClip(f"{split}.wav", split, str(source), ("a",)) for split in SPLITS)
    said: list[str] = []
    write_task(new_task(clips), tmp_path, sound_reader.read_file, rates=(8000,), say=said.append)
    assert not any("clipped" in text for text in said)


def same_files(one: Path, other: Path) -> bool:
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    return all(
        filecmp.cmp(one / file, other / file, shallow=False)
        for file in files
        if file.name != ".plan"
    )


def test_processes_write_what_one_process_writes(tmp_path: Path) -> None:
    task = new_task(noises(tmp_path / "log", 30))
    alone = write_task(task, tmp_path / "alone", sound_reader.noise, rates=(8000, 16000))
    said: list[str] = []
    together = write_task(
        task,
        tmp_path / "together",
        sound_reader.noise,
        rates=(16000, 8000),
        jobs=2,
        say=said.append,
    )
    assert same_files(alone, together)
    assert any(text.startswith("30 of 30 clips, ") for text in said)


def test_progress_tells_rate_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    said: list[str] = []
    task = new_task(noises(tmp_path / "log", 9))
    write_task(task, tmp_path, sound_reader.slow_noise, rates=(8000,), say=said.append)
    assert len(said) == 9
    assert re.fullmatch(r"3 of 9 clips, \d+ a second, 0 s left", said[2])
    assert re.fullmatch(r"9 of 9 clips, \d+ a second", said[8])


def test_a_finished_task_is_not_written_again(tmp_path: Path) -> None:
    task = new_task(noises(tmp_path / "log"))
    write_task(task, tmp_path, sound_reader.noise, rates=(8000,))
    for mark in (tmp_path / "log").iterdir():
        mark.unlink()
    said: list[str] = []
    write_task(task, tmp_path, sound_reader.noise, rates=(8000,), say=said.append)
    assert n_read(tmp_path / "log") == 0
    assert said == [f"{tmp_path / 'made-v1-full'} already exists."]


REFUSED = {
    "label": "other labels or splits (train.json)",
    "source": "1 clip from other recordings ('c000.wav')",
    "clips": "1 clip that the new task does not have ('c000.wav')",
    "length": "its clips are 0.1 s long, not 0.2 s long",
    "metadata": "other metadata (evaluation)",
    "rates": "its rates are 8000 Hz, not 16000",
    "reader": "it was made by another command",
}


@pytest.mark.parametrize("change", REFUSED)
def test_another_task_in_its_place_is_refused_with_what_differs(
    tmp_path: Path, change: str
) -> None:
    clips = noises(tmp_path / "log")
    task = new_task(clips)
    write_task(task, tmp_path, sound_reader.noise, rates=(8000,))
    reader, rates = sound_reader.noise, (8000,)
    if change == "label":
        task = new_task((dataclasses.replace(clips[0], labels=("b",)), *clips[1:]))
    elif change == "source":
        task = new_task(
            (dataclasses.replace(clips[0], source=(str(tmp_path / "log"), 99)), *clips[1:])
        )
    elif change == "clips":
        task = new_task(clips[1:])
    elif change == "length":
        task = new_task(clips, sample_duration=0.2)
    elif change == "metadata":
        task = new_task(clips, evaluation=("mAP",))
    elif change == "rates":
        rates = (16000,)
    else:
        reader = sound_reader.slow_noise
    with pytest.raises(UserError) as caught:
        write_task(task, tmp_path, reader, rates=rates)
    told = str(caught.value)
    assert f"already exists and was made from something else: {REFUSED[change]}" in told
    assert told.endswith(". Delete it, or give the new task a different name or version.")


def test_a_task_that_came_from_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "made-v1-full").mkdir()
    with pytest.raises(UserError, match="already exists"):
        write_task(new_task(noises(tmp_path / "log")), tmp_path, sound_reader.noise, rates=(8000,))


def test_clips_that_cannot_be_read_are_all_named_and_can_be_mended(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for i in range(6):
        soundfile.write(sources / f"{i}.wav", np.full(80, 0.1), 8000)
    good = (sources / "1.wav").read_bytes()
    (sources / "1.wav").write_bytes(b"this is no sound")
    soundfile.write(sources / "2.wav", np.zeros(0), 8000)
    soundfile.write(sources / "4.wav", np.array([0.1, np.nan]), 8000, subtype="FLOAT")
    clips = tuple(
        NewClip(f"c{i}.wav", SPLITS[i % 3], str(sources / f"{i}.wav"), ("a",)) for i in range(6)
    )
    task, said = new_task(clips), list[str]()
    for jobs in (1, 2):
        with pytest.raises(UserError) as caught:
            write_task(
                task, tmp_path, sound_reader.read_file, rates=(8000,), jobs=jobs, say=said.append
            )
        message = str(caught.value)
        assert "3 clips cannot be used" in message
        assert "c1.wav: " in message
        assert "c2.wav: it contains no sample" in message
        assert "c4.wav: it contains samples that are NaN" in message
    assert not (tmp_path / "made-v1-full").exists()
    kept = sorted((tmp_path / ".made-v1-full.unfinished" / "8000").rglob("*.wav"))
    assert {path.name for path in kept} == {"c0.wav", "c3.wav", "c5.wav"}
    times = [path.stat().st_mtime_ns for path in kept]
    for i in (1, 2, 4):
        (sources / f"{i}.wav").write_bytes(good)
    directory = write_task(task, tmp_path, sound_reader.read_file, rates=(8000,), say=said.append)
    assert "3 files already existed, 3 are new" in said
    after = [(directory / p.relative_to(p.parents[2])).stat().st_mtime_ns for p in kept]
    assert after == times


def test_many_bad_clips_are_counted_and_each_is_named_once(tmp_path: Path) -> None:
    clips = tuple(
        NewClip(f"c{i}.wav", SPLITS[i % 3], str(tmp_path / f"{i}.wav"), ("a",)) for i in range(15)
    )
    said: list[str] = []
    with pytest.raises(UserError, match="15 clips cannot be used") as caught:
        write_task(
            new_task(clips), tmp_path, sound_reader.read_file, rates=(8000,), say=said.append
        )
    told = "\n".join([*said, str(caught.value)])
    assert all(told.count(f"c{i}.wav: ") == 1 for i in range(15))
    assert said[-1].endswith(", 15 cannot be used")


KILLED = """
from pathlib import Path
from support import sound_reader
from tasks.format.newtask import NewClip, NewTask
from tasks.format.writer import write_task

if __name__ == "__main__":
    clips = tuple(
        NewClip(f"c{{i:03d}}.wav", ("train", "valid", "test")[i % 3], ({log!r}, i), ("a",))
        for i in range({n})
    )
    task = NewTask(
        task_name="made", version="v1", mode="full", embedding_type="scene",
        prediction_type="multiclass", split_mode="trainvaltest", splits=("train", "valid", "test"),
        evaluation=("top1_acc",), sample_duration=0.1, labels=("a", "b"), clips=clips,
    )
    write_task(
        task, Path({out!r}), sound_reader.{reader}, rates=(8000, 16000), jobs={jobs}, say=print
    )
"""


def begin(tmp_path: Path, reader: str, n: int, jobs: int) -> subprocess.Popen[str]:
    (tmp_path / "log").mkdir(exist_ok=True)
    script = tmp_path / "script.py"
    tests = str(Path(sound_reader.__file__).parents[1])
    script.write_text(
        KILLED.format(
            log=str(tmp_path / "log"),
            out=str(tmp_path / "tasks"),
            reader=reader,
            n=n,
            jobs=jobs,
        )
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, *sys.path])}
    return subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool], run: subprocess.Popen[str] | None = None) -> None:
    """Wait, as long as the run goes on; a machine may be slow."""
    while not condition():
        assert run is None or run.poll() is None, run.communicate()
        time.sleep(0.02)


def test_a_killed_run_goes_on_and_ends_as_if_never_stopped(tmp_path: Path) -> None:
    unfinished = tmp_path / "tasks" / ".made-v1-full.unfinished"
    run = begin(tmp_path, "noise_before_a_gate", 60, jobs=2)
    wait_for(lambda: len(list(unfinished.rglob("c*.wav"))) == 40, run)
    run.kill()
    run.wait()
    wait_for(lambda: not _alive(run.pid))  # its workers end by themselves
    assert not (tmp_path / "tasks" / "made-v1-full").exists()
    done = {path: path.stat().st_mtime_ns for path in unfinished.rglob("c*.wav")}
    assert len(done) == 40
    cut, empty = sorted(done)[:2]
    cut.write_bytes(cut.read_bytes()[:-100])
    empty.write_bytes(b"")
    (unfinished / "8000" / "train" / ".123.part").write_bytes(b"half")
    (tmp_path / "log" / "gate").touch()
    again = begin(tmp_path, "noise_before_a_gate", 60, jobs=1)
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "resuming" in out
    assert "38 files already existed, 82 are new" in out
    directory = tmp_path / "tasks" / "made-v1-full"
    same = [path for path in done if path not in (cut, empty)]
    assert all(
        (directory / path.relative_to(unfinished)).stat().st_mtime_ns == done[path] for path in same
    )
    assert not unfinished.exists()
    log = tmp_path / "log"
    clips = tuple(NewClip(f"c{i:03d}.wav", SPLITS[i % 3], (str(log), i), ("a",)) for i in range(60))
    whole = write_task(new_task(clips), tmp_path / "whole", sound_reader.noise, rates=(8000, 16000))
    assert same_files(whole, directory)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are read from /proc")
def test_workers_whose_parent_is_killed_while_they_begin_end(tmp_path: Path) -> None:
    run = begin(tmp_path, "noise_before_a_gate", 60, jobs=2)
    tasks = Path(f"/proc/{run.pid}/task")

    def children() -> list[str]:
        return [child for path in tasks.glob("*/children") for child in path.read_text().split()]

    # The server imports now what the workers need.
    wait_for(lambda: len(children()) == 1, run)
    run.kill()
    run.wait()
    wait_for(lambda: not _alive(run.pid))


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interrupt_ends_cleanly_and_keeps_what_is_written(tmp_path: Path) -> None:
    run = begin(tmp_path, "slow_noise", 2000, jobs=2)
    unfinished = tmp_path / "tasks" / ".made-v1-full.unfinished"
    wait_for(lambda: len(list(unfinished.rglob("c*.wav"))) >= 10, run)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, err = run.communicate()
    assert run.returncode != 0
    assert err.count("\nKeyboardInterrupt") == 1  # the script's own, none of a worker
    assert {path.name[0] for path in unfinished.glob("*/*/*")} == {"c"}  # no half file
    assert len(list(unfinished.rglob("c*.wav"))) >= 10


def test_an_interrupt_while_workers_begin_ends_cleanly(tmp_path: Path) -> None:
    run = begin(tmp_path, "slow_noise", 2000, jobs=2)
    unfinished = tmp_path / "tasks" / ".made-v1-full.unfinished"
    wait_for((unfinished / "16000" / "test").is_dir, run)
    time.sleep(0.2)  # they import now
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=20)
    assert run.returncode != 0
    assert err.count("\nKeyboardInterrupt") == 1  # the script's own, none of a worker


@pytest.mark.parametrize(("times", "apart"), [(2, 0.0), (2, 0.2), (3, 0.1), (5, 0.01)])
def test_any_number_of_interrupts_ends_in_seconds(tmp_path: Path, times: int, apart: float) -> None:
    run = begin(tmp_path, "noise_before_a_gate", 60, jobs=2)
    unfinished = tmp_path / "tasks" / ".made-v1-full.unfinished"
    wait_for(lambda: len(list(unfinished.rglob("c*.wav"))) == 40, run)
    try:
        for _ in range(times):
            os.killpg(run.pid, signal.SIGINT)
            time.sleep(apart)
        (tmp_path / "log" / "gate").touch()  # until now the workers have been at work
        run.communicate(timeout=20)
        assert run.returncode != 0
        wait_for(lambda: not _alive(run.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert len(list(unfinished.rglob("c*.wav"))) >= 40


def test_a_worker_that_is_killed_is_told_in_words(tmp_path: Path) -> None:
    task = new_task(noises(tmp_path / "log", 30))
    with pytest.raises(UserError, match="worker process was killed"):
        write_task(task, tmp_path, sound_reader.noise_that_kills_once, rates=(8000,), jobs=2)
    (tmp_path / "log" / "survive").touch()
    directory = write_task(
        task, tmp_path, sound_reader.noise_that_kills_once, rates=(8000,), jobs=2
    )
    assert errors_in(directory) == []


def test_sounds_that_stay_are_kept_when_clips_come_go_and_change_their_split(
    tmp_path: Path,
) -> None:
    log, unfinished = tmp_path / "log", tmp_path / ".made-v1-full.unfinished"
    clips = noises(log)
    bad = NewClip("bad.wav", "train", ("nowhere", 1), ("a",))
    with pytest.raises(UserError, match=r"bad\.wav"):
        write_task(new_task((*clips, bad)), tmp_path, sound_reader.noise, rates=(8000, 16000))
    assert len(list(unfinished.rglob("c*.wav"))) == 24
    for mark in log.iterdir():
        mark.unlink()
    moved = dataclasses.replace(clips[1], split="test")
    other = dataclasses.replace(clips[2], source=(str(log), 99))
    said: list[str] = []
    directory = write_task(
        new_task((moved, other, *clips[3:])),
        tmp_path,
        sound_reader.noise,
        rates=(8000,),
        say=said.append,
    )
    assert [mark.name for mark in log.iterdir()] == ["read-99"]
    assert "10 files of it are kept" in said[0]
    assert "10 files already existed, 1 is new" in said
    assert errors_in(directory) == []
    assert (directory / "8000" / "test" / moved.name).exists()
    assert {path.name for path in directory.iterdir() if path.is_dir()} == {"8000"}


def test_an_unfinished_task_of_another_plan_is_begun_anew(tmp_path: Path) -> None:
    clips = noises(tmp_path / "log")
    bad = dataclasses.replace(clips[-1], source=("nowhere", 1))
    with pytest.raises(UserError):
        write_task(new_task((*clips[:-1], bad)), tmp_path, sound_reader.noise, rates=(8000,))
    assert list((tmp_path / ".made-v1-full.unfinished").rglob("c*.wav"))
    said: list[str] = []
    directory = write_task(
        new_task(clips), tmp_path, sound_reader.noise, rates=(16000,), say=said.append
    )
    assert any("starting again" in text for text in said)
    assert errors_in(directory) == []
    assert not (directory / "8000").exists()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    unfinished = tmp_path / ".made-v1-full.unfinished"
    task = new_task(noises(tmp_path / "log"))
    with claimed(unfinished) as mine:
        assert mine
        with pytest.raises(UserError, match="Another process is writing"):
            write_task(task, tmp_path, sound_reader.noise, rates=(8000,))
        assert not unfinished.exists()
    directory = write_task(task, tmp_path, sound_reader.noise, rates=(8000,))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([directory.name, "log"])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    task = new_task(noises(tmp_path / "log"))
    with pytest.raises(UserError, match=r"file.* cannot be written \(Not a directory\)"):
        write_task(task, tmp_path / "file", sound_reader.noise, rates=(8000,))


FULL = """
import resource, sys
from pathlib import Path
from support import sound_reader
from harness.core.errors import UserError
from tasks.format.newtask import NewClip, NewTask
from tasks.format.writer import write_task
clips = tuple(
    NewClip(f"{{split}}.wav", split, ({log!r}, 1), ("a",)) for split in ("train", "valid", "test")
)
task = NewTask(
    task_name="made", version="v1", mode="full", embedding_type="scene",
    prediction_type="multiclass", split_mode="trainvaltest", splits=("train", "valid", "test"),
    evaluation=("top1_acc",), sample_duration=0.1, labels=("a",), clips=clips,
)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    write_task(task, Path({out!r}), sound_reader.noise, rates=(8000,))
except UserError as error:
    print(error)
"""


def test_a_full_disk_is_told_in_words_and_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    code = FULL.format(log=str(tmp_path / "log"), out=str(tmp_path))
    tests = str(Path(sound_reader.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be written (File too large)" in done.stdout, done.stderr
    assert list(tmp_path.rglob("*.wav")) == list(tmp_path.rglob("*.part")) == []


def test_a_disk_that_is_too_small_is_named_before_the_work(tmp_path: Path) -> None:
    task = new_task(noises(tmp_path / "log"), sample_duration=None)
    with pytest.raises(UserError, match=r"needs 16000\.0 GB, but .* Make room"):
        write_task(task, tmp_path / "out", sound_reader.noise, rates=(8000,), seconds=1e9)
    assert not (tmp_path / "out").exists()


GOOD = NewClip("a.wav", "train", 0, ("a",))
OTHERS = (NewClip("v.wav", "valid", 0, ("a",)), NewClip("t.wav", "test", 0, ("b",)))


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        ({"name": "a.mp3"}, "clip 'a.mp3': its name must be a plain file name that ends in .wav"),
        ({"name": "x/a.wav"}, "must be a plain file name"),
        ({"name": ".a.wav"}, "must be a plain file name"),
        ({"name": "V.wav"}, "another clip is called 'V.wav'"),
        ({"name": "t.wav"}, "another clip is called 't.wav'"),
        ({"name": "ä" * 130 + ".wav"}, "longer than 255 bytes"),
        ({"split": "tset"}, "no split 'tset'. Did you mean 'test'"),
        ({"labels": ()}, "it has 0 labels; a multiclass task needs exactly one"),
        ({"labels": ("a", "b")}, "it has 2 labels"),
        ({"labels": ("c",)}, "the vocabulary lacks its label 'c'"),
        ({"labels": (), "events": (Event("a", 0, 1),)}, "it has events"),
    ],
)
def test_a_clip_that_does_not_fit_is_named(
    tmp_path: Path, clip: dict[str, Any], reason: str
) -> None:
    task = new_task((GOOD, dataclasses.replace(GOOD, **({"name": "b.wav"} | clip)), *OTHERS))
    with pytest.raises(UserError) as caught:
        write_task(task, tmp_path, sound_reader.noise, rates=(8000,))
    assert reason in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "rates", "reason"),
    [
        ({}, (), "sample rates must be"),
        ({}, (8000, 8000), "sample rates must be"),
        ({}, (0,), "sample rates must be"),
        ({"sample_duration": 0.00001}, (8000,), "clips of 1e-05 s contain no sample"),
        ({"labels": ("a", "b", "a")}, (8000,), "the label 'a' is empty or occurs twice"),
        ({"splits": (*SPLITS, "fold00")}, (8000,), "the split 'fold00' has no clip"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], rates: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(UserError) as caught:
        write_task(new_task((GOOD, *OTHERS), **changes), tmp_path, sound_reader.noise, rates=rates)
    assert reason in str(caught.value)
