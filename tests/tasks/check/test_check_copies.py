"""One recording twice in a task: found however it was changed, and other takes left in peace."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from bench.near_duplicates import PROMISED
from support import sound_files, task_directories

from harness.core.memory import FileMemory
from tasks.check import AlikeClips, Finding, check_task, sound
from tasks.check.duplicates import CANDIDATE
from tasks.check.fingerprint import SIZE, fingerprint, from_text, nearest, to_text
from tasks.check.likeness import SAME, likeness, waveform_likeness
from tasks.demo import demo_directory

RATE = 16_000
SECONDS = 1.5


def take(tune: int, seed: int) -> np.ndarray:
    """Three notes over noise: of a tune pitches and times are given, all else is the take's own."""
    score, random = np.random.default_rng(tune), np.random.default_rng([tune, seed])
    t = np.arange(round(SECONDS * RATE)) / RATE
    audio = 0.005 * np.cumsum(random.standard_normal(len(t)))
    audio -= np.linspace(audio[0], audio[-1], len(t))
    for start in (0.05, 0.5, 0.95):
        pitch = 220 * 2 ** (score.integers(12) / 12)
        after = np.clip(t - start - score.uniform(0, 0.05) - random.uniform(0, 0.002), 0, None)
        for harmonic in range(1, 8):
            phase = random.uniform(0, 2 * np.pi)
            tone = np.sin(2 * np.pi * pitch * harmonic * after + phase) - np.sin(phase)
            audio += 0.2 / harmonic * np.exp(-6 * after) * tone
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)


def make(tmp_path: Path, kind: str = "scene", **more: int) -> Path:
    """A task of two classes whose clips are different tunes."""
    task = task_directories.make_task(tmp_path, kind, n=4, seconds=SECONDS, classes=2, **more)
    for i, path in enumerate(sorted(task.glob("16000/*/*.wav"))):
        soundfile.write(path, take(i, 0), RATE)
    return task


def put(task: Path, place: str, audio: np.ndarray) -> None:
    soundfile.write(task / "16000" / place, audio, RATE, subtype="PCM_16")


def read(task: Path, place: str) -> np.ndarray:
    audio: np.ndarray = soundfile.read(task / "16000" / place, dtype="float32")[0]
    return audio


def closely(task: Path, **more: object) -> list[Finding]:
    return check_task(task, closely=True, **more)  # type: ignore[arg-type]


def pairs(findings: list[Finding]) -> list[AlikeClips]:
    return [pair for finding in findings for pair in finding.pairs]


