"""Write a planned task and its card."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from harness.core.errors import UserError
from tasks.cards.card import CARD
from tasks.cards.cardfile import add_card, card_in
from tasks.format.files import METADATA
from tasks.format.newtask import NewTask
from tasks.format.writer import LEFT_OUT, Bad, names_left_out, write_task
from tasks.make.plan import TaskPlan
from tasks.make.recordings import read_recording
from tasks.make.wishes import Wishes


def finish(plan: TaskPlan, tasks_dir: Path, *, jobs: int, say: Callable[[str], None]) -> Path:
    """Write the task directory and the card in it; keep and report what already exists.

    Raises:
        UserError: as :func:`tasks.format.writer.write_task`.
    """

    def without(bad: Bad) -> NewTask:
        cure = "Correct them, remove them from the table or give --skip-bad"
        names = names_left_out(bad, say, skip=plan.wishes.skip_bad, cure=cure)
        return plan.without({plan.files[name] for name in names}).task

    directory = write_task(
        plan.task,
        tasks_dir,
        read_recording,
        rates=plan.rates,
        jobs=jobs,
        say=say,
        without=without,
        seconds=math.fsum(plan.seconds.values()),
        elsewhere="give the new task a different --name or --version",
    )
    # Read from the directory, because an earlier run may have left recordings out.
    left_out = json.loads((directory / METADATA).read_bytes()).get(LEFT_OUT, ())
    if not add_card(plan.without(left_out).card, directory):
        _tell_unlike(directory, plan.wishes, say)
    return directory


def _tell_unlike(directory: Path, wishes: Wishes, say: Callable[[str], None]) -> None:
    """Report each option of the user that differs from the existing card."""
    try:
        card = card_in(directory)
    except UserError as error:
        say(str(error))
        return
    for field, wish in wishes.on_card().items():
        if wish.strip() != (there := getattr(card, field)):
            has = f"has the {field} '{there}'" if there else f"has no {field}"
            say(
                f"{directory / CARD} is kept: it {has}, not --{field} '{wish}'. Change the card, "
                "or delete it and run again."
            )
