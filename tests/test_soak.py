"""The exit code of `make soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.slurm import is_here

TESTS = Path(__file__).parent

# The page and the command line are real; a part takes minutes.
PART = """
import sys
from types import SimpleNamespace
from soaking import Seen

sys.modules["soak_run"] = SimpleNamespace(
    TITLE="Runs that are killed", section=lambda _: Seen(["seen"], FAULTS),
    seen=None, small_run=None,
)
import soak
soak.main()
"""


def soak(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = map(str, (TESTS / "bench", TESTS, TESTS.parent))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, *words, "--seconds", "1", "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(("faults", "code"), [(0, 0), (2, 1)])
def test_a_part_that_sees_faults_is_written_and_fails(
    tmp_path: Path, faults: int, code: int
) -> None:
    page = tmp_path / "soak.md"
    done = soak(page, "-c", PART.replace("FAULTS", str(faults)), "--only", "run")
    assert done.returncode == code, done.stderr
    assert "## Runs that are killed\n" in page.read_text()
    assert ("Parts that failed: run (2 faults)." in done.stderr) is bool(faults)


@pytest.mark.skipif(is_here(), reason="needs a machine without Slurm")
def test_a_part_that_this_machine_cannot_try_is_left_out(tmp_path: Path) -> None:
    page = tmp_path / "soak.md"
    done = soak(page, str(TESTS / "bench" / "soak.py"), "--only", "slurm")
    assert done.returncode == 0, done.stderr
    assert "slurm is left out: there is no Slurm" in done.stdout
    assert not page.exists()
