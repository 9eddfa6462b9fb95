"""Readers of clips for tests of writing tasks, importable by worker processes.

A source is a tuple (folder, seed). A reader makes a file in the folder for each seed that it reads.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import soundfile


def read_file(source: object) -> tuple[np.ndarray, int]:
    """Return the samples of the file that the source names."""
    audio, rate = soundfile.read(source, dtype="float32")
    return audio, rate


def noise(source: object) -> tuple[np.ndarray, int]:
    """Return 0.1 s of noise at 8 kHz, from the seed in (folder, seed)."""
    folder, seed = source  # type: ignore[misc]
    (Path(folder) / f"read-{seed}").touch()
    return np.random.default_rng(seed).uniform(-0.5, 0.5, 800).astype(np.float32), 8000


def slow_noise(source: object) -> tuple[np.ndarray, int]:
    """Return :func:`noise` after 20 ms."""
    time.sleep(0.02)
    return noise(source)


def noise_before_a_gate(source: object) -> tuple[np.ndarray, int]:
    """Return :func:`noise`; from seed 20 on, wait until the folder has a file ``gate``."""
    folder, seed = source  # type: ignore[misc]
    while seed >= 20 and not (Path(folder) / "gate").exists():
        time.sleep(0.02)
    return noise(source)


def noise_that_kills_once(source: object) -> tuple[np.ndarray, int]:
    """Return :func:`noise`; kill the process at seed 5 if the folder has no file ``survive``."""
    folder, seed = source  # type: ignore[misc]
    if seed == 5 and not (Path(folder) / "survive").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return noise(source)