def coded(audio: np.ndarray, extension: str) -> np.ndarray:
    kind, coding = sound_files.FORMATS[extension]
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, RATE, coding, format=kind)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "quieter": lambda audio: audio / 8,
    "upside down": lambda audio: -audio,
    "20 ms later": lambda audio: np.pad(audio, (320, 0))[: len(audio)],
    "20 ms earlier": lambda audio: np.pad(audio[320:], (0, 320)),
    "8 kHz between": lambda audio: soxr.resample(soxr.resample(audio, RATE, 8000), 8000, RATE),
    "Vorbis": lambda audio: coded(audio, "ogg"),
    "MP3": lambda audio: coded(audio, "mp3"),
    "Opus": lambda audio: coded(audio, "opus"),
    "noisy": lambda audio: audio + 0.001 * sound_files.noise(SECONDS),
    "all at once": lambda audio: coded(np.pad(audio / 3, (320, 0))[: len(audio)], "ogg"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_in_another_split_is_a_warning(tmp_path: Path, change: str) -> None:
    task = make(tmp_path)
    put(task, "test/test-0002.wav", CHANGES[change](read(task, "train/train-0000.wav")))
    (finding,) = closely(task)
    assert (finding.severity, finding.file) == ("warning", "test.json")
    assert "clip 'test-0002.wav': different samples, but the same recording" in finding.reason
    assert "of train.json (the first: 'train-0000.wav', likeness " in finding.reason
    (pair,) = finding.pairs
    assert (pair.split, pair.other_split, pair.same_samples) == ("test", "train", False)
    assert SAME <= pair.likeness <= 1.0


def test_a_copy_with_more_silence_around_it_is_found(tmp_path: Path) -> None:
    task = make(tmp_path)
    task_directories.edit_metadata(task, sample_duration=None)
    put(task, "test/test-0001.wav", np.pad(read(task, "valid/valid-0001.wav"), (4000, 9000)))
    assert [(p.clip, p.other_clip) for p in pairs(closely(task))] == [
        ("test-0001.wav", "valid-0001.wav")
    ]


def test_two_takes_of_a_tune_are_not_one_recording(tmp_path: Path) -> None:
    task = make(tmp_path)
    similarity = []
    for i in range(4):
        put(task, f"test/test-{i:04d}.wav", take(i, 1))
        put(task, f"train/train-{i:04d}.wav", take(i, 2))
        similarity.append(fingerprint(take(i, 1), RATE) @ fingerprint(take(i, 2), RATE))
    assert np.median(similarity) > CANDIDATE, "the waveforms were never asked"
    assert closely(task) == []


@pytest.mark.parametrize("kind", task_directories.KINDS)
def test_clips_of_one_class_are_not_one_recording(tmp_path: Path, kind: str) -> None:
    assert closely(task_directories.make_task(tmp_path, kind, classes=2)) == []


def test_every_earlier_copy_of_a_clip_is_paired_and_the_clip_named_once(tmp_path: Path) -> None:
    task = make(tmp_path)
    put(task, "train/train-0003.wav", read(task, "train/train-0000.wav") / 2)
    put(task, "valid/valid-0001.wav", read(task, "train/train-0000.wav") / 3)
    for name in ("test-0000.wav", "test-0002.wav"):  # the same samples twice
        put(task, f"test/{name}", read(task, "train/train-0000.wav") / 4)
    (in_valid, in_test) = [f for f in closely(task) if "same recording" in f.reason]
    assert [pair.other_clip for pair in in_valid.pairs] == ["train-0000.wav", "train-0003.wav"]
    assert {(pair.clip, pair.other_clip) for pair in in_test.pairs} == {
        (clip, other)
        for clip in ("test-0000.wav", "test-0002.wav")
        for other in ("train-0000.wav", "train-0003.wav", "valid-0001.wav")
    }
    assert in_test.reason.startswith(
        "2 clips ('test-0000.wav', 'test-0002.wav'): different samples"
    )
    assert "The labels differ for 2, for example 'test-0000.wav'" in in_test.reason


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("decibels", [20, 40])
def test_noise_and_silence_around_it_leave_a_tone_its_likeness(
    seconds: float, decibels: float
) -> None:
    original = take(0, 0)
    noise = np.random.default_rng(1).standard_normal(len(original))
    noise *= np.sqrt(np.mean(original**2)) * 10 ** (-decibels / 20)
    copy = np.pad(original + noise, round(seconds * RATE)).astype(np.float32)
    assert waveform_likeness(copy, original, RATE) > SAME
    assert waveform_likeness(original, copy, RATE) > SAME
    assert waveform_likeness(copy, take(0, 1), RATE) < SAME - 0.1


def test_the_likeness_of_any_two_sounds_is_a_number_from_0_to_1() -> None:
    random = np.random.default_rng(0)
    sounds = [np.zeros(1), np.ones(1), np.zeros(900), np.ones(900), random.uniform(-1, 1, 7)]
    sounds += [random.uniform(-1, 1, 3000), np.eye(1, 400)[0], 1e-30 * np.ones(500)]
    for one in sounds:
        for other in sounds:
            alike = waveform_likeness(one.astype(np.float32), other.astype(np.float32), 8000)
            assert 0.0 <= alike <= 1.0


def test_the_same_samples_in_another_container_are_a_copy(tmp_path: Path) -> None:
    task = make(tmp_path)
    audio, _ = soundfile.read(task / "16000/train/train-0003.wav", dtype="int16")
    (task / "16000/test/test-0001.wav").unlink()
    soundfile.write(task / "16000/test/test-0001.flac", audio, RATE)
    task_directories.edit_json(
        task / "test.json",
        lambda table: {n.replace("1.wav", "1.flac"): labels for n, labels in table.items()},
    )
    (pair,) = pairs(check_task(task))
    assert (pair.clip, pair.other_clip) == ("test-0001.flac", "train-0003.wav")
    assert pair.same_samples
    assert pairs(closely(task)) == [pair], "it is said once"


def test_labels_that_differ_are_named(tmp_path: Path) -> None:
    task = make(tmp_path)
    copy(task, "train/train-0000.wav", "test/test-0000.wav")
    copy(task, "train/train-0000.wav", "test/test-0001.wav")
    put(task, "test/test-0002.wav", read(task, "train/train-0001.wav") / 2)
    same, near, _ = closely(task)
    assert "2 clips ('test-0000.wav', 'test-0001.wav'): the same samples" in same.reason
    assert same.reason.endswith("differ for 1, for example 'test-0001.wav' and 'train-0000.wav'.")
    assert near.reason.endswith("differ for 1, for example 'test-0002.wav' and 'train-0001.wav'.")
    assert [pair.same_labels for pair in same.pairs] == [True, False]


def copy(task: Path, one: str, other: str) -> None:
    shutil.copy(task / "16000" / one, task / "16000" / other)


def test_of_several_copies_one_with_other_labels_is_named(tmp_path: Path) -> None:
    task = make(tmp_path)
    for place in ("train/train-0002.wav", "train/train-0003.wav", "test/test-0000.wav"):
        copy(task, "train/train-0000.wav", place)
    (pair,) = pairs(check_task(task))
    assert (pair.other_clip, pair.same_labels) == ("train-0003.wav", False)


def test_copies_within_a_split_are_counted(tmp_path: Path) -> None:
    task = make(tmp_path)
    copy(task, "train/train-0000.wav", "train/train-0001.wav")
    copy(task, "train/train-0000.wav", "train/train-0002.wav")
    assert check_task(task) == [], "it hampers no run"
    (finding,) = closely(task)
    assert (finding.severity, finding.file) == ("warning", "train.json")
    assert finding.reason.startswith(
        "2 clips ('train-0001.wav', 'train-0002.wav'): the same samples as another clip of "
        "train.json (the first: 'train-0000.wav')."
    )


def test_copies_across_folds_are_found(tmp_path: Path) -> None:
    task = make(tmp_path, "kfold", folds=4)
    copy(task, "fold00/fold00-0001.wav", "fold02/fold02-0003.wav")
    put(task, "fold03/fold03-0000.wav", read(task, "fold01/fold01-0002.wav") / 4)
    put(task, "fold03/fold03-0001.wav", read(task, "fold00/fold00-0000.wav") / 4)
    same, near = closely(task)
    assert same.file == "fold02.json"
    assert "as a clip of fold00.json (the first: 'fold00-0001.wav')" in same.reason
    assert near.file == "fold03.json"
    assert "a clip of fold01.json, fold00.json (the first: 'fold01-0002.wav'" in near.reason


def test_silence_is_no_copy_of_silence(tmp_path: Path) -> None:
    task = make(tmp_path)
    for place in ("train/train-0000.wav", "train/train-0001.wav", "test/test-0000.wav"):
        put(task, place, np.zeros(round(SECONDS * RATE)))
    findings = closely(task)
    assert pairs(findings) == []
    assert len(findings) == 2
    assert all("all samples are zero" in finding.reason for finding in findings)


def test_a_copy_is_said_once_however_many_rates_there_are(tmp_path: Path) -> None:
    task = task_directories.make_task(tmp_path, "scene", n=4, rates=(16000, 44100))
    for rate in ("16000", "44100"):
        shutil.copy(task / rate / "train/train-0000.wav", task / rate / "test/test-0000.wav")
    assert len(closely(task)) == 1


def test_bad_clips_are_compared_with_nothing(tmp_path: Path) -> None:
    task = make(tmp_path)
    for place in ("train/train-0000.wav", "test/test-0000.wav"):
        path = task / "16000" / place
        path.write_bytes(path.read_bytes()[:900])
    findings = closely(task)
    assert [finding.severity for finding in findings] == ["error", "error"]
    assert pairs(findings) == []


@pytest.mark.usefixtures("settled")
def test_what_was_heard_is_remembered_with_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make(tmp_path)
    put(task, "test/test-0002.wav", read(task, "train/train-0000.wav") / 4)
    memory = FileMemory(tmp_path / "heard.json")
    first = closely(task, memory=memory)
    memory.save()
    assert len(pairs(first)) == 1
    monkeypatch.setattr(sound, "decode", pytest.fail)
    assert closely(task, memory=FileMemory(tmp_path / "heard.json")) == first


@pytest.mark.usefixtures("settled")
def test_audio_replaced_under_its_size_and_time_is_heard_again(tmp_path: Path) -> None:
    task = make(tmp_path)
    path = task / "16000/test/test-0002.wav"
    os.utime(path, (1e9, 1e9))
    memory = FileMemory(tmp_path / "heard.json")
    assert closely(task, memory=memory) == []
    time.sleep(0.02)
    put(task, "test/test-0002.wav", read(task, "train/train-0000.wav") / 4)
    os.utime(path, (1e9, 1e9))
    assert len(pairs(closely(task, memory=memory))) == 1


def test_a_memory_without_fingerprints_hides_no_copy(tmp_path: Path) -> None:
    task = make(tmp_path)
    put(task, "test/test-0002.wav", read(task, "train/train-0000.wav") / 4)
    memory = FileMemory(tmp_path / "heard.json")
    assert check_task(task, memory=memory) == []
    assert len(pairs(closely(task, memory=memory))) == 1


@pytest.mark.usefixtures("settled")
def test_a_stopped_check_remembers_what_it_heard(tmp_path: Path) -> None:
    task = make(tmp_path)
    memory = FileMemory(tmp_path / "heard.json")

    def stop(_: str, done: int, total: int) -> None:
        assert total == 12
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        closely(task, memory=memory, progress=stop)
    memory.save()
    heard = json.loads((tmp_path / "heard.json").read_text())["files"]
    assert {f"train-000{i}.wav" for i in range(4)} < {Path(file).name for file in heard}


def test_faint_sounds_are_a_warning(tmp_path: Path) -> None:
    task = make(tmp_path)
    audio = np.zeros(round(SECONDS * RATE), np.int16)
    audio[::7] = 5
    audio[3] = -11
    soundfile.write(task / "16000/test/test-0003.wav", audio, RATE)
    (finding,) = check_task(task)
    assert finding.file == "16000/test"
    assert finding.reason == (
        "clip 'test-0003.wav': so quiet that 16 bits resolve the sound poorly (the largest "
        "sample is 11 of 32768)."
    )


def test_the_published_digits_are_faint_and_none_is_there_twice(published_digits: Path) -> None:
    findings = closely(published_digits)
    faint = [finding.file for finding in findings if "so quiet" in finding.reason]
    assert faint == [f"44100/fold0{i}" for i in range(5)]
    assert pairs(findings) == []


# The two steps by themselves ------------------------------------------------------------------


def test_a_fingerprint_survives_being_text() -> None:
    found = fingerprint(take(0, 0), RATE)
    assert found.shape == (SIZE,)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
    text = to_text(found)
    assert len(text) == 4 * -(-SIZE // 3)
    assert from_text(text) @ found > 0.999


def test_silence_has_no_fingerprint() -> None:
    assert to_text(fingerprint(np.zeros(16000, np.float32), RATE)) == ""


@pytest.mark.parametrize("n", [1, 7, 1000])
@pytest.mark.parametrize("rate", [4000, 8000, 44100])
def test_any_length_and_rate_has_a_fingerprint(n: int, rate: int) -> None:
    audio = np.random.default_rng(n).uniform(-0.5, 0.5, n).astype(np.float32)
    found = fingerprint(audio, rate)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)


def test_rates_of_one_sound_share_its_fingerprint() -> None:
    audio = take(0, 0)
    for rate in (8000, 22050, 48000):
        other = fingerprint(soxr.resample(audio, RATE, rate), rate)
        assert fingerprint(audio, RATE) @ other > 0.97


def test_long_sounds_are_taken_in_blocks() -> None:
    audio = np.concatenate([take(i, 0) for i in range(40)])  # a minute: several blocks of frames
    later = fingerprint(np.pad(audio, (5 * RATE, 0)), RATE)  # so other frames end a block
    assert fingerprint(audio, RATE) @ later > 0.98


@pytest.mark.parametrize("count", [1, 5, 90, 200])
def test_the_nearest_are_found_in_blocks(count: int) -> None:
    random = np.random.default_rng(0)
    queries, others = (random.standard_normal((n, SIZE)).astype(np.float32) for n in (1100, 90))
    rows, similarity = nearest(queries, others, count)
    products = queries @ others.T
    expected = np.argsort(-products, axis=1)[:, :count]
    assert rows.shape == (1100, min(count, 90))
    assert (rows == expected).all()
    np.testing.assert_allclose(
        similarity, np.take_along_axis(products, expected, axis=1), rtol=1e-3, atol=1e-4
    )


def test_long_recordings_are_compared_where_they_are_loud(tmp_path: Path) -> None:
    silence = np.zeros(20 * RATE, np.float32)
    long = np.concatenate([silence, *(take(i, 0) for i in range(9)), silence])
    other = np.concatenate([silence, *(take(i, 1) for i in range(9)), silence])
    paths = [
        sound_files.write(tmp_path / f"{i}.wav", a) for i, a in enumerate((long, long / 3, other))
    ]
    assert likeness(paths[0], paths[1]) > 0.99
    assert likeness(paths[0], paths[2]) < 0.3


def test_takes_of_a_word_by_one_speaker_differ_and_copies_do_not(
    test_data: Path, tmp_path: Path
) -> None:
    folder = test_data / "fsdd" / "recordings"
    for speaker in ("jackson", "nicolas", "yweweler"):
        one, other = (folder / f"7_{speaker}_{take}.wav" for take in (1, 2))
        assert likeness(one, other) < SAME
        audio, rate = soundfile.read(one)
        late = sound_files.write(tmp_path / f"{speaker}.ogg", np.pad(audio / 2, (160, 0)), rate)
        assert likeness(one, late) > SAME


# The two steps together, on real recordings -----------------------------------------------------


def test_99_of_100_changed_copies_of_real_recordings_are_named(tmp_path: Path) -> None:
    """A small part of what tests/bench/near_duplicates.py measures."""
    task = task_directories.make_task(tmp_path, "scene", n=1, seconds=1.0, classes=2)
    task_directories.edit_metadata(task, sample_duration=None)
    originals, copies = [], {}
    for name in ("demo_guitar_chord", "demo_pipe_pitch", "demo_sample_mix", "demo_voice_count"):
        folder = demo_directory(name) / str(RATE)
        chosen = np.random.default_rng(0).permutation(sorted(folder.glob("*/*.wav")))
        originals += [(f"{name}-{i}.wav", path) for i, path in enumerate(chosen[:12])]
    for i, (name, path) in enumerate(originals):
        shutil.copy(path, task / "16000/train" / name)
        audio, _ = soundfile.read(path, dtype="float32")
        for change in list(PROMISED)[i % 6 :: 6]:
            copies[f"{len(copies)}.wav"] = name
            put(task, f"test/{len(copies) - 1}.wav", np.clip(PROMISED[change](audio, RATE), -1, 1))
    for split, names in (("train", dict(originals)), ("test", copies)):
        (task / f"{split}.json").write_text(json.dumps({name: ["class00"] for name in names}))
    named = [(pair.clip, pair.other_clip) for pair in pairs(closely(task))]
    found = set(named) & set(copies.items())
    assert len(copies) == 120
    assert len(found) >= 0.99 * len(copies), set(copies.items()) - found
    assert set(named) == found, "different recordings are named"
