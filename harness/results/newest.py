"""Rows that tell the same thing: which of them counts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.results.row import KEY, PlacedRow, ResultRow

_TOLD = ("status", "value", "ci_low", "ci_high")


class Repeated(NamedTuple):
    """A row that is left out, and the one that tells the same thing and is kept."""

    left_out: PlacedRow
    kept: PlacedRow

    @property
    def differ(self) -> bool:
        """Whether their values, intervals or statuses differ."""
        return told(self.left_out.row) != told(self.kept.row)


def told(row: ResultRow) -> tuple:
    """What a row says of what its key names."""
    return tuple(getattr(row, column) for column in _TOLD)


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
    if a.status != b.status and a.task_sha256 == b.task_sha256:
        return one if a.status == "done" else other
    if (a.started_at, a.run_id) != (b.started_at, b.run_id):
        return max(one, other, key=lambda each: (each.row.started_at, each.row.run_id))
    if told(a) != told(b):
        raise UserError(
            f"{one.place} and {other.place} are of one run ({a.run_id}) and yet say different "
            f"things of {describe(a)}: {a.value} and {b.value}. Was one edited? Delete the wrong "
            "one."
        )
    return one


def describe(row: ResultRow) -> str:
    """Say what a row tells the value of."""
    return (
        f"{row.metric} of {row.model} on {row.task} ({row.protocol}, seed {row.seed}, {row.split})"
    )


def refuse_two_primaries(rows: Sequence[PlacedRow]) -> None:
    """Refuse two metrics that both are the primary one of the same evaluation's split.

    Raises:
        UserError: naming both rows.
    """
    first: dict[tuple, PlacedRow] = {}
    for placed in rows:
        row = placed.row
        if not row.is_primary:
            continue
        same = (*(getattr(row, column) for column in KEY if column != "metric"), row.run_id)
        other = first.setdefault(same, placed)
        if other.row.metric != row.metric:
            raise UserError(
                f"{other.place} and {placed.place}: is_primary is True for {other.row.metric} and "
                f"for {row.metric}, and a task has one primary metric. Set the other to False."
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
        and each.left_out.row.task_sha256 == each.kept.row.task_sha256
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
    return "failed" if placed.row.status == "failed" else str(placed.row.value)


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
    repeated = [r for r in repeated if r.left_out.row.task_sha256 == r.kept.row.task_sha256]
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
