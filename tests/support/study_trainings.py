"""A trainer for studies in tests, which writes real checkpoints with random weights.

It can fail, die or run slowly on request, and it resumes where it was stopped. Its functions are at
module level, because a new process imports them.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from harness.ablation.trainings import Training
from harness.core.errors import UserError
from harness.core.files import write_file
from hear_byola.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from hear_byola.random_weights import random_encoder

DEFAULTS: Mapping[str, object] = {
    "seed": 0,
    "offset": 0,  # added to the seed of the weights, so that arms differ
    "blur": 0.0,  # share of the weights that is replaced by their mean
    "steps": 1,
    "pause": 0.0,  # seconds per step
    "grow": False,  # adds a sound to the audio before it trains
    "fail": "",  # "user", "bug" or "killed", in the last step
}


def configure(base: str, overrides: Mapping[str, object]) -> Mapping[str, object]:
    if base != "tiny":
        raise UserError(f"no config '{base}'")
    for name in overrides:
        if name not in DEFAULTS:
            raise UserError(f"no field '{name}'")
    return {**DEFAULTS, **overrides}


def differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return [f"{k}: {old[k]} -> {new[k]}" for k in new if old[k] != new[k] and k != "pause"]


def untrained(config: Mapping[str, object]) -> Mapping[str, object]:
    return {"seed": config["seed"]}


def pretrain(training: Training, device: str, say: Callable[[str], None]) -> Path:
    source, config, out = training.source, training.config, training.out
    if config["grow"]:
        (source / "grown.wav").touch()
    state = out / "state.txt"
    step = int(state.read_text()) if state.exists() else 0
    say(f"from step {step} on {device}")
    while step < int(config["steps"]):
        time.sleep(float(config["pause"]))
        step += 1
        write_file(state, str(step))  # whole, also after an interruption
    with (out / "starts.txt").open("a") as starts:
        starts.write(f"{device}\n")
    print(f"printed by {training.name}")
    if config["fail"] == "user":
        raise UserError(f"{source}: nothing to hear")
    if config["fail"] == "bug":
        raise RuntimeError("a fault of ours")
    if config["fail"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    encoder = random_encoder("2020", 512, int(config["seed"]) + int(config["offset"]))
    blur = float(config["blur"])
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.copy_((1 - blur) * weight + blur * weight.mean())
    path = out / f"{training.name}.safetensors"
    save_checkpoint(
        path,
        Checkpoint(
            "2020",
            512,
            encoder.state_dict(),
            "slaney",
            -9.660292,
            4.7219563,
            dict(config),
            data_sha256=audio(source),
        ),
    )
    return path


def audio(source: Path, say: Callable[[str], None] = print) -> str:
    names = sorted(path.name for path in source.glob("*"))
    return hashlib.sha256(" ".join(names).encode()).hexdigest()


def trained_on(checkpoint: Path) -> str:
    return read_checkpoint(checkpoint).data_sha256
