"""Writes a planned task with its card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.files import write_file
from tasks.card import CARD, write_card
from tasks.make.plan import Plan
from tasks.make.recordings import read_recording
from tasks.writer import write_task


def finish(plan: Plan, tasks_dir: Path, *, jobs: int, say: Callable[[str], None]) -> Path:
    """Write the task directory and the card in it; what is there already is kept.

    Raises:
        UserError: as :func:`tasks.writer.write_task`.
    """
    directory = write_task(
        plan.task, tasks_dir, read_recording, rates=plan.rates, jobs=jobs, say=say
    )
    write_file(directory / CARD, write_card(plan.card))
    return directory
