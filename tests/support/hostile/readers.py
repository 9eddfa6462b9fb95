"""The table of all readers of files that a user gives, or that a command has kept."""

from __future__ import annotations

from support.hostile import of_runs, of_tasks, of_trainings
from support.hostile.trial import Reader

READERS: tuple[Reader, ...] = (*of_tasks.READERS, *of_runs.READERS, *of_trainings.READERS)
