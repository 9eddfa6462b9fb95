"""Run whole tiny pretrainings in this process, and read their output."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from support.pretraining_runs import tiny

from hear_byola.checkpoint import read_checkpoint
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.run import Machines, pretrain

CPU = Machines("cpu", 1)


def run(audio: Path, out: Path, config: PretrainConfig | None = None, **options: object) -> Path:
    return pretrain(
        audio,
        config or tiny(),
        out,
        **{"machines": CPU, "say": lambda _: None, **options},  # type: ignore[arg-type]
    )


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def state(out: Path) -> dict:
    return torch.load(out / "resume.ckpt", weights_only=True)


def assert_same_run(out: Path, whole: Path) -> None:
    """Assert that two runs have the same curves and the same state, to the last bit."""
    assert rows(out) == rows(whole)
    ours, theirs = state(out), state(whole)
    assert ours["global_step"] == theirs["global_step"]
    for name, value in theirs["state_dict"].items():
        assert ours["state_dict"][name].equal(value), name
    for kept in ("optimizer_states", "lr_schedulers", "batches", "logged"):
        torch.testing.assert_close(ours[kept], theirs[kept], rtol=0, atol=0)
    one, other = (read_checkpoint(folder / "byola.safetensors") for folder in (out, whole))
    assert all(one.state[name].equal(value) for name, value in other.state.items())


def copy_of(run_folder: Path, to: Path) -> Path:
    to.mkdir(exist_ok=True)
    for path in run_folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to
