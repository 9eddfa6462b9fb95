"""The table of models × tasks: the primary metric of each, and means."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.errors import UserError, did_you_mean
from harness.rendering import NEAR, PARTIAL, STYLES, Sheet, Text, interval_text, render
from harness.results import latest
from harness.results.frames import EQUAL_DIGITS, OUT_OF_SCALE
from harness.scoring.units import FEW_UNITS
from harness.table.cells import MEAN, Noise, cells, is_mean, mixed_note, unpaired_note
from harness.table.intervals import ALLOWED, MEASURED
from harness.table.unsupported import unsupported_tasks
from harness.task import short_names

__all__ = ["format_table", "out_of_scale", "wide"]

_SHOWN = 3  # failures spelt out
_WIDEST = 8  # tasks side by side in one table of text


def wide(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return models × tasks of the primary metrics' values by one protocol, with their mean.

    Values are means over seeds. A cell is NaN where the unit failed, was never run or is
    undefined; the mean stands on the tasks that are there, and the column ``tasks`` says on how
    many of how many. Metrics that are minimised, synthetic tasks, and tasks whose values do not
    compare (``mixed`` of :func:`harness.table.cells.cells`) stand in the table but not in the mean.

    Raises:
        UserError: there are no results by the protocol.
    """
    known = sorted(set(table.protocol))
    if protocol not in known:
        raise UserError(
            f"No results by protocol '{protocol}'.{did_you_mean(protocol, known)} "
            f"There are {', '.join(known)}."
        )
    long = cells(table, protocol)
    means = long[long.task == MEAN].set_index("model")
    found = long[long.n_tasks.isna()].pivot(index="model", columns="task", values="value")
    found[MEAN] = means.value
    found["tasks"] = means.n_tasks.astype(str) + "/" + means.of_tasks.astype(str)
    return found


def format_table(
    table: pd.DataFrame,
    style: str = "markdown",
    domains: Mapping[str, str] | None = None,
    baselines: Collection[str] = (),
    noise: Noise | None = None,
    unsupported: Mapping[str, Collection[str]] | None = None,
    *,
    grouped: bool = True,
) -> str:
    """Return the table of every protocol in the rows, as markdown, csv, latex or html.

    The csv is :func:`cells`, numbers in columns of their own. The others show values to three
    digits with their interval, and with several seeds their standard deviation;
    ``failed`` marks a unit that failed, ``undefined`` a metric that the test split does not define,
    a dash what was never run or is not supported by the protocol. A task that not all models were
    tested on alike is headed ``mixed``, and each of its values has its metric. More than eight
    tasks are put below each other, by domain.

    Args:
        table: result rows.
        style: the format.
        domains, baselines, noise: as :func:`cells` takes them; without ``noise`` nothing is said
            of marks.
        unsupported: by protocol, tasks that it does not support; by default those that the rows
            tell.
        grouped: as :func:`cells` takes it.

    Raises:
        UserError: an unknown format.
    """
    if style not in (*STYLES, "csv"):
        known = ", ".join(sorted([*STYLES, "csv"]))
        raise UserError(f"--format must be one of {known}, not '{style}'.")
    if table.empty:  # a part of a run that is divided among too many
        return "No results.\n"
    if unsupported is None:
        unsupported = unsupported_tasks(table)
    long = [
        cells(
            table,
            protocol,
            domains,
            baselines,
            noise,
            unsupported.get(protocol, ()),
            grouped=grouped,
        )
        for protocol in sorted(set(table.protocol))
    ]
    if style == "csv":
        return pd.concat(long).to_csv(index=False, lineterminator="\n")
    whole = style == "html"  # a page scrolls
    return render(
        [sheet for each in long for sheet in _sheets(each, whole)],
        [
            *_ungrouped(long, grouped),
            *_notes(long, noise),
            *_left_out(unsupported),
            *out_of_scale(table),
            *_twins(table),
            *_failures(table),
        ],
        style,
    )


