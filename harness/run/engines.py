"""Where units of work run: in this process, in processes of this machine.

An engine takes a function and its arguments and gives a future. It decides nothing: the plan, the
files and so the results are the same whichever engine runs them.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from harness.core.errors import UserError


class Engine(Protocol):
    """What a run needs of an engine."""

    slots: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Start ``function(*arguments, device=...)``; the engine names the device."""
        ...

    def restart(self) -> None:
        """Replace workers that died."""
        ...

    def close(self, *, kill: bool = False) -> None:
        """Let the workers go; ``kill`` does not wait for what they are doing."""
        ...


class InlineEngine:
    """Runs each unit at once in the calling process."""

    def __init__(self, device: str) -> None:
        self.slots = 1
        self._device = device

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Run the unit now; its future is finished when this returns."""
        future: Future = Future()
        try:
            future.set_result(function(*arguments, device=self._device))
        except Exception as error:
            future.set_exception(error)
        return future

    def restart(self) -> None:
        """Nothing to replace."""

    def close(self, *, kill: bool = False) -> None:
        """Nothing to let go."""


class LocalEngine:
    """Worker processes on this machine: one a CPU core, or one a GPU."""

    def __init__(self, devices: list[str]) -> None:
        self.slots = len(devices)
        self._devices = devices
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, since a forked child of a process that used CUDA or OpenMP may hang.
        context = multiprocessing.get_context("spawn")
        threads = max(1, len(cores()) // self.slots)
        devices = context.Queue()
        for device in self._devices:
            devices.put(device)
        return ProcessPoolExecutor(
            self.slots,
            mp_context=context,
            initializer=_start_worker,
            initargs=(os.getpid(), devices, threads),
        )

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Queue the unit for the next free worker."""
        try:
            return self._pool.submit(_on_worker_device, function, *arguments)
        except BrokenProcessPool as error:
            future: Future = Future()
            future.set_exception(error)
            return future

    def restart(self) -> None:
        """Replace a pool that broke because a worker died."""
        self.close(kill=True)
        self._pool = self._start()

    def close(self, *, kill: bool = False) -> None:
        """End the workers, at once when ``kill`` is set."""
        processes = list((self._pool._processes or {}).values())
        if kill:
            for process in processes:
                process.kill()
        self._pool.shutdown(wait=not kill, cancel_futures=True)


_worker_device = "cpu"


def _start_worker(parent: int, devices: Any, threads: int) -> None:
    global _worker_device
    # The parent decides what an interrupt means; a worker that outlives it must end by itself, also
    # where it is gone before the worker has begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    # Read by OpenMP and BLAS when torch and numpy are first imported: the workers share the cores.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    try:
        _worker_device = devices.get(timeout=60)
    except queue.Empty:
        # A pool starts no more workers than devices, unless one died and was replaced.
        _worker_device = "cpu"


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _on_worker_device(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments, device=_worker_device)


def worker_devices(device: str, jobs: int | None) -> list[str]:
    """Return the device of each worker: ``jobs`` of them, by default one a GPU or one a CPU core.

    ``device`` is ``auto`` (all GPUs, else the CPU), ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    Raises:
        UserError: a device that this machine does not have, or fewer than one job.
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
    """The processor cores that this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def local_engine(devices: list[str]) -> Engine:
    """Return the in-process engine for one worker, worker processes for more."""
    return InlineEngine(devices[0]) if len(devices) == 1 else LocalEngine(devices)
