"""Merge results of several files and runs: keep the newest of repeated rows and list the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pandas as pd

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.results import PlacedRow, Repeated, frame, newest, read_placed


@dataclass(frozen=True)
class Merged:
    """Merged results.

    Attributes:
        table: as :func:`harness.results.load` returns it.
        left_out: each row that was replaced by another one.
        doubts: sentences about rows that may not be comparable.
    """

    table: pd.DataFrame
    left_out: tuple[Repeated, ...]
    doubts: tuple[str, ...]


def merge(paths: Sequence[Path]) -> Merged:
    """Merge results CSVs and runs' folders; keep the newest of repeated rows.

    A failure never replaces a value of the same task.

    Raises:
        UserError: a file cannot be read, two rows of one run contradict each other, or values of
            one task are from different numbers of test clips; with both places.
    """
    rows = [placed for path in _once(paths) for placed in read_placed(path)]
    kept, left_out = newest(rows)
    _refuse_other_clips(kept)
    return Merged(frame(placed.row for placed in kept), tuple(left_out), tuple(_doubts(kept)))


def check_output(out: Path, paths: Iterable[Path], *, overwrite: bool = False) -> None:
    """Refuse an output that is an input or, without ``overwrite``, any existing file.

    Raises:
        UserError: the output is refused.
    """
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file, such as {out / 'results.csv'}.")
    for path in paths:
        for read in (path, path / "results.csv"):
            if read.is_file() and out.exists() and out.samefile(read):
                raise UserError(f"{out} is one of the inputs: name another file.")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already: name another file, or give --overwrite.")


def describe_left_out(left_out: Iterable[Repeated]) -> list[str]:
    """Return a line on the replaced rows for each evaluation and pair of files."""
    lines = []
    for _, group in groupby(sorted(left_out, key=_group), key=_group):
        repeated = list(group)
        row = repeated[0].kept.row
        lines.append(
            f"{row.title}: {_places([r.left_out for r in repeated])}, left out for "
            f"{_places([r.kept for r in repeated])}, {_why(repeated[0])}; {_difference(repeated)}."
        )
    return lines


def _once(paths: Sequence[Path]) -> list[Path]:
    found = {path.resolve(): path for path in reversed(paths)}
    return [path for path in paths if found.get(path.resolve()) is path]


def _refuse_other_clips(rows: Sequence[PlacedRow]) -> None:
    first: dict[str, PlacedRow] = {}
    for placed in rows:
        task, found = placed.row.task.name, placed.row.measurement
        if found.split != "all" or found.n_test is None:
            continue
        other = first.setdefault(task, placed)
        n_test = other.row.measurement.n_test
        if n_test != found.n_test:
            raise UserError(
                f"{task} has {plural(n_test or 0, 'test clip')} in {other.place}, and "
                f"{found.n_test} in {placed.place}: values on different clips cannot be in one "
                "table. Run one of them again on the other's task, or leave its rows out."
            )


def _doubts(rows: Sequence[PlacedRow]) -> Iterable[str]:
    """Yield a sentence on each task that differs, and on each name of two models."""
    tasks: dict[str, PlacedRow] = {}
    models: dict[tuple[str, str], PlacedRow] = {}
    told = set()
    for placed in rows:
        task, model = placed.row.task, placed.row.model
        other = tasks.setdefault(task.name, placed)
        if other.row.task.sha256 != task.sha256 and task.name not in told:
            told.add(task.name)
            yield (
                f"{task.name} is not the same in {other.place} and in {placed.place} "
                "(task_sha256): labels, splits or clips left out may differ."
            )
        # A model fitted to each task has other options on each, and so another fingerprint.
        other = models.setdefault((model.label, model.options), placed)
        if other.row.model.fingerprint != model.fingerprint and model.label not in told:
            told.add(model.label)
            yield (
                f"{model.label} is not the same model in {other.place} and in {placed.place} "
                "(model_fingerprint: weights or source differ). Run one of them again under "
                "another name."
            )


def _group(repeated: Repeated) -> tuple:
    old, new = repeated
    return *old.row.evaluation, old.place.file, new.place.file, _why(repeated)


def _why(repeated: Repeated) -> str:
    old, new = repeated.left_out.row, repeated.kept.row
    if old.run.order == new.run.order:
        return "of the same run"
    if old.measurement.status == "failed" and old.run.started_at > new.run.started_at:
        return "which did not fail"
    return f"which is newer ({new.run.started_at} after {old.run.started_at})"


def _places(rows: Sequence[PlacedRow]) -> str:
    numbers = sorted(placed.place.number for placed in rows)
    if len(numbers) == 1:
        return str(rows[0].place)
    # Consecutive numbers have the same difference to their index.
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda p: p[1] - p[0])]
    spans = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"{rows[0].place.file}, {rows[0].place.unit}s {', '.join(spans)}"


def _difference(repeated: Sequence[Repeated]) -> str:
    differing = [r for r in repeated if r.differ]
    if not differing:
        return "the values are equal"
    first = next((r for r in differing if r.kept.row.measurement.is_primary), differing[0])
    old, new = (placed.row.measurement for placed in first)
    differ = "differs" if len(differing) == 1 else "differ"
    return (
        f"{len(differing)} of {plural(len(repeated), 'value')} {differ}, as {new.metric} "
        f"({new.split}): {_number(old.value)} and {_number(new.value)}"
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
