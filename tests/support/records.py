"""Read the records of a run."""

from __future__ import annotations

from pathlib import Path

from harness.results import find_evaluations
from harness.results.record import Record, read_record


def records_of(run: Path) -> list[Record]:
    """The records of a run, or a part of it, in the order of their folders."""
    return [read_record(directory) for directory in find_evaluations(run)]
