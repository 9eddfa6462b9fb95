"""Name the process that makes a file in the file's name, so that others can tell if it still runs.

Host name and process number are not enough: containers share both, and numbers are used again. On
Linux an owner is the boot of the machine, the PID namespace, the number and the start time.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import socket
import uuid
from pathlib import Path

_OWNER = re.compile(r"([0-9a-f]{8})-([0-9]+)-([0-9]+)")
_UNKNOWN = "0"  # the start time of a process where it cannot be found out


def owner() -> str:
    """Return the name of this process: hexadecimal digits, numbers and hyphens."""
    return f"{_place()}-{os.getpid()}-{_started(os.getpid()) or _UNKNOWN}"


def has_ended(name: str) -> bool | None:
    """Return whether a process has ended; None if this cannot be known.

    It is known of the processes of this machine and this PID namespace, except where start times
    cannot be found out and a process has the number: it can be another one.

    Args:
        name: what :func:`owner` returned in that process.
    """
    parts = _OWNER.fullmatch(name)
    if parts is None or parts[1] != _place():
        return None
    pid = int(parts[2])
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass  # a process of another user
    except (ProcessLookupError, OverflowError):
        return True
    started = _started(pid)
    if started == "":
        return True
    if started is None or parts[3] == _UNKNOWN:
        return None
    return parts[3] != started


def temporary_beside(path: Path) -> Path:
    """Return a new name in the folder of a path, for a file or folder that this process makes."""
    return path.with_name(f".{owner()}.{secrets.token_hex(4)}.part")


def maker_of(path: Path) -> str:
    """Return the owner in a name of :func:`temporary_beside`; empty for all other names."""
    parts = path.name.split(".")
    return parts[1] if len(parts) == 4 and (parts[0], parts[3]) == ("", "part") else ""


def _place() -> str:
    """Return what the processes of this machine and PID namespace have in common."""
    return _place_of(os.getpid())


@functools.lru_cache(maxsize=1)
def _place_of(_: int) -> str:
    # Cached by process: a fork can be in another namespace.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        where = [boot, os.readlink("/proc/self/ns/pid")]
    except OSError:  # not Linux
        where = [socket.gethostname(), str(uuid.getnode())]
    return hashlib.sha256("\n".join(where).encode()).hexdigest()[:8]


def _started(pid: int) -> str | None:
    """Return the start time of a process in ticks since the boot, empty if it has ended.

    None if it cannot be found out: without /proc, or if /proc shows another PID namespace.
    """
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:  # also for a process that the system hides
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it can contain anything
    return "" if state in "ZX" else fields[18]
