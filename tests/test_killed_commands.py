"""Commands that are killed and given again; `make soak` kills them more often."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from support.kill_commands import kill_and_repeat
from support.kill_jobs import all_jobs

NAMES = ("tasks make", "tasks prepare", "tasks fetch", "pretrain", "ablate")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_command_ends_as_if_nothing_had_happened(tmp_path: Path, name: str) -> None:
    with all_jobs(tmp_path / "input") as jobs:
        assert [job.name for job in jobs] == list(NAMES)
        (job,) = [job for job in jobs if job.name == name]
        seen = kill_and_repeat(job, tmp_path / "out", 3, random.Random(0))
    assert seen.kills.total() == 3
    assert seen.finished > 0
    assert (seen.unequal, seen.left) == (0, [])
