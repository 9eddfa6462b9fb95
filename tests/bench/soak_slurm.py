"""Jobs of a real Slurm that are requeued, stopped at their limit, and killed with their node."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from soaking import LeftOut, Seen, Wanted
from support.slurm import MODELS, PROTOCOLS, TASKS, Disturbed, disturbed_run, is_here

TITLE = "Jobs of Slurm"


def section(wanted: Wanted) -> Seen:
    """Disturb jobs, and return what was seen."""
    if not is_here():
        raise LeftOut("there is no Slurm that answers and that this user may administer")
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        outcome = disturbed_run(Path(name), max(wanted.seconds, 1800.0))
    return Seen(lines(outcome), len(outcome.leftovers) + (not outcome.rows_equal))


def lines(outcome: Disturbed) -> list[str]:
    """Return what was seen, as lines of markdown."""
    version = subprocess.run(["sbatch", "--version"], capture_output=True, text=True).stdout
    equal = "equal" if outcome.rows_equal else "NOT equal"
    return [
        f"`hear-byola submit` on {version.strip()} with two nodes: {len(MODELS)} models,",
        f"{len(TASKS)} tasks, {len(PROTOCOLS)} protocols on the built-in recordings, an array of",
        f"{outcome.jobs} jobs with a time limit of 2 minutes, and the job that finishes the run.",
        "",
        f"- Jobs that were requeued while they ran (`scontrol requeue`): {outcome.requeued}.",
        f"- Jobs that neared their time limit and queued themselves again: {outcome.out_of_time}.",
        f"- Node daemons that were killed, with their jobs: {outcome.nodes_killed}.",
        f"- The {outcome.rows} result rows were {equal} to those of a local run without a fault,",
        "  times and command aside.",
        f"- Claims and temporary files that were left: {len(outcome.leftovers)}.",
        f"- From the submission to the end: {outcome.seconds:.0f} s.",
    ]
