"""Gather the result rows of runs, and read the predictions behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.compare.measured import Measured, measure
from harness.core.counts import plural
from harness.core.errors import UserError, did_you_mean
from harness.results import find_evaluations, frame, latest, read_rows
from harness.results.folder import RECORD, placed_results
from harness.results.newest import warn_of_runs_that_differ
from harness.results.record import read_record
from tasks.format.task import short_names

_KEY = ["model_fingerprint", "task", "protocol", "seed", "run_id", "started_at"]
_MOST_APART = 1e-6  # allowed difference of a stored value and the one computed from predictions


@dataclass(frozen=True, repr=False)
class Results:
    """Result rows of some runs, and the evaluations that they are of.

    What was measured once is remembered, so one object should serve all that is made of a run.

    Attributes:
        table: the newest rows, as :func:`harness.results.latest` gives and names them, with the
            columns ``written`` (the model's name before it was told from a twin) and ``run`` (a
            run's folder or CSV).
        rows: of these the primary metrics over all test folds.
    """

    table: pd.DataFrame
    rows: pd.DataFrame
    _evaluations: Mapping[tuple, Path]
    _measured: dict[Path, Measured] = field(default_factory=dict)

    @property
    def failures(self) -> pd.DataFrame:
        """The failed evaluations: ``model``, ``task``, ``protocol``, ``seed``, ``error``."""
        failed = self.table[self.table.status == "failed"]
        return failed[["model", "task", "protocol", "seed", "error"]].reset_index(drop=True)

    @property
    def has_predictions(self) -> bool:
        """Whether any row has predictions."""
        return any((place / RECORD).is_file() for place in self._evaluations.values())

    def __repr__(self) -> str:
        counts = [
            plural(self.table[column].nunique(), column) for column in ("model", "task", "protocol")
        ]
        failed = f", {len(self.failures)} failed" if len(self.failures) else ""
        return f"<Results: {', '.join(counts)}{failed}>"

    def of_tasks(self, only: Sequence[str] = (), exclude: Sequence[str] = ()) -> Results:
        """Return the results on some tasks, named as in tables or by their directories.

        Args:
            only: the tasks to keep; by default all.
            exclude: the tasks to leave out.

        Raises:
            UserError: a task has no results, or no task is left.
        """
        if not only and not exclude:
            return self
        kept = set(choose(self.rows, "task", only) if only else self.rows.task)
        kept -= set(choose(self.rows, "task", exclude))
        if not kept:
            raise UserError("No task is left: --exclude names every task that -t chooses.")
        table = self.table[self.table.task.isin(kept)].reset_index(drop=True)
        rows = self.rows[self.rows.task.isin(kept)].reset_index(drop=True)
        return replace(self, table=table, rows=rows)

    def evaluation(self, row: pd.Series) -> Path | None:
        """Return the folder of a row's evaluation; None if it has no record."""
        found = self._evaluations.get(_key(row.run, row.written, row))
        return found if found is not None and (found / RECORD).is_file() else None

    def measure(self, row: pd.Series) -> Measured:
        """Measure what a row's predictions are; a second time from memory.

        Raises:
            UserError: they are missing, damaged, or give another value than the row's.
        """
        place = self.evaluation(row)
        if place is None and Path(row.run).is_file():
            raise UserError(f"{row.run} contains no predictions. Name the run's folder instead.")
        if place is None:
            raise UserError(
                f"{row.run} has no predictions of it: they were deleted, or made by an older "
                "version. Run again."
            )
        if place not in self._measured:
            self._measured[place] = measure(read_record(place))
        found = self._measured[place]
        apart = not np.isclose(found.value, row.value, rtol=0, atol=_MOST_APART, equal_nan=True)
        if apart or found.metric.name != row.metric:
            raise UserError(
                f"{place}: its predictions give another result ({found.metric.name} "
                f"{found.value:.6g}) than its row ({row.metric} {row.value:.6g}). "
                "Delete that folder and run again."
            )
        return found


def _key(run: object, model: str, row: pd.Series | Mapping[str, object]) -> tuple:
    return (str(run), model, *(row[column] for column in _KEY))


def gather(runs: Path | str | Sequence[Path | str]) -> Results:
    """Read the rows of runs: folders, parts of them, or CSV files; one or several.

    Of a CSV predictions are known where it is the ``results.csv`` of a run's folder.

    Warns:
        UserWarning: two runs tell different values of the same thing; the newest counts.

    Raises:
        UserError: nothing there, or not results; two rows of one run contradict each other.
    """
    named = [runs] if isinstance(runs, Path | str) else runs
    # A row that stands in a table alone and in a folder too is that of the folder: latest keeps
    # the last of equals.
    ordered = sorted(dict.fromkeys(map(Path, named)), key=lambda run: not run.is_file())
    tables, evaluations, everything = [], {}, []
    for run in ordered:
        read = list(placed_results(find_evaluations(run)))
        rows = read if read and run.is_dir() else read_rows(run)
        tables.append(frame(dict.fromkeys(placed.row for placed in rows)).assign(run=str(run)))
        for place, row in read:
            evaluations[_key(run, row.model.label, row.flat())] = place.file.parent
        everything += rows
    warn_of_runs_that_differ(everything)
    table = pd.concat(tables, ignore_index=True)
    table = latest(table.assign(written=table.model))
    primary = table[(table.split == "all") & table.is_primary].reset_index(drop=True)
    return Results(table, primary, evaluations)


def choose(rows: pd.DataFrame, column: str, wanted: Sequence[str]) -> list[str]:
    """Return the values of a column with these names; tasks can have their short names.

    Raises:
        UserError: a name has no results.
    """
    known = sorted(set(rows[column]))
    names = dict(zip(known, known))
    if column == "task":
        names = {**dict(zip(short_names(known), known)), **names}
    chosen = []
    for name in wanted:
        if column == "model" and name not in names:
            _refuse_twins(rows, name)
        if name not in names:
            raise UserError(
                f"No results of the {column} '{name}'.{did_you_mean(name, names)} "
                f"Known: {', '.join(known)}."
            )
        chosen.append(names[name])
    return list(dict.fromkeys(chosen))


def _refuse_twins(rows: pd.DataFrame, name: str) -> None:
    """Refuse a name that several models share.

    Raises:
        UserError: several models have this name; all are listed.
    """
    twins = rows[rows.written == name].sort_values("started_at").groupby("model", sort=False)
    if twins.ngroups:
        last = twins[["checkpoint", "started_at"]].last()
        told = [f"{model} ({', '.join(filter(None, last.loc[model]))})" for model in last.index]
        raise UserError(
            f"'{name}' is the name of several models, of other weights, source or options: "
            f"{', '.join(told)}. Name one of them."
        )


def read_measured(results: Results, rows: pd.DataFrame) -> tuple[list[Measured], list[str]]:
    """Measure the seeds of one model on one task: what could be read, and why others could not."""
    found, missing = [], []
    for row in rows.sort_values("seed").itertuples():
        if row.status == "failed":
            missing.append(f"seed {row.seed} of {row.model} failed: {row.error}")
            continue
        try:
            found.append(results.measure(rows.loc[row.Index]))
        except UserError as error:
            missing.append(f"seed {row.seed} of {row.model}: {error}")
    return found, missing
