"""Runs that are killed at random moments; `make soak` kills longer runs more often."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pandas as pd
import pytest
from support import task_directories
from support.kills import Outcome, run_whole, run_with_kills

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], pd.DataFrame]:
    """A command and the rows of its run without a kill."""
    folder = tmp_path_factory.mktemp("whole")
    scene = task_directories.make_task(folder, "scene", n=6, seconds=0.3)
    events = task_directories.make_task(folder, "events", n=4, seconds=1.0)
    command = [
        "run", "--jobs", "2", "-m", "harness.baselines.logmel,name=logmel",
        "-m", "harness.baselines.random,name=random", "-t", str(scene),
        "-t", str(events), "--protocol", "knn", "--protocol", "linear", "--protocol", "byola",
    ]  # fmt: skip
    return command, run_whole(command, folder / "run")


def test_a_run_that_is_killed_and_started_again_ends_as_if_nothing_had_happened(
    whole: tuple[list[str], pd.DataFrame], tmp_path: Path
) -> None:
    command, expected = whole
    outcome = Outcome()
    run_with_kills(
        command, tmp_path / "killed", expected, 6, random.Random(1), outcome,
        victims=("group", "parent"),
    )  # fmt: skip
    assert outcome.kills.total() >= 2
    assert (outcome.runs, outcome.redone, outcome.survivors) == (1, 0, 0)
    assert outcome.faults == []


@pytest.mark.parametrize("victim", ["worker", "SIGTERM"])
def test_a_run_that_is_stopped_or_loses_a_worker_ends_as_if_nothing_had_happened(
    whole: tuple[list[str], pd.DataFrame], tmp_path: Path, victim: str
) -> None:
    command, expected = whole
    outcome = Outcome()
    run_with_kills(
        command, tmp_path / "killed", expected, 1, random.Random(1), outcome,
        wanted=("embedding",), victims=(victim,),
    )  # fmt: skip
    assert outcome.of_victim(victim) == 1
    assert (outcome.runs, outcome.redone, outcome.survivors) == (1, 0, 0)
    assert outcome.faults == []
    # The promise is 5 s; the rest is for machines with much other work.
    assert outcome.seconds_to_stop < 20
