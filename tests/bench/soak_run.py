"""Kill ``hear-byola run`` at random moments, and compare its end with that of a whole run."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from soaking import Seen, Wanted
from support import task_directories
from support.kills import PHASES, SHORT, VICTIMS, Outcome, run_whole, run_with_kills

TITLE = "Runs that are killed"

LEAST_OF_PHASE = 5
MODELS = ("harness.baselines.logmel,name=logmel", "hear_byola,seed=1,name=random")
PROTOCOLS = ("linear", "knn", "hear2021")
INTRODUCTION = (
    "Two models, two tasks and three protocols run with two workers. The command is killed",
    "at random moments of a phase, and given again. SIGKILL goes to all its processes, to",
    "the first one, or to a worker; SIGTERM and SIGINT go to the first one.",
)


def section(wanted: Wanted) -> Seen:
    """Kill runs until there were enough kills in every phase, or the time is over."""
    began = time.monotonic()
    chance, outcome = random.Random(wanted.seed), Outcome()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        command = small_run(folder)
        expected = run_whole(command, folder / "whole")
        number = 0
        while time.monotonic() - began < wanted.seconds:
            lacking = [phase for phase in PHASES if outcome.of_phase(phase) < LEAST_OF_PHASE]
            if outcome.kills.total() >= wanted.kills and not lacking:
                break
            number += 1
            run_with_kills(
                command, folder / f"killed{number}", expected, 20, chance, outcome,
                lacking or tuple(PHASES),
            )  # fmt: skip
            print(f"{outcome.kills.total()} kills, {outcome.runs} runs", flush=True)
    return seen(INTRODUCTION, outcome, VICTIMS)


def small_run(folder: Path) -> list[str]:
    """Make the tasks of a run in a folder; return its command without ``--out``."""
    tasks = [
        task_directories.make_task(folder, kind, n=8, seconds=0.5) for kind in ("scene", "kfold")
    ]
    command = ["run", "--jobs", "2"]
    for model in MODELS:
        command += ["-m", model]
    for task in tasks:
        command += ["-t", str(task)]
    for protocol in PROTOCOLS:
        command += ["--protocol", protocol]
    return command


def seen(introduction: Sequence[str], outcome: Outcome, victims: Sequence[str]) -> Seen:
    """Return what was seen. Units that ran again and surviving processes are faults, too."""
    faults = len(outcome.faults) + outcome.redone + outcome.survivors
    return Seen([*introduction, "", *_lines(outcome, victims)], faults)


def _lines(outcome: Outcome, victims: Sequence[str]) -> list[str]:
    rows = [
        f"| {phase} | " + " | ".join(str(outcome.kills[phase, each]) for each in victims)
        + f" | {outcome.of_phase(phase)} |"
        for phase in PHASES
    ]  # fmt: skip
    total = " | ".join(str(outcome.of_victim(each)) for each in victims)
    return [
        f"| phase | {' | '.join(victims)} | all |",
        "|" + " --- |" * (len(victims) + 2),
        *rows,
        f"| all | {total} | {outcome.kills.total()} |",
        "",
        f"- Runs that were finished and compared with one without a kill: {outcome.runs}. Faults",
        "  (unequal rows, rows that occur twice, claims and temporary files that were left): "
        f"{len(outcome.faults)}.",
        *(f"  - {fault}" for fault in outcome.faults),
        f"- Finished units that ran again: {outcome.redone}.",
        f"- Starts killed in the first {SHORT:.0f} s of work, before one of their units ended: "
        f"{outcome.early}.",
        f"- Starts that worked longer and finished no unit: {outcome.idle}"
        + (f" (at most {outcome.longest_idle:.1f} s)." if outcome.idle else "."),
        f"- Processes that ran 5 s after their first process was killed: {outcome.survivors}.",
        f"- Longest time from SIGTERM or SIGINT to the end: {outcome.seconds_to_stop:.1f} s.",
    ]
