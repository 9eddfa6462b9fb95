"""The end of processes: how to describe it, and how to end a process with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

KILL = 9
"""Number of SIGKILL; the signal module of some systems lacks it."""

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_LOOK_EVERY = 1.0  # seconds


def ending(code: int) -> str:
    """Return how a process ended, as a predicate: "was killed by signal 9 (Killed)".

    Args:
        code: its exit code; -N if signal N killed it.
    """
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by signal {-code} ({signal.strsignal(-code)})"


def end_with_parent(parent: int, number: int = KILL) -> None:
    """Send this process a signal as soon as its parent process has ended.

    On Linux the kernel does it, and counts the end of the thread that started this process as the
    end of the parent. Elsewhere a thread looks for the parent every second.

    Args:
        parent: process number of the parent. If it has ended already, the signal is sent at once.
        number: of the signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)
    else:
        threading.Thread(target=_watch, args=(parent, number), daemon=True).start()


def give_up_first() -> None:
    """Make this process and those that it starts the first to be killed if memory is short.

    Also make it the leader of a process group, so that the processes that it has started can be
    killed with it.
    """
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("500")


def _watch(parent: int, number: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os.kill(os.getpid(), number)
