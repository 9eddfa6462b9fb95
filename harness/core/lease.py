"""A lease: the claim of one process on one unit of work, which expires when its holder dies.

Several processes, on one machine or on many that share a file system, may work in one output
folder. A process claims a unit by an empty file ``UNIT.HOST.OWNER.TIME-TOKEN.lease`` beside it,
whose name is never used again, and holds the unit if no other claim is there afterwards. A claim is
abandoned if its process has ended (:mod:`hear_byola.core.owner`). Where this cannot be known, on
another machine, in another container or without /proc, a claim is abandoned when it was not touched
for ``EXPIRES_AFTER`` seconds; its holder touches it while it works.

Because the names differ, removing an abandoned claim never removes the claim of another process. If
a claim is lost all the same, work is done twice, but no file is wrong: outputs are renamed into
place whole. Locks of the operating system (:mod:`hear_byola.core.locks`) are not used, because many
network file systems of clusters lack them.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hear_byola.core.owner import has_ended, owner

EXPIRES_AFTER = 120.0
_TOUCH_EVERY = 20.0

_ATTEMPTS = 6
"""Two processes that claim a unit at the same moment both withdraw, and try again after a random
time."""

_LONGEST_HOST = 30  # characters


class Claim(NamedTuple):
    """The claim of a process on a unit of work.

    Attributes:
        file: the file of the claim.
        unit: the folder that exists when the unit is done.
        host: name of the holder's machine.
        owner: name of the holder (:mod:`hear_byola.core.owner`).
        since: when the unit was claimed, in seconds since 1970 by the holder's clock; 0 if unknown.
    """

    file: Path
    unit: Path
    host: str
    owner: str
    since: float = 0.0

    @property
    def process(self) -> int:
        """Number of the holder's process on its machine."""
        return int(self.owner.split("-")[1])

    @property
    def age(self) -> float:
        """Seconds since the holder's last sign of life.

        Raises:
            FileNotFoundError: the claim was released.
        """
        return time.time() - self.file.stat().st_mtime

    def is_abandoned(self) -> bool:
        """Return whether the holder has ended, or has given no sign of life for too long."""
        ended = has_ended(self.owner)
        if ended is not None:
            return ended
        try:
            age = self.age
        except FileNotFoundError:
            return True
        if age < 0:  # the clocks differ: the time without a sign of life counts from now on
            now = time.time()
            with contextlib.suppress(OSError):
                os.utime(self.file, (now, now))
        return age > EXPIRES_AFTER


@contextlib.contextmanager
def lease(unit: Path) -> Iterator[bool]:
    """Claim ``unit`` for the length of the block; yield False if another process holds it.

    Raises:
        OSError: the claim cannot be made. No claim is left then.
    """
    unit.parent.mkdir(parents=True, exist_ok=True)
    path = _claim(unit)
    if path is None:
        yield False
        return
    stop = threading.Event()
    # The block can change the working directory for a moment, so the keeper gets the whole path.
    keeper = threading.Thread(target=_keep, args=(path.absolute(), stop), daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        stop.set()
        keeper.join()
        with contextlib.suppress(OSError):  # it must not replace the error of the block
            path.unlink(missing_ok=True)


def claims_in(folder: Path) -> list[Claim]:
    """Return the claims on the units of a folder."""
    with os.scandir(folder) as entries:
        read = [_read(folder / entry.name) for entry in entries if entry.name.endswith(".lease")]
    return [claim for claim in read if claim is not None]


def remove_abandoned_claims(folder: Path) -> list[Claim]:
    """Remove the abandoned claims in a folder, and return the others."""
    held = []
    for claim in claims_in(folder):
        if claim.is_abandoned():
            claim.file.unlink(missing_ok=True)
        else:
            held.append(claim)
    return held


def is_held(unit: Path) -> bool:
    """Return whether a process holds ``unit``; remove abandoned claims in its folder."""
    try:
        return _others(unit)
    except FileNotFoundError:  # the folder is not there yet
        return False


def claim_on(unit: Path) -> str:
    """Return who claims ``unit``, and when the claim ends, in words; empty if nobody does."""
    try:
        (claim, *_) = [claim for claim in claims_in(unit.parent) if claim.unit == unit]
        age = claim.age
    except (ValueError, FileNotFoundError):
        return ""
    who = f"claimed by process {claim.process} on {claim.host}"
    if has_ended(claim.owner) is not None:
        return f"{who}; taken over when it ends"
    if age < 0:
        return f"{who}, whose clock is {-age:.0f} s ahead of this one"
    return (
        f"{who}, last sign of life {age:.0f} s ago; taken over after {EXPIRES_AFTER:.0f} s "
        "without one"
    )


def _claim(unit: Path) -> Path | None:
    """Return the file of a claim of this process; None if another process has a claim."""
    for attempt in range(_ATTEMPTS):
        if _others(unit):
            return None
        token = f"{int(time.time()):x}-{secrets.token_hex(4)}"
        path = unit.with_name(f"{unit.name}.{_host()}.{owner()}.{token}.lease")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        alone = False
        try:
            # Of two processes, the one that created its file later sees the other's.
            alone = not _others(unit, path)
        finally:
            if not alone:
                path.unlink(missing_ok=True)
        if alone:
            return path
        time.sleep(secrets.randbelow(10 * 2**attempt + 1) / 1000)
    return None


def _others(unit: Path, own: Path | None = None) -> bool:
    """Return whether there is a claim besides one's own; remove abandoned ones."""
    claims = remove_abandoned_claims(unit.parent)
    return any(claim.unit == unit and claim.file != own for claim in claims)


def _read(file: Path) -> Claim | None:
    parts = file.name.rsplit(".", 4)
    if len(parts) < 5:
        return None
    unit, host, holder, token, _ = parts
    if not re.fullmatch(r"[^-]+-[0-9]+-[^-]+", holder):
        return None
    made = re.fullmatch(r"([0-9a-f]{1,12})-[0-9a-f]+", token)
    return Claim(file, file.with_name(unit), host, holder, int(made[1], 16) if made else 0.0)


def _host() -> str:
    return re.sub(r"[^\w-]", "_", socket.gethostname())[:_LONGEST_HOST] or "_"


def _keep(path: Path, stop: threading.Event) -> None:
    while not stop.wait(_TOUCH_EVERY):
        try:
            os.utime(path)
        except FileNotFoundError:
            return
        except OSError:  # a network that is away for a while
            continue
