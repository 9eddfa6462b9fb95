"""Result rows of some runs, each with the predictions behind it or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from harness.compare.measured import Measured, measure
from harness.errors import UserError, did_you_mean
from harness.module import folder_name
from harness.record import read_record
from harness.results import latest, load
from harness.results.folder import placed_results
from harness.task import short_names

_KEY = ["model", "model_fingerprint", "task", "protocol", "seed", "started_at"]


@dataclass(frozen=True)
class Results:
    """Primary metrics over all test folds, and what was found of each row's predictions.

    Attributes:
        rows: as :func:`harness.results.latest` gives and names them, with the columns ``written``
            (the model's name before it was told from a twin) and ``run`` (a run's folder or CSV).
    """

    rows: pd.DataFrame
    _measured: dict[Path, Measured] = field(default_factory=dict)
    _found: dict[tuple, Path] = field(default_factory=dict)
    _searched: set[tuple[Path, str]] = field(default_factory=set)

    def measure(self, row: pd.Series) -> Measured:
        """Measure what a row's predictions are; a second time from memory.

        Raises:
            UserError: they are missing or damaged.
        """
        run = Path(row.run)
        if run.is_file():
            raise UserError(f"{run} holds no predictions. Name the run's folder instead.")
        self._search(run, row.written)
        place = self._found.get((run, *(row[name] for name in ("written", *_KEY[1:]))))
        if place is None:
            raise UserError(
                f"{run} has no predictions of it: deleted, or of an older version. Run it again."
            )
        if place not in self._measured:
            self._measured[place] = measure(read_record(place))
        return self._measured[place]

    def _search(self, run: Path, model: str) -> None:
        """Find the evaluations of a model in a run's folder, once."""
        if (run, model) in self._searched:
            return
        self._searched.add((run, model))
        root = run / "results" if (run / "results").is_dir() else run
        for path in sorted(root.rglob(f"{folder_name(model)}/*/*/evaluation.json")):
            for _, row in placed_results([path.parent]):
                key = (run, *(getattr(row, name) for name in _KEY))
                self._found[key] = path.parent


def gather(runs: Sequence[Path]) -> Results:
    """Read the rows of runs: folders, or CSV files, of which no predictions are known.

    Raises:
        UserError: nothing there, or not results.
    """
    # A row that stands in a table alone and in a folder too is that of the folder: latest keeps
    # the last of equals.
    ordered = sorted(dict.fromkeys(runs), key=lambda run: not run.is_file())
    table = pd.concat([load(run).assign(run=str(run)) for run in ordered], ignore_index=True)
    rows = latest(table.assign(written=table.model))
    return Results(rows[(rows.split == "all") & rows.is_primary].reset_index(drop=True))


def choose(rows: pd.DataFrame, column: str, wanted: Sequence[str]) -> list[str]:
    """Return the values of a column that were asked for; tasks also by their short names.

    Raises:
        UserError: there is no such value.
    """
    known = sorted(set(rows[column]))
    names = dict(zip(known, known))
    if column == "task":
        names = {**dict(zip(short_names(known), known)), **names}
    chosen = []
    for name in wanted:
        if name not in names:
            raise UserError(
                f"No results of the {column} '{name}'.{did_you_mean(name, names)} "
                f"There are {', '.join(known)}."
            )
        chosen.append(names[name])
    return list(dict.fromkeys(chosen))


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
