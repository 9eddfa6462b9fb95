"""Runs that are killed at random moments; `make soak` kills longer runs more often."""

from __future__ import annotations

import random
import sys

import pytest
from support import task_directories
from support.kills import Outcome, run_whole, run_with_kills

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


def test_a_run_that_is_killed_and_started_again_ends_as_if_nothing_had_happened(tmp_path):
    scene = task_directories.make_task(tmp_path, "scene", n=6, seconds=0.3)
    events = task_directories.make_task(tmp_path, "events", n=4, seconds=1.0)
    command = [
        "run", "--jobs", "2", "-m", "harness.baselines.logmel,name=logmel",
        "-m", "harness.baselines.random,name=random", "-t", str(scene),
        "-t", str(events), "--protocol", "knn", "--protocol", "linear", "--protocol", "byola",
    ]  # fmt: skip
    expected = run_whole(command, tmp_path / "whole")
    outcome = Outcome()
    run_with_kills(command, tmp_path / "killed", expected, 6, random.Random(1), outcome)
    assert outcome.kills.total() >= 2
    assert (outcome.runs, outcome.redone, outcome.survivors) == (1, 0, 0)
    assert outcome.faults == []
    # The promise is 5 s; the rest is for machines with much other work.
    assert outcome.seconds_to_stop < 20
