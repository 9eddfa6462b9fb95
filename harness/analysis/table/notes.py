"""Write the notes below a table of models × tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.table.cells import Marks
from harness.analysis.table.intervals import ALLOWED, MEASURED
from harness.analysis.versions import version_notes
from harness.core.counts import first_of, in_range
from harness.core.kinds import EmbeddingType
from harness.core.rendering import NEAR, PARTIAL
from harness.metrics.registry import metrics_of
from harness.metrics.units import FEW_UNITS
from harness.results import latest
from harness.results.frames import OUT_OF_SCALE, SCARCE, primary
from tasks.format.task import short_names

_SHOWN = 3  # items listed in one note
BOLD = "Bold: the best of its column; for means, the best of those over all tasks."


def table_notes(
    table: pd.DataFrame,
    long: Sequence[pd.DataFrame],
    marks: Marks | None,
    unsupported: Mapping[str, Collection[str]],
    *,
    grouped: bool,
) -> list[str]:
    """Return the notes below a table, a sentence or paragraph each.

    Args:
        table: result rows.
        long: :func:`harness.analysis.table.cells.cells` of each protocol.
        marks: the models that do not differ significantly from the best; None for no note on
            marks.
        unsupported: by protocol, tasks that it does not support.
        grouped: whether intervals are over test groups.
    """
    return [
        *_ungrouped(grouped),
        *_notes(long, marks),
        *_left_out(unsupported),
        *shots_notes(table, long),
        *out_of_scale(table),
        *version_notes(primary(table)),
        *_twins(table),
        *_failures(table),
    ]


def _notes(long: Sequence[pd.DataFrame], marks: Marks | None) -> list[str]:
    """Return the notes that explain the table's values and marks."""
    table = pd.concat(long)
    said = []
    if table.best.any():
        said.append(BOLD)
    if (table.status == "partial").any():
        said.append(
            f"{PARTIAL}: a mean over fewer tasks than other means; it cannot be compared with them."
        )
    if table.ci_low.notna().any():
        said.append(intervals_note(table))
    if spread := spread_note(table[list(map(shows_spread, table.itertuples()))]):
        said.append(spread)
    if table.baseline.any():
        names = dict.fromkeys(table.model[table.baseline])
        said.append(f"The baselines are at the top: {', '.join(names)}.")
    notes = [note for note in (" ".join(said), groups_note(table), mixed_note(table)) if note]
    if table.best.any() and marks is not None:
        notes.append(marks_note(marks))
    return notes


def shows_spread(cell: Any) -> bool:
    """Return whether to print the deviation over seeds: the interval does not include it.

    This is so in rows of schema version 1.
    """
    return bool(cell.seed_sd > 0) and cell.training != MEASURED


def spread_note(shown: pd.DataFrame) -> str:
    """Return a note on the deviations of the cells that show one; empty without any."""
    few = shown.shots.notna()
    between = [
        "probe seeds" if (~few).any() else "",
        "draws of training clips" if few.any() else "",
    ]
    said = " or ".join(filter(None, between))
    return f"sd: standard deviation between {said}; the value is their mean." if said else ""


def intervals_note(table: pd.DataFrame) -> str:
    """Return a note on what the intervals of :func:`harness.analysis.table.cells.cells` cover."""
    return f"[ ]: 95 % confidence interval over {_units(table)}{_training(table)}."


def _units(table: pd.DataFrame) -> str:
    shown = table[table.ci_low.notna()]
    clips = shown[shown.n_groups.isna()]
    files = clips.metric.isin(list(metrics_of(EmbeddingType.EVENT)))
    units = [
        "test groups" if len(clips) < len(shown) else "",
        "test clips" if (~files).any() else "",
        "test files (event tasks)" if files.any() else "",
    ]
    return " or ".join(filter(None, units))


def _training(table: pd.DataFrame) -> str:
    """Return a clause on how intervals include training noise, by protocol and task."""
    shown = table[table.ci_low.notna()]
    few = shown.shots.notna()
    ways = (
        (MEASURED, ~few, "the noise of training, measured over seeds"),
        (MEASURED, few, "the variance between draws of training clips"),
        (ALLOWED, ~few, "an allowance for training noise"),
        (ALLOWED, few, "an allowance for training noise, since the draws have equal scores,"),
    )
    said = [
        f"{what} ({'; '.join(_places(shown[part], way))})"
        for way, part, what in ways
        if (shown[part].training == way).any()
    ]
    return f"; it includes {' or '.join(said)}" if said else ""


def _places(shown: pd.DataFrame, way: str) -> list[str]:
    """Return the protocols whose intervals include training noise in one way, with their tasks."""
    places = []
    for protocol, rows in shown.groupby("protocol"):
        tasks = rows.task[rows.training == way].unique()
        if len(tasks) == rows.task.nunique():
            places.append(str(protocol))
        elif len(tasks):
            places.append(f"{protocol} on {', '.join(short_names(tasks))}")
    return places


def _ungrouped(grouped: bool) -> list[str]:
    if grouped:
        return []
    return ["Ungrouped: intervals take clips as independent, also on tasks with groups."]


