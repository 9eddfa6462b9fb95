"""Two workers with a thread each beside one with two, on one task: seconds of a whole command.

    python tests/bench/run.py --only workers

One task of 5-second clips of noise, three quarters of them for training, with embeddings of
`hear_byola` (d = 512). A run divides the cores among its workers, so one worker uses both cores
where its work has several threads. The times include the start of the command and planning.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench_start import python, with_children
from noise_task import make_task
from sides import Row, alternate

_SECONDS = 5.0
_LABELS = 10


def rows(repeats: int, tiny: bool) -> Iterator[Row]:
    """Time `embed`, and `probe` of what it made."""
    clips = 40 if tiny else 480
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        counts = {"train": clips * 3 // 4, "valid": clips // 8, "test": clips // 8}
        task = make_task(root, "noise", counts, seconds=_SECONDS, labels=_LABELS)
        minutes = clips * _SECONDS / 60
        made = root / "made"
        _command("embed", task, made, 1)
        for what in ("embed", "probe"):
            kept = made if what == "probe" else None
            yield alternate(
                f"{what}, {minutes:.0f} minutes of audio, 2 workers",
                "1 worker with 2 threads",
                lambda what=what, kept=kept: _fresh(what, task, root / "out", 2, kept),
                lambda what=what, kept=kept: _fresh(what, task, root / "out", 1, kept),
                repeats,
                with_children,
            )


def _fresh(what: str, task: Path, out: Path, jobs: int, kept: Path | None) -> None:
    """Run a command in a new folder, or in a copy of one with embeddings."""
    shutil.rmtree(out, ignore_errors=True)
    if kept is not None:
        shutil.copytree(kept, out)
    _command(what, task, out, jobs)


def _command(what: str, task: Path, out: Path, jobs: int) -> None:
    words = [what, "-m", "hear_byola,seed=0", "-t", str(task), "--out", str(out)]
    words += ["--jobs", str(jobs), *(["--protocol", "hear2021"] if what == "probe" else [])]
    python(["-m", "harness.cli", *words])
