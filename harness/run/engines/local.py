"""The engines of one machine: this process, or worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from harness.core.errors import UserError
from harness.core.workers import Limit, Workers
from harness.run.engines.interface import Engine, Wanted

_GRACE = 5.0
"""Seconds that idle workers get to end. Threads that a module has left can keep them busy."""


class InlineEngine:
    """Runs each unit at once in the calling process, which a model can therefore change or end."""

    def __init__(self, device: str) -> None:
        self.slots, self.window = 1, 2
        self._device = device

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        isolate: str = "",
        limit: Limit | None = None,
    ) -> Future:
        """Run the unit now; its future is finished when this returns."""
        future: Future = Future()
        try:
            future.set_result(function(*arguments, device=self._device))
        except (Exception, SystemExit) as error:  # any exception of a unit is its outcome
            future.set_exception(error)
        return future

    def close(self, *, kill: bool = False) -> None:
        """Do nothing: there are no workers."""


class LocalEngine:
    """Runs units in worker processes on this machine: one per CPU core, or one per GPU."""

    def __init__(self, devices: list[str]) -> None:
        self.slots, self.window = len(devices), 2 * len(devices)
        # The workers share the cores.
        threads = str(max(1, len(cores()) // self.slots))
        self._workers = Workers(
            [{"device": device} for device in devices],
            {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            imports="harness.run.jobs",
        )

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        isolate: str = "",
        limit: Limit | None = None,
    ) -> Future:
        """Queue the unit for the next free worker."""
        return self._workers.submit(function, *arguments, isolate=isolate, limit=limit)

    def close(self, *, kill: bool = False) -> None:
        """End the workers, at once if ``kill`` is set."""
        self._workers.close(grace=0 if kill else _GRACE)


def worker_devices(device: str, jobs: int | None) -> list[str]:
    """Return the device of each worker.

    Args:
        device: ``auto`` (all GPUs, else the CPU), ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        jobs: number of workers; by default one per GPU, or one per CPU core.

    Raises:
        UserError: this machine does not have the device, or ``jobs`` is less than one.
    """
    import torch

    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs must be 1 or more, not {jobs}.")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    kind, _, index = device.partition(":")
    if kind == "cuda":
        if not gpus:
            raise UserError(f"--device {device}: torch sees no CUDA GPU. Use --device cpu.")
        if index and not (index.isdigit() and int(index) < gpus):
            raise UserError(f"--device {device}: this machine has cuda:0 to cuda:{gpus - 1}.")
        available = [device] if index else [f"cuda:{i}" for i in range(gpus)]
    elif device == "cpu":
        available = ["cpu"] * (jobs or len(cores()))
    elif device == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("--device mps: not available on this machine. Use --device cpu.")
        available = ["mps"]
    else:
        raise UserError(f"--device must be auto, cpu, mps, cuda or cuda:N, not '{device}'.")
    wanted = jobs or len(available)
    return [available[i % len(available)] for i in range(wanted)]


def cores() -> list[int]:
    """Return the numbers of the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def local_engine(devices: list[str]) -> Engine:
    """Return a :class:`LocalEngine`, or an :class:`InlineEngine` where there are no workers.

    One device also gets a worker process, so that a model that ends its process or never returns
    costs only its own units.
    """
    if os.name != "posix" and len(devices) == 1:
        return InlineEngine(devices[0])
    return LocalEngine(devices)


def slots(wanted: Wanted) -> int:
    """Return the number of units that the engine of this machine would run at the same time.

    Raises:
        UserError: this machine does not have the device.
    """
    return len(worker_devices(wanted.device, wanted.jobs))


def start(wanted: Wanted) -> Engine:
    """Return the engine of this machine.

    Raises:
        UserError: this machine does not have the device.
    """
    return local_engine(worker_devices(wanted.device, wanted.jobs))
