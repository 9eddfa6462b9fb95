"""End a stopped command in time, also while foreign code does not let Python's handlers run.

Python calls the handler of a signal between two instructions of the main thread. Native code can
delay this for minutes, and code that catches every exception ignores what the handler raises.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Final

INTERRUPTED: Final = 130
"""Exit code of a command that SIGINT or SIGTERM has stopped."""

STOPPED: Final = "\nStopped: the same command resumes after what is finished."

_GRACE = 4.0  # seconds
_SHOW_CURSOR = "\x1b[?25h"

_watched = False
"""Whether this process has such a block; a forked process has none."""


@contextlib.contextmanager
def stops_in_time() -> Iterator[None]:
    """End this process if the block still runs 4 s after SIGINT or SIGTERM.

    The end is like a crash: neither exit handlers nor ``finally`` clauses run. Code that keeps
    Python's global lock all the time also delays this end. Outside the main thread, and within
    another such block, nothing is done.
    """
    global _watched
    if threading.current_thread() is not threading.main_thread() or _watched:
        yield
        return
    heard, told = socket.socketpair()
    told.setblocking(False)  # the handler must not wait; the thread that reads must
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(heard, ended), daemon=True)
    _watched = True
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    try:
        thread.start()
        yield
    finally:
        if _watched:  # a fork that leaves the block must not end the watch
            ended.set()
            signal.set_wakeup_fd(before)
            _watched = False
            with contextlib.suppress(OSError):  # the watch may have closed its end
                told.shutdown(socket.SHUT_RDWR)
            told.close()


def _watch(heard: socket.socket, ended: threading.Event) -> None:
    """Wait for the signals' numbers, which arrive as bytes, until the socket is shut down."""
    with heard:
        while numbers := heard.recv(64):
            if signal.SIGINT in numbers or signal.SIGTERM in numbers:
                if not ended.wait(_GRACE):
                    _end()
                return


def _end() -> None:
    """Report the end and end the process; the streams of Python may be locked by the block."""
    with contextlib.suppress(OSError):
        os.write(2, f"{_SHOW_CURSOR if os.isatty(2) else ''}{STOPPED}\n".encode())
    os._exit(INTERRUPTED)


def _forget() -> None:
    """Keep signals of a forked process from this process's watch; runs in the fork."""
    global _watched
    if _watched:
        _watched = False
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
