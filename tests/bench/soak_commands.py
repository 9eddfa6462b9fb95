"""Kill ``pretrain``, ``ablate`` and ``tasks make|prepare|fetch`` at random moments."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from soaking import Seen, Wanted
from support.kill_commands import SIGNALS, Killed, kill_and_repeat
from support.kill_jobs import all_jobs

TITLE = "Other commands that are killed"
KILLS = 8  # of each command, or more if the command line says so


def section(wanted: Wanted) -> Seen:
    """Kill each command, and return what was seen."""
    chance = random.Random(wanted.seed)
    rows, notes, faults = [], [], 0
    with tempfile.TemporaryDirectory(prefix="soak-") as name, all_jobs(Path(name)) as jobs:
        began = time.monotonic()
        for job in jobs:
            if time.monotonic() - began > wanted.seconds:
                notes.append(f"- {job.name}: not tried, the time was over.")
                continue
            folder = Path(name) / "out" / job.name.replace(" ", "-")
            seen = kill_and_repeat(job, folder, max(KILLS, wanted.kills // 10), chance)
            rows.append(_row(job.name, seen))
            notes += [f"- {job.name} left {path}" for path in sorted(set(seen.left))]
            faults += seen.unequal + len(seen.left)
            print(rows[-1], flush=True)
    lines = [
        "A command is killed at random moments of its work and given again, until it finishes.",
        "What it made is compared with that of a command without a kill: weights and curves of",
        "`pretrain` and `ablate`, scores of `ablate`, all files of task directories.",
        "",
        f"| command | {' | '.join(SIGNALS)} | finished | unequal | longest stop (s) | left files |",
        "|" + " --- |" * (len(SIGNALS) + 5),
        *rows,
        *notes,
    ]
    return Seen(lines, faults)


def _row(name: str, seen: Killed) -> str:
    kills = " | ".join(str(seen.kills[each]) for each in SIGNALS)
    return (
        f"| {name} | {kills} | {seen.finished} | {seen.unequal} | {seen.seconds_to_stop:.1f} | "
        f"{len(seen.left)} |"
    )