def _sheets(long: pd.DataFrame, whole: bool) -> list[Sheet]:
    """The table of one protocol, in parts where there are too many tasks for one."""
    protocol = long.protocol.iloc[0]
    columns = list(dict.fromkeys(long.task))
    tasks = [column for column in columns if not is_mean(column)]
    if whole or len(tasks) <= _WIDEST:
        return [_sheet(long, protocol, columns)]
    by_domain: dict[str, list[str]] = {}
    for column, domain in zip(long.task, long.domain):
        if not is_mean(column) and column not in by_domain.setdefault(domain, []):
            by_domain[domain].append(column)
    parts = []
    for domain, members in by_domain.items():
        title = f"{protocol}: {domain}" if domain else protocol
        for start in range(0, len(members), _WIDEST):
            parts.append(_sheet(long, title, members[start : start + _WIDEST]))
    return [*parts, _sheet(long, f"{protocol}: means", [c for c in columns if is_mean(c)])]


def _sheet(long: pd.DataFrame, title: str, columns: Sequence[str]) -> Sheet:
    tasks = [task for task in dict.fromkeys(long.task) if not is_mean(task)]
    short = dict(zip(tasks, short_names(tasks)))
    by_place: dict[Any, Any] = {(row.model, row.task): row for row in long.itertuples()}
    models = dict.fromkeys(long.model.tolist())
    return Sheet(
        title=title,
        columns=("model", *(short.get(column, column) for column in columns)),
        below=("metric", *(_metric(by_place[next(iter(models)), column]) for column in columns)),
        rows=tuple(
            (Text(model), *(_text(by_place[model, column]) for column in columns))
            for model in models
        ),
        n_top=long.model[long.baseline].nunique(),
    )


def _metric(cell: Any) -> str:
    return "mixed" if cell.mixed else cell.metric


def _text(cell: Any) -> Text:
    """One row of :func:`harness.table.cells.cells` as the table shows it."""
    if is_mean(cell.task):
        if cell.status == "missing":
            return Text("-")
        mark = PARTIAL if cell.status == "partial" else ""
        of_all = f"{mark} ({cell.n_tasks}/{cell.of_tasks})"
        return Text(_three_digits(cell.value), of_all, cell.best)
    if cell.status != "done":
        return Text("-" if cell.status in ("missing", "unsupported") else cell.status)
    rest = f" {cell.metric}" if cell.mixed else ""
    rest += interval_text(cell.ci_low, cell.ci_high)
    rest += "" if pd.isna(cell.seed_sd) else f" (sd {cell.seed_sd:.3f})"
    if cell.seeds_failed:
        rest += " (a seed failed)" if cell.seeds_failed == 1 else " (seeds failed)"
    return Text(
        _three_digits(cell.value), rest, cell.best, cell.near is not pd.NA and bool(cell.near)
    )


def _three_digits(value: float) -> str:
    return f"{round(value, EQUAL_DIGITS):.3f}"


def _notes(long: Sequence[pd.DataFrame], noise: Noise | None) -> list[str]:
    """What a reader needs to know, in sentences below the table."""
    table = pd.concat(long)
    said = []
    if table.best.any():
        said.append("Bold: the best of its column; of means, among those over all tasks.")
    if (table.status == "partial").any():
        said.append(
            f"{PARTIAL}: a mean over fewer tasks than other means; it cannot be compared with them."
        )
    if table.ci_low.notna().any():
        said.append(intervals_note(table))
    if table.seed_sd.notna().any():
        said.append("sd: standard deviation between probe seeds; the value is their mean.")
    if table.baseline.any():
        names = dict.fromkeys(table.model[table.baseline])
        said.append(f"On top, the baselines: {', '.join(names)}.")
    notes = [note for note in (" ".join(said), _groups_note(table), mixed_note(table)) if note]
    if table.best.any() and noise is not None:
        notes.append(_noise_note(noise))
    return notes


def intervals_note(table: pd.DataFrame) -> str:
    """Say what the intervals of :func:`harness.table.cells.cells` are over."""
    return f"[ ]: 95 % confidence interval over {_units(table)}{_training(table)}."


def _units(table: pd.DataFrame) -> str:
    grouped = table.n_groups.notna()
    if not grouped.any():
        return "test clips"
    return "test groups" + ("" if grouped[table.ci_low.notna()].all() else ", or clips without")


