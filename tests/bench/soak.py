"""Kill runs at random moments and write what was seen to ``results/soak.md``: ``make soak``."""

from __future__ import annotations

import argparse
import datetime
import platform
import random
import tempfile
import time
from pathlib import Path

from support import task_directories
from support.kills import PHASES, VICTIMS, Outcome, run_whole, run_with_kills

LEAST_OF_PHASE = 5
MODELS = ("harness.baselines.logmel,name=logmel", "hear_byola,seed=1,name=random")
PROTOCOLS = ("linear", "knn", "hear2021")


def soak(seconds: float, kills: int, seed: int) -> tuple[Outcome, float]:
    """Kill runs until there were enough kills in every phase, or the time is over.

    Returns:
        What was seen, and the seconds that it took.
    """
    began = time.monotonic()
    chance, outcome = random.Random(seed), Outcome()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        tasks = [
            task_directories.make_task(folder, kind, n=8, seconds=0.5)
            for kind in ("scene", "kfold")
        ]
        command = ["run", "--jobs", "2"]
        for model in MODELS:
            command += ["-m", model]
        for task in tasks:
            command += ["-t", str(task)]
        for protocol in PROTOCOLS:
            command += ["--protocol", protocol]
        expected = run_whole(command, folder / "whole")
        number = 0
        while time.monotonic() - began < seconds:
            lacking = [phase for phase in PHASES if outcome.of_phase(phase) < LEAST_OF_PHASE]
            if outcome.kills.total() >= kills and not lacking:
                break
            number += 1
            run_with_kills(
                command, folder / f"killed{number}", expected, 20, chance, outcome,
                lacking or tuple(PHASES),
            )  # fmt: skip
            print(f"{outcome.kills.total()} kills, {outcome.runs} runs", flush=True)
    return outcome, time.monotonic() - began


def report(outcome: Outcome, took: float, arguments: str) -> str:
    """Return what was seen as a page."""
    rows = [
        f"| {phase} | " + " | ".join(str(outcome.kills[phase, each]) for each in VICTIMS)
        + f" | {outcome.of_phase(phase)} |"
        for phase in PHASES
    ]  # fmt: skip
    total = " | ".join(str(outcome.of_victim(each)) for each in VICTIMS)
    return "\n".join(
        [
            "# Runs that are killed",
            "",
            f"Written by `make soak` ({arguments}) on {datetime.date.today()}, in {took:.0f} s, on",
            f"{platform.system()} {platform.machine()} with Python {platform.python_version()}.",
            "",
            "Two models, two tasks and three protocols run with two workers. The command is killed",
            "at random moments of a phase, and given again. SIGKILL goes to all its processes, to",
            "the first one, or to a worker; SIGTERM and SIGINT go to the first one.",
            "",
            f"| phase | {' | '.join(VICTIMS)} | all |",
            "|" + " --- |" * (len(VICTIMS) + 2),
            *rows,
            f"| all | {total} | {outcome.kills.total()} |",
            "",
            f"- Runs that were finished and compared: {outcome.runs}. All their rows were equal",
            "  to those of a run without a kill, no row occurred twice, and no claim or temporary",
            "  file was left.",
            f"- Finished units that ran again: {outcome.redone}.",
            f"- Starts that finished no unit before the next kill: {outcome.idle}.",
            f"- Processes that ran 5 s after their first process was killed: {outcome.survivors}.",
            f"- Longest time from SIGTERM or SIGINT to the end: {outcome.seconds_to_stop:.1f} s.",
            "",
        ]
    )


def main() -> None:
    """Read the command line, kill, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="at most")
    parser.add_argument("--kills", type=int, default=100, help="at least, if the time allows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/soak.md"))
    chosen = parser.parse_args()
    outcome, took = soak(chosen.seconds, chosen.kills, chosen.seed)
    told = f"--seconds {chosen.seconds:.0f} --kills {chosen.kills} --seed {chosen.seed}"
    chosen.out.write_text(report(outcome, took, told))
    print(chosen.out.read_text())


if __name__ == "__main__":
    main()
