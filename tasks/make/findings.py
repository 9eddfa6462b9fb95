"""Check the tables of a planned task before any audio is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.core.errors import UserError
from tasks.check.groups import check_groups
from tasks.check.labels import check_labels
from tasks.check.reachable import check_overlaps, check_reachable
from tasks.format.directory import Contents
from tasks.format.newtask import NewTask
from tasks.format.tables import Clip


def check_planned(task: NewTask, tasks_dir: Path, say: Callable[[str], None]) -> None:
    """Report the findings of ``hear-byola tasks check`` on the tables of a planned task.

    Args:
        task: the planned task.
        tasks_dir: folder in which its directory will be made.
        say: called with each finding.

    Raises:
        UserError: a finding is an error.
    """
    contents = Contents(
        fields=dict(task),
        labels=task.labels,
        clips={
            split: tuple(
                Clip(clip.name, clip.labels, clip.events, clip.group)
                for clip in task.clips
                if clip.split == split
            )
            for split in task.splits
        },
    )
    findings = [
        *check_labels(tasks_dir / task.name, contents),
        *check_groups(contents),
        *check_overlaps(contents),
        *check_reachable(contents),
    ]
    for finding in findings:
        say(f"{finding.severity}: {finding.file}: {finding.reason}")
    errors = [finding.reason for finding in findings if finding.severity == "error"]
    if errors:
        raise UserError(f"{task.name} would be an invalid task: {errors[0]}")