def groups_note(table: pd.DataFrame) -> str:
    """Return a note on tasks with groups: number of test groups, design effect of its scores.

    Of several scores, for example of two models, the median design effect is given.
    """
    rows = table[table.n_groups.notna()]
    if rows.empty:
        return ""
    tasks = rows.groupby("task").agg({"n_groups": "first", "design_effect": "median"})
    said = []
    what = "median design effect" if rows.groupby("task").size().max() > 1 else "design effect"
    for name, (count, effect) in zip(short_names(tasks.index), tasks.itertuples(index=False)):
        known = "" if pd.isna(effect) else f" ({what} {effect:.1f})"
        said.append(f"{name} {count}{known}")
    few = any(tasks.n_groups < FEW_UNITS)
    warned = f" Below {FEW_UNITS} groups coverage is approximate; below 6 no interval is given."
    return f"Test groups: {', '.join(said)}.{warned if few else ''}"


def _left_out(unsupported: Mapping[str, Collection[str]]) -> list[str]:
    """Return a note on the tasks that protocols do not support."""
    said = [
        f"{protocol} does not support {', '.join(short_names(tasks))}"
        for protocol, tasks in unsupported.items()
    ]
    return [f"-: {'; '.join(said)}."] if said else []


def out_of_scale(table: pd.DataFrame) -> list[str]:
    """Return notes on protocols that do not normalise embeddings which need it."""
    rows = latest(table)
    rows = rows[rows.notes.str.contains(OUT_OF_SCALE, regex=False)]
    notes = []
    for protocol, found in rows.groupby("protocol"):
        found = found.drop_duplicates(["model", "task"])
        said = [
            f"{row.model} on {row.task} ({fault.partition('; ')[0]})"
            for row in found.itertuples()
            for fault in [row.notes.partition(f"{OUT_OF_SCALE}: ")[2]]
        ]
        notes.append(
            f"{protocol} does not normalise its inputs and fails on embeddings of this scale: "
            f"{', '.join(first_of(said, _SHOWN))}. Compare with `--protocol linear` or `mlp`, "
            "which do."
        )
    return notes


def shots_notes(table: pd.DataFrame, long: Sequence[pd.DataFrame]) -> list[str]:
    """Return notes on few-shot protocols: what they train on, and scarce labels."""
    few = [each for each in long if each.shots.notna().any()]
    if not few:
        return []
    draws = pd.concat(few).n_seeds
    numbers = in_range(set(draws[draws > 0]), "draw")
    notes = [
        f"Shots: training clips of each label, in {numbers}. A draw has the same clips for all "
        "models. Validation and test splits are whole. The value is the mean over draws."
    ]
    rows = latest(table)
    rows = rows[rows.notes.str.contains(SCARCE, regex=False)]
    said = [
        f"{protocol} on {name}"
        for protocol, own in rows.groupby("protocol")
        for name in short_names(sorted(set(own.task)))
    ]
    if said:
        notes.append(
            f"Some labels have fewer training clips than shots, and all of theirs are used: "
            f"{', '.join(first_of(said, _SHOWN))}."
        )
    return notes


def _twins(table: pd.DataFrame) -> list[str]:
    """Return a note on models with the same name, which :func:`harness.results.latest` marks."""
    rows = latest(table).sort_values("started_at")
    marks = [
        model.endswith(f"@{fingerprint[:8]}")
        for model, fingerprint in zip(rows.model, rows.model_fingerprint, strict=True)
    ]
    ran = rows[marks].groupby("model").agg({"checkpoint": "last", "started_at": "last"})
    if ran.empty:
        return []
    told = [
        f"{m} ({', '.join(filter(None, ran.loc[m]))})" for m in ran.sort_values("started_at").index
    ]
    return [
        "Models with the same name but other weights, source or options (the mark is the beginning "
        f"of the model_fingerprint): {', '.join(told)}."
    ]


def _failures(table: pd.DataFrame) -> list[str]:
    """Return a note on the evaluations that failed, with their errors."""
    rows = latest(table)
    failed = rows[rows.status == "failed"].drop_duplicates(["model", "task", "protocol"])
    if failed.empty:
        return []
    said = [
        f"{row.model} on {row.task} by {row.protocol}"
        + (f" ({row.error.rstrip('.')})" if row.error else "")
        for row in failed.itertuples()
    ]
    return [f"Failed: {', '.join(first_of(said, _SHOWN))}."]


def marks_note(marks: Marks) -> str:
    """Return a note on the marks, or the reason why there are none."""
    said = "No model is marked as not significantly different from the best"
    if any(near for of_task in marks.near.values() for near in of_task.values()):
        said = f"{NEAR}: {marks.rule}"
    elif marks.rule:
        said += "."
    else:
        said += ", because that needs the predictions in a run's folder."
    return f"{said} {_unpaired_note(marks)}".rstrip()


def mixed_note(found: pd.DataFrame) -> str:
    """Return a sentence on the tasks that are mixed; empty if there are none."""
    mixed = found[found.mixed != ""]
    said = dict.fromkeys(f"{task} ({why})" for task, why in zip(mixed.task, mixed.mixed))
    if not said:
        return ""
    return (
        "Mixed: models were tested differently, so these tasks have no best value and are in no "
        f"mean: {'; '.join(said)}."
    )


def _unpaired_note(marks: Marks) -> str:
    """Return a sentence on the models that could not be compared; empty if there are none."""
    shown = "; ".join(first_of(marks.unpaired, _SHOWN))
    return f"Could not be compared, so without a mark: {shown}." if shown else ""
