"""Kill commands at random moments, repeat them, and compare what they make with whole runs.

:mod:`support.kills` does this for ``hear-byola run``, whose phases and units it knows.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SIGNALS = ("SIGKILL of all", "SIGKILL of the first", "SIGTERM", "SIGINT")
"""What ends a command: SIGKILL of all its processes, or a signal to the first one."""

_TOO_LONG = 600.0


@dataclass(frozen=True)
class Job:
    """A command whose work can be repeated after a kill.

    Attributes:
        name: of the command.
        words: returns the command line, without the program, for a folder of output.
        begun: glob of what is in the folder of output when the work has begun.
        result: returns what must be equal at the end.
        program: what runs the command line.
    """

    name: str
    words: Callable[[Path], Sequence[object]]
    begun: str
    result: Callable[[Path], object]
    program: tuple[str, ...] = (sys.executable, "-m", "harness.cli")


@dataclass
class Killed:
    """What was seen while a command was killed again and again.

    Attributes:
        kills: number of kills by signal.
        finished: commands that finished and were compared.
        seconds_to_stop: longest time from SIGTERM or SIGINT to the end.
        left: temporary files and claims that a finished command left.
        unequal: results that differ from that of a command without a kill.
    """

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    seconds_to_stop: float = 0.0
    left: list[str] = field(default_factory=list)
    unequal: int = 0


def kill_and_repeat(job: Job, folder: Path, kills: int, chance: random.Random) -> Killed:
    """Kill a command at random moments of its work, and repeat it until it finishes.

    Args:
        job: the command.
        folder: an empty folder for its output.
        kills: number of kills; a command that finishes before begins anew.
        chance: draws signals and moments.
    """
    whole, seen = folder / "whole", Killed()
    seconds = _run_whole(job, whole)
    expected, number = job.result(whole), 0
    out = folder / "killed0"
    while seen.kills.total() < kills:
        process = _started(job, out)
        if _has_begun(process, out, job.begun):
            time.sleep(chance.uniform(0, seconds))
        if process.poll() is None:
            _kill(process, chance.choice(SIGNALS), seen)
            continue
        assert process.returncode == 0, (job.name, process.returncode)
        _compare(job, out, expected, seen)
        number += 1
        out = folder / f"killed{number}"
    if out.exists():
        _run_whole(job, out)
        _compare(job, out, expected, seen)
    return seen


def snapshot(folder: Path, but: Sequence[str] = ()) -> dict[str, str]:
    """Return a digest of each file below a folder, except files of some names."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in but
    }


def _compare(job: Job, out: Path, expected: object, seen: Killed) -> None:
    seen.finished += 1
    seen.unequal += job.result(out) != expected
    temporary = [*out.rglob("*.part"), *out.rglob("*.lock"), *out.rglob("*.lease")]
    seen.left += [path.relative_to(out).as_posix() for path in temporary]
    shutil.rmtree(out)


def _started(job: Job, out: Path) -> subprocess.Popen[bytes]:
    out.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [*job.program, *map(str, job.words(out))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _run_whole(job: Job, out: Path) -> float:
    """Run a command to its end; return the seconds since its work began."""
    process = _started(job, out)
    _has_begun(process, out, job.begun)
    began = time.monotonic()
    assert process.wait(_TOO_LONG) == 0, job.name
    return time.monotonic() - began


def _has_begun(process: subprocess.Popen[bytes], out: Path, begun: str) -> bool:
    while process.poll() is None:
        if next(out.glob(begun), None):
            return True
        time.sleep(0.005)
    return False


def _kill(process: subprocess.Popen[bytes], how: str, seen: Killed) -> None:
    began = time.monotonic()
    if how == "SIGKILL of all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.send_signal(
            signal.SIGKILL if how.startswith("SIGKILL") else signal.Signals[how].value
        )
    process.wait(_TOO_LONG)
    seen.kills[how] += 1
    if how in ("SIGTERM", "SIGINT"):
        seen.seconds_to_stop = max(seen.seconds_to_stop, time.monotonic() - began)
