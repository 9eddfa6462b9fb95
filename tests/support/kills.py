"""Kill a run at random moments, start it again, and compare its end with that of a whole run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from harness.results import KEY, read_csv

PHASES = {
    "embedding": "embeddings/*/*/*.lease",
    "probing": "probes/*/*/*.lease",
    "scoring": "results/*/*/*.lease",
    "writing": "*/*/*/.*.part",
}
"""Phases of a run, with the files that exist during each."""

VICTIMS = ("group", "parent", "worker", "SIGTERM", "SIGINT")
"""Who gets SIGKILL: all processes of the command, its first one, or a worker. SIGTERM and SIGINT go
to the first process."""

RAY_WORKER = "Ray worker"
"""A victim on a Ray cluster that this process has started: a worker that has a call."""

SHORT = 2.0
"""Seconds of work in which a unit need not end."""

UNITS = ("embeddings/*/*/*", "probes/*/*/*", "results/*/*/*")
LEFTOVERS = ("*.lease", "*.part", "*.partial", "*.progress", ".*")
OF_A_RUN = ["run_id", "command", "started_at", "embed_seconds", "probe_seconds"]


@dataclass
class Outcome:
    """What was seen during the kills of one or several runs.

    Attributes:
        kills: number of kills by phase and victim.
        early: starts that were killed in the first two seconds of their work, before any of their
            units ended.
        idle: starts that worked longer before their kill, and finished no unit.
        longest_idle: seconds of work of these, worst case.
        redone: units that had finished and were made again.
        survivors: processes that still ran 5 s after the first process was killed.
        seconds_to_stop: seconds from SIGTERM or SIGINT to the end of the command, worst case.
        runs: runs that were finished and compared.
        faults: what was wrong at the end of these, as sentences.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    early: int = 0
    idle: int = 0
    longest_idle: float = 0.0
    redone: int = 0
    survivors: int = 0
    seconds_to_stop: float = 0.0
    runs: int = 0
    faults: list[str] = field(default_factory=list)

    def count_idle(self, seconds: float) -> None:
        """Count a start that was killed and finished no unit, with the seconds of its work."""
        if seconds < SHORT:
            self.early += 1
        else:
            self.idle += 1
            self.longest_idle = max(self.longest_idle, seconds)

    def of_phase(self, phase: str) -> int:
        """Return the number of kills in a phase."""
        return sum(number for (of, _), number in self.kills.items() if of == phase)

    def of_victim(self, victim: str) -> int:
        """Return the number of kills of a victim."""
        return sum(number for (_, of), number in self.kills.items() if of == victim)


