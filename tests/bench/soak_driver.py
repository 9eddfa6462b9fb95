"""Measure memory and open files of the first process of a long run whose workers are killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from soaking import Seen, Wanted
from support import task_directories
from support.kills import descendants, parent_of

from harness.core.deadline import INTERRUPTED

TITLE = "A long run"
_LOOK_EVERY = 0.5  # seconds
_KILL_EVERY = 5.0  # seconds between kills of a worker
_MODELS = 20
_SECONDS_OF_SEED = 0.7  # less than two cores need for the probes of a model with a seed
_PREDICTED = ("embeddings", "probes", "results")  # folders whose size a dry run predicts
_MOMENTS = ("a tenth", "a quarter", "half", "three quarters", "the end")
_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class _Look:
    """What the first process has at a moment: finished units of the run, bytes, open files."""

    units: int
    memory: int
    files: int
    threads: int


def section(wanted: Wanted) -> Seen:
    """Run many units in one session, kill a worker every few seconds, and stop it in the end."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        root = Path(name)
        words = _command(root, wanted.seconds)
        expected = _expected_bytes(words)
        looks, kills, took, code = _session(words, root, wanted)
        expected -= _expected_bytes(words)
        written = sum(_size(root / "run" / name) for name in _PREDICTED)
        other = _size(root / "run") - written
    units = looks[-1].units
    rows = []
    for moment, share in zip(_MOMENTS, _SHARES):
        look = next(each for each in looks if each.units >= share * units)
        figures = f"{look.memory / 1e6:.0f} | {look.files} | {look.threads}"
        rows.append(f"| {moment} | {look.units} | {figures} |")
    lines = [
        "One command does many units, and one of its workers is killed every few seconds, until",
        "the time is over and it gets SIGTERM. The figures are those of its first process.",
        "",
        "| moment | finished units | memory (MB) | open files | threads |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"- Workers killed: {kills}. Time of the session: {took:.0f} s. Exit code: {code}.",
        f"- Disk: {written / 1e6:.1f} MB of embeddings, probes and results; `--dry-run` expected "
        f"{expected / 1e6:.1f} MB for what was done. {other / 1e6:.1f} MB of other files.",
        "- The prediction takes trainings of the usual length, and `byola`'s on these tiny tasks",
        "  of noise are longer: few end early. Of the other files the plan is the largest.",
    ]
    return Seen(lines, faults=int(code not in (0, INTERRUPTED)))


def _command(root: Path, seconds: float) -> list[str]:
    tasks = [
        task_directories.make_task(root, kind, n=6, seconds=0.3) for kind in ("scene", "kfold")
    ]
    words = ["run", "--jobs", "2", "--out", str(root / "run")]
    words += ["--seeds", str(max(1, round(seconds / _MODELS / _SECONDS_OF_SEED)))]
    for model in range(_MODELS):
        words += ["-m", f"hear_byola,seed={model},name=random-{model}"]
    for task in tasks:
        words += ["-t", str(task)]
    for protocol in ("linear", "knn", "byola"):
        words += ["--protocol", protocol]
    return [sys.executable, "-m", "harness.cli", *words]


def _expected_bytes(words: list[str]) -> int:
    """Return the bytes that a run would still write."""
    dry = subprocess.run([*words, "--dry-run", "--json"], capture_output=True, check=True)
    return int(json.loads(dry.stdout)["expected_bytes"])


def _session(words: list[str], root: Path, wanted: Wanted) -> tuple[list[_Look], int, float, int]:
    chance, stopped = random.Random(wanted.seed), False
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    looks: list[_Look] = []
    kills, began, last = 0, time.monotonic(), time.monotonic()
    while process.poll() is None:
        units = sum(1 for _ in root.glob("run/probes/*/*/*"))
        if units and (look := _look(process.pid, units)):
            looks.append(look)
        if units and time.monotonic() - last > _KILL_EVERY:
            last = time.monotonic()
            kills += _kill_worker(process.pid, chance)
        if not stopped and time.monotonic() - began > wanted.seconds:
            process.terminate()
            stopped = True
        time.sleep(_LOOK_EVERY)
    return looks, kills, time.monotonic() - began, process.returncode


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _look(pid: int, units: int) -> _Look | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # it has just ended
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines())
    if "VmRSS" not in fields:
        return None
    return _Look(units, 1024 * int(fields["VmRSS"].split()[0]), files, int(fields["Threads"]))


def _kill_worker(pid: int, chance: random.Random) -> bool:
    workers = [each for each in descendants(pid) if parent_of(each) != pid]
    if not workers:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(workers), signal.SIGKILL)
    return True
