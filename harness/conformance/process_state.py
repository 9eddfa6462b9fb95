"""State that a whole Python process shares, and that a HEAR module has no business to change."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def settings() -> dict[str, Any]:
    """The settings of torch and of the process, by name."""
    return {
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.get_num_interop_threads()": torch.get_num_interop_threads(),
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.get_default_device()": torch.get_default_device(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.is_inference_mode_enabled()": torch.is_inference_mode_enabled(),
        "torch.are_deterministic_algorithms_enabled()": (
            torch.are_deterministic_algorithms_enabled()
        ),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
        "torch.backends.cudnn.deterministic": torch.backends.cudnn.deterministic,
        "os.getcwd()": os.getcwd(),
    }


def changed_settings(before: dict[str, Any]) -> list[str]:
    """Name the settings that are no longer as they were, with both values."""
    now = settings()
    return [
        f"{name} from {before[name]} to {now[name]}" for name in now if now[name] != before[name]
    ]


def changed_environment(before: Mapping[str, str]) -> list[str]:
    """Name the environment variables that are not as they were."""
    names = sorted({*before, *os.environ})
    return [name for name in names if before.get(name) != os.environ.get(name)]


def random_states() -> dict[str, Any]:
    """The states of the global random generators, by the library that owns them."""
    generator = np.random.get_state(legacy=False)  # noqa: NPY002 (the global one is the subject)
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr(generator),
        "random": random.getstate(),
    }


@contextmanager
def restored_random_states() -> Iterator[None]:
    """Put every global random generator back as it was, whatever happens inside."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    python_state = random.getstate()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
