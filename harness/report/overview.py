"""Make the table of models × tasks that the page shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.analysis.table.cells import MEAN, Marks, averaged_tasks, cells
from harness.analysis.table.intervals import interval_text
from harness.analysis.table.notes import (
    BOLD,
    groups_note,
    intervals_note,
    marks_note,
    mixed_note,
    out_of_scale,
    spread_note,
)
from harness.analysis.versions import version_notes
from harness.core.counts import plural
from harness.report.material import Material
from harness.report.texts import number, repetition
from tasks.format.task import short_names

_ON_PAPER = 7  # columns of scores that A4 and Letter have room for


@dataclass(frozen=True)
class TaskColumn:
    """A task.

    Attributes:
        task: the name of its directory.
        name: its short name.
        metric: its primary metric; ``mixed`` if the models were tested differently.
        domain, suite: empty without a card.
        averaged: whether it is in the mean.
        lower: whether lower is better.
    """

    task: str
    name: str
    metric: str
    domain: str
    suite: str
    averaged: bool
    lower: bool


@dataclass(frozen=True)
class ScoreCell:
    """A score.

    Attributes:
        value: None if there is no score.
        text: the value as text, or why there is none.
        rest: interval, standard deviation and failures as text.
        best: whether it is the best of its column.
        near: whether it is not significantly different from the best.
        said: the cell in words.
    """

    value: float | None
    text: str
    rest: str = ""
    best: bool = False
    near: bool = False
    said: str = ""


@dataclass(frozen=True)
class Mean:
    """A mean over some tasks, or None; ``best``: whether it is the best of the complete means."""

    value: float | None
    n_tasks: int
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A model: its means, in the order of ``Overview.means``, and its scores."""

    model: str
    baseline: bool
    means: tuple[Mean, ...]
    cells: tuple[ScoreCell, ...]


@dataclass(frozen=True)
class Overview:
    """The table of one protocol with its notes. Baselines come first, then the best means.

    ``means`` has the domain of each mean and the number of its tasks; the first mean, without a
    domain, is over all tasks.
    """

    protocol: str
    columns: tuple[TaskColumn, ...]
    means: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def parts(self) -> list[tuple[list[int], list[int]]]:
        """Divide the columns into parts that fit on paper: indices of means and of tasks."""
        columns = [(place, -1) for place in range(len(self.means))]
        columns += [(-1, place) for place in range(len(self.columns))]
        cuts = np.array_split(columns, -(-len(columns) // _ON_PAPER))
        return [
            ([m for m, _ in cut.tolist() if m >= 0], [c for _, c in cut.tolist() if c >= 0])
            for cut in cuts
        ]


def overview(material: Material, protocol: str, marks: Marks | None) -> Overview:
    """Make the table of one protocol.

    Args:
        material: the results.
        protocol: the protocol.
        marks: the models that do not differ significantly from the best; None for no marks.
    """
    domains = {task: fact.domain for task, fact in material.facts.items() if fact.domain}
    found = cells(
        material.rows, protocol, domains=domains, baselines=material.baselines, marks=marks
    )
    singles = found[found.n_tasks.isna()]
    tasks = list(dict.fromkeys(singles.task))
    metrics = singles.metric.where(singles.mixed == "", "mixed").groupby(singles.task).first()
    suites = material.rows.groupby("task").suite.first()
    headlines = material.headlines(protocol)
    averaged = averaged_tasks(headlines)
    maximised = headlines.groupby("task").higher_is_better.all()
    columns = tuple(
        TaskColumn(
            task=task,
            name=name,
            metric=metrics[task],
            domain=material.fact(task).domain,
            suite=material.fact(task).suite or suites[task],
            averaged=task in averaged,
            lower=not maximised[task],
        )
        for task, name in zip(tasks, short_names(tasks), strict=True)
    )
    by_place = {(row["model"], row["task"]): row for row in singles.to_dict("records")}
    means = found[found.n_tasks.notna()].sort_values(
        "task", key=lambda name: name != MEAN, kind="stable"
    )
    rows = [
        Row(
            str(model),
            bool(own.baseline.iloc[0]),
            tuple(
                Mean(None if pd.isna(value) else float(value), int(n), bool(best))
                for value, n, best in zip(own.value, own.n_tasks, own.best)
            ),
            tuple(_cell(by_place[model, task]) for task in tasks),
        )
        for model, own in means.groupby("model", sort=False)
    ]
    rows.sort(key=_place)
    groups = means.drop_duplicates("task")
    over = tuple(zip(groups.domain, map(int, groups.of_tasks)))
    notes = (
        *_notes(singles, marks),
        *out_of_scale(material.rows[material.rows.protocol == protocol]),
        *version_notes(headlines),
    )
    return Overview(protocol, columns, over, tuple(rows), notes)


def _place(row: Row) -> tuple:
    mean = row.means[0]
    return not row.baseline, -mean.n_tasks, -(mean.value or 0.0), row.model


def _cell(row: dict) -> ScoreCell:
    if row["status"] != "done":
        text = "–" if row["status"] == "missing" else row["status"]
        return ScoreCell(None, text, said="not run" if row["status"] == "missing" else "")
    near = row["near"] is True
    rest = f"{row['metric']} " if row["mixed"] else ""
    said = []
    if not pd.isna(row["ci_low"]):
        rest += interval_text(row["ci_low"], row["ci_high"]).strip()
        said.append(f"95 % from {number(row['ci_low'], 4)} to {number(row['ci_high'], 4)}")
    if not pd.isna(row["seed_sd"]):
        rest += f" sd {row['seed_sd']:.3f}"
        of = repetition(row["protocol"])
        said.append(f"standard deviation of {row['n_seeds']} {of}s {row['seed_sd']:.4f}")
    if row["seeds_failed"]:
        rest += f" {row['seeds_failed']} failed"
        said.append(f"{plural(row['seeds_failed'], repetition(row['protocol']))} failed")
    if row["best"]:
        said.append("the best")
    if near:
        said.append("not significantly different from the best")
    return ScoreCell(
        row["value"], number(row["value"]), rest.strip(), row["best"], near, ", ".join(said)
    )


def _notes(singles: pd.DataFrame, marks: Marks | None) -> tuple[str, ...]:
    notes = []
    if singles.baseline.any():
        notes.append("Baselines come first. A click on a heading sorts all models.")
    if singles.ci_low.notna().any():
        notes.append(intervals_note(singles))
    if groups := groups_note(singles):
        notes.append(groups)
    if spread := spread_note(singles[singles.seed_sd.notna()]):
        notes.append(spread)
    if mixed := mixed_note(singles):
        notes.append(mixed)
    if singles.best.any():
        notes.append(BOLD)
        if marks is not None:
            notes.append(marks_note(marks))
    return tuple(notes)
