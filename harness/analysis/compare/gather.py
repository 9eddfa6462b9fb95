"""Gather the result rows of runs, and read the predictions behind them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.compare.measured import Measured, measure
from harness.core.counts import plural
from harness.core.errors import UserError, did_you_mean
from harness.core.files import expand_home
from harness.results import find_evaluations, frame, latest, read_rows
from harness.results.folder import RECORD, placed_results
from harness.results.newest import warn_of_runs_that_differ
from harness.results.record import read_record
from tasks.format.task import short_names

_KEY = ["model_fingerprint", "task", "protocol", "seed", "run_id", "started_at"]
_MOST_APART = 1e-6  # allowed difference of a stored value and the one computed from predictions


@dataclass(frozen=True, repr=False)
class Results:
    """Result rows of some runs, and the folders of their evaluations.

    Measurements are remembered, so use one object for all that is computed from a run.

    Attributes:
        table: the newest rows, as :func:`harness.results.latest` returns them, with the columns
            ``written`` (the model's name without the mark of a twin) and ``run`` (the run's folder
            or CSV).
        rows: the rows of primary metrics over all test folds.
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

    def select(
        self,
        *,
        models: Sequence[str] = (),
        protocols: Sequence[str] = (),
        tasks: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Results:
        """Return a part of the results.

        Args:
            models: the models to keep, named as in tables; by default all.
            protocols: the protocols to keep, by their whole names; by default all.
            tasks: the tasks to keep, named as in tables or by their directories; by default all.
            exclude: the tasks to leave out.

        Raises:
            UserError: a name has no results, or nothing is left.
        """
        found, where = self, ""
        for column, wanted in (("task", tasks), ("protocol", protocols), ("model", models)):
            if wanted:
                names = choose(found.rows, column, wanted, where)
                found = found._where(column, names)
                where += f"{' and' if where else ' with'} the {column} {', '.join(names)}"
        if exclude:
            left = set(found.rows.task) - set(choose(self.rows, "task", exclude))
            found = found._where("task", left)
            if not left:
                raise UserError("No task is left: --exclude names every task that -t chooses.")
        return found

    def _where(self, column: str, names: Collection[str]) -> Results:
        table = self.table[self.table[column].isin(names)].reset_index(drop=True)
        rows = self.rows[self.rows[column].isin(names)].reset_index(drop=True)
        return replace(self, table=table, rows=rows)

    def evaluation(self, row: pd.Series) -> Path | None:
        """Return the folder of a row's evaluation; None if it has no record."""
        found = self._evaluations.get(_key(row.run, row.written, row))
        return found if found is not None and (found / RECORD).is_file() else None

    def measure(self, row: pd.Series) -> Measured:
        """Return the measurements of a row's predictions; a second call returns the same object.

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


Runs = Results | Path | str | Sequence[Path | str]
"""Results, or what :func:`load` reads."""


def read_runs(runs: Runs) -> Results:
    """Return results as they are, and read what else is named."""
    return runs if isinstance(runs, Results) else load(runs)


def _key(run: object, model: str, row: pd.Series | Mapping[str, object]) -> tuple:
    return (str(run), model, *(row[column] for column in _KEY))


def load(runs: Path | str | Sequence[Path | str]) -> Results:
    """Read the rows of runs.

    Args:
        runs: folders of runs or parts of them, or results CSVs; one or several. The ``results.csv``
            in a run's folder has the run's predictions. Any other CSV has none.

    Warns:
        UserWarning: two runs have different values of one evaluation; the newest is used.

    Raises:
        UserError: a path does not exist or contains no results, with file and line; two rows of one
            run contradict each other.
    """
    named = [runs] if isinstance(runs, Path | str) else list(runs)
    if not named:
        raise UserError("No results are named. Give a run's folder or a results CSV.")
    paths = dict.fromkeys(Path(expand_home(str(run))) for run in named)
    # Folders come last, because latest keeps the last of equal rows, and a folder has predictions.
    ordered = sorted(paths, key=lambda run: not run.is_file())
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


def choose(rows: pd.DataFrame, column: str, wanted: Iterable[str], where: str = "") -> list[str]:
    """Return the values of a column with these names; tasks can have their short names.

    Args:
        rows: result rows.
        column: ``task``, ``protocol`` or ``model``.
        wanted: the names.
        where: how the rows were chosen of all, for errors: `` with the task esc50``.

    Raises:
        UserError: a name has no results.
    """
    known = sorted(set(rows[column]))
    names = dict(zip(known, known))
    if column == "task":
        names = {**dict(zip(short_names(known), known)), **names}
    chosen = []
    for name in wanted:
        if column == "model" and name not in names and "written" in rows:
            names |= _only_twin(rows, name)
        if name not in names:
            raise UserError(
                f"No results of the {column} '{name}'{where}.{did_you_mean(name, names)} "
                f"Known: {', '.join(known)}."
            )
        chosen.append(names[name])
    return list(dict.fromkeys(chosen))


def _only_twin(rows: pd.DataFrame, name: str) -> dict[str, str]:
    """Return the one model that was run under this name, by the name; nothing if there is none.

    Raises:
        UserError: several models have this name; all are listed.
    """
    twins = rows[rows.written == name].sort_values("started_at").groupby("model", sort=False)
    if twins.ngroups > 1:
        last = twins[["checkpoint", "started_at"]].last()
        told = [f"{model} ({', '.join(filter(None, last.loc[model]))})" for model in last.index]
        raise UserError(
            f"'{name}' is the name of several models, of other weights, source or options: "
            f"{', '.join(told)}. Name one of them."
        )
    return {name: str(next(iter(twins.groups)))} if twins.ngroups else {}


def read_measured(results: Results, rows: pd.DataFrame) -> tuple[list[Measured], list[str]]:
    """Return the measured seeds of one model on one task, and a clause on each of the others."""
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