def run_whole(command: Sequence[str], out: Path) -> pd.DataFrame:
    """Run a command without a kill; return its rows.

    Args:
        command: a ``hear-byola`` command without ``--out``.
        out: the run's folder.
    """
    done = subprocess.run(_arguments(command, out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return read_rows(out)


def run_with_kills(
    command: Sequence[str],
    out: Path,
    expected: pd.DataFrame,
    kills: int,
    chance: random.Random,
    outcome: Outcome,
    wanted: Sequence[str] = tuple(PHASES),
    victims: Sequence[str] = VICTIMS,
) -> None:
    """Run a command, kill it again and again, and look at what it leaves at its end.

    Args:
        command: a ``hear-byola`` command without ``--out``.
        out: the run's folder, not yet there.
        expected: the rows of a run without a kill.
        kills: number of kills at most; the run may finish before.
        chance: draws phases, victims and moments.
        outcome: gets what is seen.
        wanted: the phases in which to kill.
        victims: who can be killed.
    """
    code = None
    for _ in range(kills):
        before, stale, worked = _units(out), _claims(out), None
        process = subprocess.Popen(
            _arguments(command, out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        phase, victim = chance.choice(list(wanted)), chance.choice(victims)
        began = _await(process, out, PHASES[phase], stale)
        time.sleep(chance.uniform(0, 0.1))
        # A phase can be over after milliseconds, so the kill waits for its next moment.
        if began is not None and _await(process, out, PHASES[phase], stale) is not None:
            worked = time.monotonic() - began
            if process.poll() is None and _kill(process, victim, outcome):
                outcome.kills[phase, victim] += 1
        if victim in ("worker", RAY_WORKER):
            process.wait(timeout=600)  # the run replaces its worker
        code = process.poll()
        after = _units(out)
        if code != 0 and before == after and worked is not None:
            outcome.count_idle(worked)
        outcome.redone += sum(before[unit] != after.get(unit) for unit in before)
        if code == 0:
            break
    if code != 0:
        before = _units(out)
        code = subprocess.run(_arguments(command, out), capture_output=True).returncode
        after = _units(out)
        outcome.redone += sum(before[unit] != after.get(unit) for unit in before)
    outcome.faults += [f"{out.name}: {fault}" for fault in _faults(code, out, expected)]
    outcome.runs += 1


def _faults(code: int, out: Path, expected: pd.DataFrame) -> Iterator[str]:
    """Yield what is wrong at the end of a run."""
    if code != 0:
        yield f"exit code {code}"
        return
    rows = read_rows(out)
    if rows.duplicated(list(KEY)).any():
        yield "a row occurs twice"
    elif not rows.equals(expected):
        yield "rows are not equal to those of a run without a kill"
    left = [str(path.relative_to(out)) for each in LEFTOVERS for path in out.rglob(each)]
    if left:
        yield f"left files: {', '.join(left)}"


def _arguments(command: Sequence[str], out: Path) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *command, "--out", str(out)]


def read_rows(out: Path) -> pd.DataFrame:
    return read_csv(out / "results.csv").drop(columns=OF_A_RUN)


def _units(out: Path) -> dict[Path, int]:
    """Return the finished units of a run; a unit that is made again has another number."""
    return {
        path: path.stat().st_ino
        for pattern in UNITS
        for path in out.glob(pattern)
        if path.is_dir() and not path.name.startswith(".") and not path.name.endswith("-chunks")
    }


def _claims(out: Path) -> set[Path]:
    """Return what exists during the phases of a run."""
    return {path for pattern in PHASES.values() for path in out.glob(pattern)}


def _await(process: subprocess.Popen, out: Path, pattern: str, stale: set[Path]) -> float | None:
    """Wait for a phase of a run; return when its work began, None if the run ends before.

    Args:
        process: the run.
        out: its folder.
        pattern: of the phase.
        stale: what killed processes have left.
    """
    began = None
    while process.poll() is None:
        now = _claims(out) - stale
        if now and began is None:
            began = time.monotonic()
        if not now.isdisjoint(out.glob(pattern)):
            return began
        time.sleep(0.01)
    return None


def _kill(process: subprocess.Popen, victim: str, outcome: Outcome) -> bool:
    """Kill a victim, and see what happens to the others; return False if there is no victim."""
    family = list(descendants(process.pid))
    began = time.monotonic()
    if victim in ("worker", RAY_WORKER):
        workers = [pid for pid in family if parent_of(pid) != process.pid]
        if victim == RAY_WORKER:
            workers = [pid for pid in descendants(os.getpid()) if is_busy_ray_worker(pid)]
        if not workers:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(workers[0], signal.SIGKILL)
        return True
    if victim == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.send_signal(signal.SIGKILL if victim == "parent" else signal.Signals[victim])
    process.wait(timeout=60)
    if victim in ("SIGTERM", "SIGINT"):
        outcome.seconds_to_stop = max(outcome.seconds_to_stop, time.monotonic() - began)
    while any(map(runs, family)) and time.monotonic() < began + 5:
        time.sleep(0.02)
    outcome.survivors += sum(map(runs, family))
    return True


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process and its processes have started, and that still run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        children.setdefault(parent_of(int(entry.name)), []).append(int(entry.name))
    found = children.get(pid, [])
    while found:
        yield from found
        found = [child for parent in found for child in children.get(parent, [])]


def is_ray_worker(pid: int) -> bool:
    """Return whether a process of Ray runs calls; a node ends with its agents."""
    title = title_of(pid)
    return title.startswith(b"ray::") and b"Agent" not in title


def is_busy_ray_worker(pid: int) -> bool:
    """Return whether a process of Ray has calls of ours; the cluster keeps idle ones."""
    return is_ray_worker(pid) and b"IDLE" not in title_of(pid)


def title_of(pid: int) -> bytes:
    """Return the title of a process; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _status(pid: int) -> list[str]:
    """Return the state and the parent of a process; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return []


def parent_of(pid: int) -> int:
    """Return the number of a process's parent; 0 if it has ended."""
    return int((_status(pid) or ["", "0"])[1])


def runs(pid: int) -> bool:
    """Return whether a process has not ended."""
    return _status(pid)[:1] not in ([], ["Z"], ["X"])
