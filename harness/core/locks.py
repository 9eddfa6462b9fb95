"""Locks of the operating system, which end with the process that holds them, however that ends."""

from __future__ import annotations

from typing import IO


def lock(opened: int | IO[bytes], *, shared: bool = False) -> bool:
    """Lock an open file or folder; False when another process's lock stands against it.

    Where there are no such locks (some network file systems, Windows) it is True.

    Args:
        opened: a file object, or what ``os.open`` returned.
        shared: stand against those locks alone that are not shared.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True
