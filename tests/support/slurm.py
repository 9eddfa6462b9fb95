"""Run jobs on a real Slurm, disturb them, and compare their end with that of a local run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from support.kills import LEFTOVERS, descendants, read_rows, run_whole

MODELS = ("logmel", "random")
TASKS = ("demo_guitar_chord", "demo_pipe_pitch", "demo_voice_count")
PROTOCOLS = ("linear", "knn", "byola")
SEEDS = 2
POLL = 2.0


@dataclass
class Disturbed:
    """What was seen of jobs that were disturbed.

    Attributes:
        jobs: number of jobs in the array.
        requeued: jobs that were requeued while they ran.
        out_of_time: times that a job neared its time limit and queued itself again.
        nodes_killed: node daemons that were killed with their jobs.
        rows: number of result rows.
        rows_equal: whether they equal those of a local run, times and command aside.
        leftovers: temporary files and claims at the end.
        seconds: from the submission to the end.
    """

    jobs: int = 0
    requeued: int = 0
    out_of_time: int = 0
    nodes_killed: int = 0
    rows: int = 0
    rows_equal: bool = False
    leftovers: list[Path] = field(default_factory=list)
    seconds: float = 0.0


def is_here() -> bool:
    """Return whether there is a Slurm that answers and that this user may administer."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("sbatch", "scontrol"))):
        return False
    with contextlib.suppress(subprocess.SubprocessError):
        ping = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=30)
        return ping.returncode == 0 and "is UP" in ping.stdout
    return False


def disturbed_run(folder: Path, seconds: float = 3000.0) -> Disturbed:
    """Submit a run on real audio, requeue a job, kill a node, and let jobs reach their limit.

    Args:
        folder: an empty one.
        seconds: after which the run must have ended.
    """
    content = {"models": [*MODELS], "tasks": [*TASKS], "protocols": [*PROTOCOLS], "seeds": SEEDS}
    config, out = folder / "run.yaml", folder / "jobs"
    config.write_text(yaml.safe_dump(content | {"out": str(out)}))
    expected = run_whole(["run", "--config", str(config), "--jobs", "2"], folder / "whole")
    outcome, began = Disturbed(jobs=3), time.monotonic()
    command = [
        "submit", "--slurm", str(config), "--array-max", "3", "--cpus", "1", "--time", "2",
        "--sbatch", "signal=B:USR1@100",
    ]  # fmt: skip
    said = _call([sys.executable, "-m", "harness.cli", *command])
    array, last = re.findall(r"^submitted (\d+)", said, re.MULTILINE)
    jobs = [*(f"{array}_{n + 1}" for n in range(outcome.jobs)), last]
    logs = out / "slurm" / "logs"
    _wait(lambda: all("queued again" in text for text in _texts(logs, outcome.jobs)), 600)
    for job in jobs:
        _call(["scontrol", "update", f"JobId={job}", "TimeLimit=60"])
    _wait(lambda: any(out.glob("results/*/*/*/result.json")), seconds)
    running = _listed(array, "%i")
    if running:
        _call(["scontrol", "requeue", running[0]])
        outcome.requeued += 1
    _wait(lambda: len(list(out.glob("results/*/*/*/result.json"))) > 3, seconds)
    outcome.nodes_killed += _kill_a_node(array)
    _wait(lambda: not _queued(jobs), seconds)
    outcome.out_of_time = sum(text.count("The time limit is near") for text in _texts(logs))
    rows = read_rows(out)
    outcome.rows, outcome.rows_equal = len(rows), rows.equals(expected)
    outcome.leftovers = [path for pattern in LEFTOVERS for path in out.rglob(pattern)]
    outcome.seconds = time.monotonic() - began
    assert (out / "report.html").is_file()
    return outcome


def _texts(logs: Path, least: int = 0) -> list[str]:
    """Return the texts of the logs; one empty text if there are fewer than ``least``."""
    found = [path.read_text() for path in logs.iterdir()]
    return found if len(found) >= least else [""]


def _listed(array: str, form: str) -> list[str]:
    """Return what ``squeue`` lists for the running jobs of an array."""
    return _call(["squeue", "-h", "-t", "running", "-j", array, "-o", form]).split()


def _kill_a_node(array: str) -> int:
    """Kill a node daemon of this machine, with its jobs; return how many were killed.

    Slurm notices the death of a node only after some minutes, so this marks the node as down.
    """
    config = _call(["scontrol", "show", "config"])
    place = dict(re.findall(r"^(Slurmd\w+File)\s*=\s*(\S+)", config, re.MULTILINE))
    for name in _listed(array, "%N"):
        file, log = (place[f"Slurmd{k}File"].replace("%n", name) for k in ("Pid", "Log"))
        if not Path(file).is_file():
            continue
        steps = [pid for pid in _named("slurmstepd") if log in _files(pid)]
        for pid in [int(Path(file).read_text()), *(p for s in steps for p in (s, *descendants(s)))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _call(["scontrol", "update", f"nodename={name}", "state=down", "reason=killed"])
        subprocess.run(["slurmd", "-N", name], check=True)
        time.sleep(POLL)
        # Where ReturnToService is set, the node is back when its daemon is.
        subprocess.run(["scontrol", "update", f"nodename={name}", "state=resume"])
        return 1
    return 0


def _named(name: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().startswith(name[:15]):
                found.append(int(entry.name))
    return found


def _files(pid: int) -> list[str]:
    """Return the open files of a process."""
    found = []
    with contextlib.suppress(OSError):
        found += [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return found


def _queued(jobs: Sequence[str]) -> bool:
    listed = subprocess.run(["squeue", "-h", "-j", ",".join(jobs)], capture_output=True, text=True)
    return bool(listed.stdout.strip())


def _wait(condition, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the jobs take too long"
        time.sleep(POLL)


def _call(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
