"""Functions for worker processes, in a module that they can import."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import numpy as np
from threadpoolctl import threadpool_info

from harness.core.worker import sign_of_life


def add(one: int, other: int = 0, **extra: int) -> int:
    """Return the sum of all arguments."""
    return one + other + sum(extra.values())


def pid(**_: object) -> int:
    """Return the worker's process id."""
    return os.getpid()


def environment(name: str) -> str:
    """Return a variable of the worker's environment."""
    return os.environ.get(name, "")


def imported() -> set[str]:
    """Return the names of the modules that the worker has imported."""
    return set(sys.modules)


def folder() -> str:
    """Return the working directory."""
    return os.getcwd()


def parent() -> int:
    """Return the process id of the worker's parent."""
    return os.getppid()


def draw(pause: float) -> float:
    """Return a random number of numpy's global generator."""
    time.sleep(pause)
    return float(np.random.random())  # noqa: NPY002


def blas_threads() -> set[int]:
    """Return the numbers of threads of the loaded libraries of linear algebra."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def sleep_after_mark(mark: Path, seconds: float) -> int:
    """Make a file, sleep, and return the worker's process id."""
    mark.touch()
    time.sleep(seconds)
    return os.getpid()


def end(code: int) -> NoReturn:
    """End the process with an exit code."""
    os._exit(code)


def kill(number: int) -> None:
    """Send the process a signal."""
    os.kill(os.getpid(), number)


def segfault() -> None:
    """Read from an invalid address."""
    ctypes.string_at(0)


def fork_and_die(seconds: float) -> None:
    """Fork a child that keeps all connections of the worker open, and die."""
    if os.fork() == 0:
        time.sleep(seconds)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def print_and_add(one: int, other: int) -> int:
    """Print to standard output, and return the sum."""
    print("noise", flush=True)
    return one + other


class Stubborn(Exception):
    """An exception that cannot be unpickled."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def fail(kind: str) -> None:
    """Raise an error."""
    if kind == "stubborn":
        raise Stubborn(1, 2)
    if kind == "exit":
        raise SystemExit(3)
    raise ValueError("no")


def unpicklable() -> object:
    """Return an object that cannot be pickled."""
    return lambda: 0


def leave_child() -> int:
    """Start a process that never ends, in the worker's process group; return its number."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]).pid


def leave_thread() -> None:
    """Start a thread that never ends."""
    threading.Thread(target=time.sleep, args=(1000,)).start()


def work_slowly(steps: int, seconds: float, stuck: bool) -> str:
    """Give a sign of life before each step; sleep for a long time at the end if `stuck`."""
    for step in range(steps):
        sign_of_life(f"step {step}", work=0.0)
        time.sleep(seconds)
    if stuck:
        ctypes.PyDLL(None).sleep(1000)  # keeps the lock of the interpreter
    return "done"


def die_at(step: str) -> None:
    """Give a sign of life and end the process."""
    sign_of_life(step, work=0.0)
    os._exit(3)


def change_state(**_: object) -> None:
    """Change what no caller can restore."""
    os.environ["CHANGED"] = "yes"
    random.random = lambda: 0.5
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def state(**_: object) -> tuple[int, str, float]:
    """Return the worker's process id and what `change_state` changes."""
    return os.getpid(), os.environ.get("CHANGED", ""), random.random()
