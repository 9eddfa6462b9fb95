"""Repeated rows, which have the same ``KEY`` columns: find them and keep the newest."""

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
    """A row that is left out, and the row with the same key that is kept."""

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
    """Return the newest of repeated rows, and the rows that are left out.

    A failure never replaces a value of the same task, even if it is newer: the value was computed
    elsewhere.

    Raises:
        UserError: two rows of one run have the same key and different values.
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
            f"{one.place} and {other.place} are of one run ({a.run.run_id}), but have different "
            f"values of {describe(a)}: {_value(one)} and {_value(other)}. Was one edited? Delete "
            "the wrong one."
        )
    return one


def describe(row: ResultRow) -> str:
    """Return a description of a row: metric, model, task, protocol, seed and split."""
    what, probe = row.measurement, row.probe
    return (
        f"{what.metric} of {row.model.label} on {row.task.name} ({probe.protocol}, seed "
        f"{probe.seed}, {what.split})"
    )


def refuse_two_primaries(rows: Sequence[PlacedRow]) -> None:
    """Refuse two primary metrics on one split of an evaluation.

    Raises:
        UserError: there are two; both rows are named.
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
    """Warn if two runs, or files, have different values with the same key, naming a pair.

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
        do = "differs" if others == 1 else "differ"
        said = f" {plural(others, 'other row')} {do} too." if others else ""
        warnings.warn(
            f"Runs have different values of {describe(old.row)}: {_value(old)} in {_run_of(old)}, "
            f"and {_value(new)} in {_run_of(new)}, which is used.{said} The newest value is used, "
            "and a failure never replaces a value; name one run's folder to see that run alone.",
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
    """Warn of repeated rows in one file, naming a pair of them.

    Raises:
        UserError: as :func:`newest`.
    """
    _, repeated = newest(rows)
    # Rows on different versions of a task are not repeated rows.
    repeated = [r for r in repeated if r.left_out.row.task.sha256 == r.kept.row.task.sha256]
    if not repeated:
        return
    first = next((r for r in repeated if r.differ), repeated[0])
    one, other = first
    values = f"{_value(one)} and {_value(other)}" if first.differ else "the same value"
    rest = len(repeated) - 1
    others = f", and {plural(rest, 'more pair')}" if rest else ""
    warnings.warn(
        f"{path}, lines {one.place.number} and {other.place.number}, both contain "
        f"{describe(one.row)}: {values}{others}. Tables use the newest value, and a failure never "
        f"replaces a value; `hear-byola results merge {path} -o OUT.csv` leaves the others out.",
        stacklevel=4,
    )