def _training(table: pd.DataFrame) -> str:
    """Say how intervals include training noise, by protocol."""
    by_way = table[table.training != ""].groupby("training").protocol.unique().to_dict()
    said = []
    if MEASURED in by_way:
        said.append(f"the noise of training, measured over seeds ({', '.join(by_way[MEASURED])})")
    if ALLOWED in by_way:
        said.append(f"an allowance for training noise ({', '.join(by_way[ALLOWED])})")
    return f"; it includes {' or '.join(said)}" if said else ""


def _ungrouped(long: Sequence[pd.DataFrame], grouped: bool) -> list[str]:
    if grouped or not any(table.n_groups.notna().any() for table in long):
        return []
    return ["Ungrouped: intervals take clips as independent, also on tasks with groups."]


def _groups_note(table: pd.DataFrame) -> str:
    """Name the tasks with groups, their number of test groups and their median design effect."""
    rows = table[table.n_groups.notna()]
    if rows.empty:
        return ""
    tasks = rows.groupby("task").agg({"n_groups": "first", "design_effect": "median"})
    said = []
    for name, (count, effect) in zip(short_names(tasks.index), tasks.itertuples(index=False)):
        known = "" if pd.isna(effect) else f" (design effect {effect:.1f})"
        said.append(f"{name} {count}{known}")
    few = any(tasks.n_groups < FEW_UNITS)
    warned = f" Below {FEW_UNITS} groups coverage is approximate; below 6 no interval is given."
    return f"Test groups: {', '.join(said)}.{warned if few else ''}"


def _left_out(unsupported: Mapping[str, Collection[str]]) -> list[str]:
    """Name the tasks that protocols do not support."""
    said = [
        f"{protocol} does not support {', '.join(short_names(tasks))}"
        for protocol, tasks in unsupported.items()
    ]
    return [f"-: {'; '.join(said)}."] if said else []


def out_of_scale(table: pd.DataFrame) -> list[str]:
    """Name values of protocols that do not normalise embeddings which need it."""
    rows = latest(table)
    rows = rows[rows.notes.str.contains(OUT_OF_SCALE, regex=False)]
    notes = []
    for protocol, found in rows.groupby("protocol"):
        found = found.drop_duplicates(["model", "task"])
        said = [
            f"{row.model} on {row.task} ({fault.partition('; ')[0]})"
            for row in found.head(_SHOWN).itertuples()
            for fault in [row.notes.partition(f"{OUT_OF_SCALE}: ")[2]]
        ]
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        notes.append(
            f"{protocol} does not normalise its inputs, and fails on embeddings of such a scale: "
            f"{', '.join(said)}{more}. Compare with `--protocol linear` or `mlp`, which do."
        )
    return notes


def _twins(table: pd.DataFrame) -> list[str]:
    """Tell models of one name apart, where :func:`harness.results.latest` had to mark them."""
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
        "Of one name, and yet of other weights, source or options (the mark begins the "
        f"model_fingerprint): {', '.join(told)}."
    ]


def _failures(table: pd.DataFrame) -> list[str]:
    """Why there is no value where the table says that it failed."""
    rows = latest(table)
    failed = rows[rows.status == "failed"].drop_duplicates(["model", "task", "protocol"])
    if failed.empty:
        return []
    said = [
        f"{row.model} on {row.task} by {row.protocol}"
        + (f" ({row.error.rstrip('.')})" if row.error else "")
        for row in failed.head(_SHOWN).itertuples()
    ]
    more = f", and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
    return [f"Failed: {', '.join(said)}{more}."]


def _noise_note(noise: Noise) -> str:
    if noise.near:
        said = f"{NEAR}: {noise.rule}"
    elif noise.unpaired:
        said = "Nothing is marked as within noise of the best."
    else:
        said = (
            "Nothing is marked as within noise of the best: that takes clip by clip predictions, "
            "which `hear-byola results table` reads from a run's folder."
        )
    return f"{said} {unpaired_note(noise)}".rstrip()
