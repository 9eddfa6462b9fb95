"""Read, compare and restore the state of the Python process that a HEAR module must not change."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Setting:
    """A setting of the process; ``write`` is None if it cannot be restored."""

    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None


def _write_device(device: torch.device) -> None:
    # A default device slows every call of torch; None removes it.
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _change_directory(place: str) -> None:
    with suppress(OSError):
        os.chdir(place)


def _cudnn(name: str) -> Setting:
    return Setting(
        lambda: getattr(torch.backends.cudnn, name),
        lambda value: setattr(torch.backends.cudnn, name, value),
    )


SETTINGS: dict[str, Setting] = {
    "torch.get_num_threads()": Setting(torch.get_num_threads, torch.set_num_threads),
    "torch.get_num_interop_threads()": Setting(torch.get_num_interop_threads),
    "torch.get_default_dtype()": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "torch.get_default_device()": Setting(torch.get_default_device, _write_device),
    "torch.is_grad_enabled()": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.is_inference_mode_enabled()": Setting(torch.is_inference_mode_enabled),
    "torch.are_deterministic_algorithms_enabled()": Setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    ),
    "torch.get_float32_matmul_precision()": Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    "torch.backends.cudnn.benchmark": _cudnn("benchmark"),
    "torch.backends.cudnn.deterministic": _cudnn("deterministic"),
    "numpy.geterr()": Setting(np.geterr, lambda value: np.seterr(**value)),
    "os.getcwd()": Setting(_working_directory, _change_directory),
}


# torch sets these when a part of it is first imported, which a module can cause without knowing.
_SET_BY_TORCH = {"TORCHINDUCTOR_CACHE_DIR"}


def settings() -> dict[str, Any]:
    """Return the settings of torch, numpy and the process, by name."""
    return {name: setting.read() for name, setting in SETTINGS.items()}


def write_settings(values: Mapping[str, Any]) -> None:
    """Set the settings to ``values``, as far as they can be set."""
    for name, value in values.items():
        setting = SETTINGS[name]
        if setting.write is not None and setting.read() != value:
            setting.write(value)


def changed_settings(before: dict[str, Any]) -> list[str]:
    """Return the names of the changed settings, with both values."""
    now = settings()
    return [
        f"{name} from {before[name]} to {now[name]}" for name in now if now[name] != before[name]
    ]


def changed_environment(before: Mapping[str, str]) -> dict[str, str | None]:
    """Return the changed environment variables by name; None is one that was deleted."""
    names = sorted({*before, *os.environ} - _SET_BY_TORCH)
    now = {name: os.environ.get(name) for name in names}
    return {name: now[name] for name in names if before.get(name) != now[name]}


def random_states() -> dict[str, Any]:
    """Return the states of the global random generators, by library."""
    generator = np.random.get_state(legacy=False)  # noqa: NPY002 (the global one is the subject)
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr(generator),
        "random": random.getstate(),
    }


@contextmanager
def restored_random_states(cuda: bool = True) -> Iterator[None]:
    """Restore every global random generator when the block ends, also after an error.

    ``cuda=False`` does not touch CUDA's generators and does not initialise CUDA.
    """
    numpy_state = np.random.get_state()  # noqa: NPY002
    python_state = random.getstate()
    devices = range(torch.cuda.device_count() if cuda else 0)
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
