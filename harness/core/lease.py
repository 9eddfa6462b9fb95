"""A lease: the claim of one process on one unit of work, which expires when its holder dies.

Several processes, on one machine or on many that share a file system, may work in one output
folder. A unit is claimed by creating ``<unit>.lease``; the holder touches that file while it works.
A lease is stale when it has not been touched for ``EXPIRES_AFTER`` seconds or when it names a
process of this machine that no longer runs. If a lease is lost, work is done twice, but no file is
wrong: outputs are renamed into place whole. Locks of the operating system
(:mod:`hear_byola.core.locks`) are not used, because many network file systems of clusters lack
them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

EXPIRES_AFTER = 120.0
_TOUCH_EVERY = 20.0


@contextlib.contextmanager
def lease(unit: Path) -> Iterator[bool]:
    """Claim ``unit`` for the length of the block; yield False if another process holds it."""
    path = _file(unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (_create(path) or (_is_stale(path) and _take_over(path))):
        yield False
        return
    stop = threading.Event()
    keeper = threading.Thread(target=_keep, args=(path, stop), daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        stop.set()
        keeper.join()
        path.unlink(missing_ok=True)


def claim_on(unit: Path) -> str:
    """Return who claims ``unit``, and when the claim expires, in words; empty if nobody does."""
    path = _file(unit)
    try:
        age = max(0.0, time.time() - path.stat().st_mtime)
        holder = json.loads(path.read_text())
        who = f"process {holder['pid']} on {holder['host']}"
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError):
        who = "a process that has not given its name"
    return (
        f"claimed by {who}, last sign of life {age:.0f} s ago; taken over after "
        f"{EXPIRES_AFTER:.0f} s without one"
    )


def _file(unit: Path) -> Path:
    return unit.with_name(unit.name + ".lease")


def _create(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as stream:
        json.dump({"host": socket.gethostname(), "pid": os.getpid()}, stream)
    return True


def _is_stale(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
        holder = json.loads(path.read_text())
        host, pid = holder["host"], int(holder["pid"])
    except FileNotFoundError:
        return True
    except (ValueError, KeyError, TypeError):
        # The holder has created the file and not written its name yet, or it died before that.
        return age > EXPIRES_AFTER
    if age > EXPIRES_AFTER:
        return True
    return bool(host == socket.gethostname() and not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take_over(path: Path) -> bool:
    # Renaming is atomic: of several processes that see a stale lease, one moves it away.
    grave = path.with_name(f"{path.name}.stale-{os.getpid()}-{threading.get_ident()}")
    try:
        path.rename(grave)
    except FileNotFoundError:
        return _create(path)
    grave.unlink(missing_ok=True)
    return _create(path)


def _keep(path: Path, stop: threading.Event) -> None:
    while not stop.wait(_TOUCH_EVERY):
        try:
            os.utime(path)
        except FileNotFoundError:
            return
