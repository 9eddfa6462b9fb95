"""The command `hear-byola pretrain`, in processes of its own."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.pretraining_runs import FIELDS, make_audio
from support.sound_files import noise, write

from harness.cli import call
from hear_byola.checkpoint import read_checkpoint


def arguments(audio: Path, out: Path, *more: str, **fields: object) -> list[str]:
    values = {**FIELDS, **fields}
    settings = [text for name, value in values.items() for text in ("--set", f"{name}={value}")]
    return ["pretrain", str(audio), "--config", "byola-512", "--out", str(out), *settings, *more]


def start(command: list[str]) -> subprocess.Popen[str]:
    """In a process group of its own, as a terminal or a batch system starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        pytest.fail(f"hangs after saying: {err}")
    return process.returncode, out, err


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def state(out: Path) -> dict:
    return torch.load(out / "resume.ckpt", weights_only=True)


def steps(out: Path) -> list[str]:
    with (out / "metrics.csv").open(newline="") as file:
        return [row["step"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_saves_and_stops(tmp_path: Path, number: int) -> None:
    audio = make_audio(tmp_path / "audio")
    command = arguments(audio, tmp_path / "run", crops=40_000, workers=1, save_every=3)
    process = start(command)
    wait_for(tmp_path / "run/resume.ckpt", process)
    os.killpg(process.pid, number)
    code, _, err = finish(process)
    assert code == 130, err
    assert err.index("stopping after this step") < err.index("Stopped")
    assert "Traceback" not in err
    at = state(tmp_path / "run")["global_step"]
    assert steps(tmp_path / "run") == [str(step + 1) for step in range(at)]
    checkpoint = read_checkpoint(tmp_path / "run/byola-512.safetensors")
    assert checkpoint.training_config["progress"]["step"] == at


REFUSED = {
    "no audio": ([], {}, "contains no usable audio"),
    "config": ([], {"augmentations": "[mixupp]"}, "mixupp"),
    "too few crops": ([], {"crops": 3}, "Lower batch_size"),
    "device": (["--accelerator", "nope"], {}, "nope"),
    "start": (["--start", "gone.safetensors"], {}, "gone.safetensors"),
    "probe task": (["--probe-task", "nope"], {}, "No task 'nope'"),
    "probe, then crops": (["--probe-task", "demo_voice_count"], {"crops": 3}, "Lower batch_size"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_run_leaves_no_folder(tmp_path: Path, capsys, case: str) -> None:
    more, fields, said = REFUSED[case]
    audio = make_audio(tmp_path / "audio") if case != "no audio" else tmp_path / "none"
    if case == "no audio":
        audio.mkdir()
        for number in range(4):
            (audio / f"{number}.wav").write_text("no sound")
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine.txt").touch()
    for out in (tmp_path / "runs" / "new", there):
        assert call(arguments(audio, out, *more, **fields)) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("is a text file, not audio") == (case == "no audio")
    assert not (tmp_path / "runs").exists()
    kept = {"mine.txt", "probe"} if case.startswith("probe, ") else {"mine.txt"}
    assert {path.name for path in there.iterdir()} == kept


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    audio = make_audio(tmp_path / "audio")
    two = ("--accelerator", "cpu", "--devices", "2")
    command = arguments(audio, tmp_path / "run", *two, crops=48, workers=0)
    code, out, err = finish(start(command))
    assert code == 0, err
    assert "Traceback" not in err
    assert err.count("step 6/6") == 1  # one of them speaks
    found = state(tmp_path / "run")
    assert (found["global_step"], found["batches"]) == (6, 6)
    assert steps(tmp_path / "run") == ["1", "2", "3", "4", "5", "6"]
    assert (tmp_path / "run/config.yaml").is_file()
    checkpoint = read_checkpoint(tmp_path / "run/byola-512.safetensors")
    assert checkpoint.training_config["progress"] == {"step": 6, "steps": 6, "crops": 48}
    assert str(tmp_path / "run/byola-512.safetensors") in out
    # Each has heard other sounds.
    one, other = found["memories"]
    assert int(one["seen"]) == int(other["seen"]) == 24
    assert not one["entries"].equal(other["entries"])
    assert one["entries"].equal(found["state_dict"]["augment.memory.entries"])


@pytest.mark.slow
def test_two_processes_stop_and_go_on_to_the_same_weights(tmp_path: Path) -> None:
    audio = make_audio(tmp_path / "audio")
    two = ("--accelerator", "cpu", "--devices", "2")
    fields = {"crops": 320, "schedule": "constant", "save_every": 2}
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = start(arguments(audio, stopped, *two, **fields))
    wait_for(stopped / "resume.ckpt", process)
    os.killpg(process.pid, signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 130, err
    assert 2 <= state(stopped)["global_step"] < 40
    for out in (stopped, whole):
        code, _, err = finish(start(arguments(audio, out, *two, **fields)))
        assert code == 0, err
    ours, expected = state(stopped), state(whole)
    for name, value in expected["state_dict"].items():
        assert ours["state_dict"][name].equal(value), name
    assert ours["memories"][1]["entries"].equal(expected["memories"][1]["entries"])
    assert (stopped / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


@pytest.mark.slow
def test_two_processes_stop_together_at_a_bad_loss(tmp_path: Path) -> None:
    audio = make_audio(tmp_path / "audio")
    two = ("--accelerator", "cpu", "--devices", "2")
    fields = {"learning_rate": 1e38, "schedule": "constant", "warmup_steps": 0}
    code, _, err = finish(start(arguments(audio, tmp_path / "run", *two, **fields)))
    assert code == 2, err
    assert "not a finite number" in err
    assert "Traceback" not in err


def silence(root: Path) -> None:
    write(root / "quiet.wav", np.zeros(32_000))


def low_rate(root: Path) -> None:
    write(root / "telephone.wav", noise(2, 8_000), 8_000)


def sounds(root: Path) -> None:
    write(root / "sound.wav", noise(2))


BAD: dict[str, tuple[Callable[[Path], None], tuple[str, ...], str]] = {
    "empty": (lambda _: None, (), "audio"),
    "silence": (silence, ("--set", "silence_db=-60"), "silence"),
    "low rate": (low_rate, (), "16"),
    "no such config": (sounds, ("--config", "byola-513"), "no config 'byola-513'"),
    "no such field": (sounds, ("--set", "bach_size=3"), "Did you mean 'batch_size'?"),
    "no value": (sounds, ("--set", "batch_size"), "--set batch_size=128"),
    "bad value": (sounds, ("--set", "batch_size=many"), "a whole number"),
    "huge seed": (sounds, ("--set", f"seed=1{'0' * 400}"), "a whole number"),
    "bad YAML": (sounds, ("--set", "crop_time=[1"), "not YAML"),
    "too few crops": (sounds, ("--set", "crops=1"), "the run has 1 crops"),
    "no start": (
        sounds,
        ("--start", "nowhere.safetensors"),
        "'nowhere.safetensors' does not exist",
    ),
    "nothing to resume": (sounds, ("--resume",), "resume.ckpt does not exist"),
    "no such accelerator": (sounds, ("--accelerator", "abacus"), "abacus"),
    "no such devices": (sounds, ("--accelerator", "cpu", "--devices", "many"), "many"),
    "no such task": (sounds, ("--probe-task", "nonesuch"), "nonesuch"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    fill, more, message = BAD[case]
    root = tmp_path / "audio"
    root.mkdir()
    fill(root)
    assert call(arguments(root, tmp_path / "run", *more)) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert message in error


def test_audio_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(arguments(tmp_path / "nowhere", tmp_path / "run")) == 2
    assert "nowhere' does not exist" in capsys.readouterr().err


def test_a_run_whose_folder_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert call(arguments(tmp_path, tmp_path / "file")) == 2
    assert "name a folder" in capsys.readouterr().err
