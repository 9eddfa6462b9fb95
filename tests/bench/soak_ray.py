"""Kill the driver and the workers of ``hear-byola run --engine ray`` on a cluster of two nodes."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from soak_run import seen, small_run
from soaking import Seen, Wanted
from support.kills import PHASES, RAY_WORKER, Outcome, run_whole, run_with_kills
from support.ray_clusters import cluster_of

TITLE = "Runs on Ray that are killed"
VICTIMS = ("parent", RAY_WORKER, "SIGTERM", "SIGINT")
KILLS = 12  # or more if the command line says so
INTRODUCTION = (
    "The same run on a Ray cluster of a head and two nodes of one CPU. The command, which is",
    "the driver, or a worker of Ray that has a call is killed, and the command given again.",
)


def section(wanted: Wanted) -> Seen:
    """Kill runs on a cluster, and return what was seen."""
    began = time.monotonic()
    chance, outcome = random.Random(wanted.seed), Outcome()
    with tempfile.TemporaryDirectory(prefix="soak-") as name, cluster_of(0, 1, 1) as cluster:
        folder = Path(name)
        command = small_run(folder)
        expected = run_whole(command, folder / "whole")
        command += ["--engine", "ray", "--ray-address", cluster.address]
        kills, number = max(KILLS, wanted.kills // 8), 0
        while outcome.kills.total() < kills and time.monotonic() - began < wanted.seconds:
            number += 1
            run_with_kills(
                command, folder / f"killed{number}", expected, 6, chance, outcome, tuple(PHASES),
                VICTIMS,
            )  # fmt: skip
            print(f"{outcome.kills.total()} kills, {outcome.runs} runs", flush=True)
    return seen(INTRODUCTION, outcome, VICTIMS)
