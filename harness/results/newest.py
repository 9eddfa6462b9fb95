"""Rows that tell the same thing: which of them counts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.results.reading import PlacedRow
from harness.results.row import ResultRow


class Repeated(NamedTuple):
    """A row that is left out, and the one that tells the same thing and is kept."""

    left_out: PlacedRow
    kept: PlacedRow

    @property
    def differ(self) -> bool:
        """Whether their values, intervals or statuses differ."""
        return told(self.left_out.row) != told(self.kept.row)


def told(row: ResultRow) -> tuple:
    """Return the status, value and interval of a row."""
    found = row.measurement
    return found.status, found.value, found.ci_low, found.ci_high


def newest(rows: Sequence[PlacedRow]) -> tuple[list[PlacedRow], list[Repeated]]:
    """Keep the newest of the rows that tell the same thing, and name those left out.

    A failure never takes the place of a value of the same task, whichever is newer: it was
    computed elsewhere.

    Raises:
        UserError: two rows of one run tell different values of the same thing.
    """
    kept: dict[tuple, PlacedRow] = {}
    for placed in rows:
        key = placed.row.key
        kept[key] = _better(kept[key], placed) if key in kept else placed
    repeated = [
        Repeated(placed, kept[placed.row.key])
        for placed in rows
        if kept[placed.row.key] is not placed
    ]
    return list(kept.values()), repeated


def _better(one: PlacedRow, other: PlacedRow) -> PlacedRow:
    a, b = one.row, other.row
    if a.measurement.status != b.measurement.status and a.task.sha256 == b.task.sha256:
        return one if a.measurement.status == "done" else other
    if a.run.order != b.run.order:
        return max(one, other, key=lambda each: each.row.run.order)
    if told(a) != told(b):
        raise UserError(
            f"{one.place} and {other.place} are of one run ({a.run.run_id}) and yet say different "
            f"things of {describe(a)}: {_value(one)} and {_value(other)}. Was one edited? Delete "
            "the wrong one."
        )
    return one


def describe(row: ResultRow) -> str:
    """Return in words what a row is the value of."""
    what, probe = row.measurement, row.probe
    return (
        f"{what.metric} of {row.model.label} on {row.task.name} ({probe.protocol}, seed "
        f"{probe.seed}, {what.split})"
    )


def refuse_two_primaries(rows: Sequence[PlacedRow]) -> None:
    """Refuse two metrics that both are the primary one of the same evaluation's split.

    Raises:
        UserError: naming both rows.
    """
    first: dict[tuple, PlacedRow] = {}
    for placed in rows:
        row, found = placed.row, placed.row.measurement
        if not found.is_primary:
            continue
        same = (*row.evaluation, found.split, row.run.run_id)
        other = first.setdefault(same, placed)
        metric = other.row.measurement.metric
        if metric != found.metric:
            raise UserError(
                f"{other.place} and {placed.place}: is_primary is True for {metric} and for "
                f"{found.metric}, and a task has one primary metric. Set the other to False."
            )


def warn_of_runs_that_differ(rows: Sequence[PlacedRow]) -> None:
    """Warn where two runs, or files, tell different values of the same thing, naming a pair.

    Raises:
        UserError: as :func:`newest`.
    """
    _, repeated = newest(rows)
    pairs = [
        each
        for each in repeated
        if each.differ
        and each.left_out.row.task.sha256 == each.kept.row.task.sha256
        and _run_of(each.left_out) != _run_of(each.kept)
    ]
    if pairs:
        (old, new), others = pairs[0], len(pairs) - 1
        do = "does" if others == 1 else "do"
        said = f" So {do} {plural(others, 'other row')}." if others else ""
        warnings.warn(
            f"Runs tell different values of {describe(old.row)}: {_run_of(old)} {_value(old)}, and "
            f"{_run_of(new)} {_value(new)}, which is taken.{said} The newest value counts, and no "
            "failure in its place; name one run's folder to see that run alone.",
            stacklevel=3,
        )


def _value(placed: PlacedRow) -> str:
    found = placed.row.measurement
    return "failed" if found.status == "failed" else str(found.value)


def _run_of(placed: PlacedRow) -> Path:
    if placed.place.file.suffix != ".json":
        return placed.place.file
    # RUN/results/MODEL/TASK/EVALUATION/result.json
    return Path(os.path.normpath(placed.place.file / "../../../../.."))


def warn_of_repeated(path: Path, rows: Sequence[PlacedRow]) -> None:
    """Warn of rows of one file that tell the same thing, naming a pair of them.

    Raises:
        UserError: as :func:`newest`.
    """
    _, repeated = newest(rows)
    # What was computed on a task that has changed since is not the same thing.
    repeated = [r for r in repeated if r.left_out.row.task.sha256 == r.kept.row.task.sha256]
    if not repeated:
        return
    first = next((r for r in repeated if r.differ), repeated[0])
    one, other = first
    values = f"{_value(one)} and {_value(other)}" if first.differ else "the same value"
    rest = len(repeated) - 1
    do = "does" if rest == 1 else "do"
    others = f", and so {do} {plural(rest, 'other pair')}" if rest else ""
    warnings.warn(
        f"{path}, lines {one.place.number} and {other.place.number}, tell {describe(one.row)}: "
        f"{values}{others}. Tables take the newest value, and no failure in its place; "
        f"`hear-byola results merge {path} -o OUT.csv` leaves the others out.",
        stacklevel=4,
    )
