"""Format the table of models × tasks: the values of the primary metrics, and their means."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.compare.gather import choose
from harness.analysis.table.cells import MEAN, Marks, cells, is_mean
from harness.analysis.table.intervals import interval_text
from harness.analysis.table.notes import shows_spread, table_notes
from harness.analysis.table.unsupported import unsupported_tasks
from harness.core.rendering import PARTIAL, Sheet, Text, check_format, render
from harness.results.frames import EQUAL_DIGITS
from tasks.format.task import short_names

__all__ = ["format_table", "wide"]

_WIDEST = 6  # tasks side by side in one table of text


def wide(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return models × tasks of the primary metrics' values by one protocol, with their mean.

    Values are means over seeds. A cell is NaN if the evaluation failed, was never run or is
    undefined. The mean is over the tasks with a value; the column ``tasks`` has their number and
    the number of all. Tasks with minimised metrics, synthetic tasks, and tasks whose values cannot
    be compared (``mixed`` of :func:`harness.analysis.table.cells.cells`) are in the table but not
    in the mean.

    Raises:
        UserError: there are no results by the protocol.
    """
    (protocol,) = choose(table, "protocol", [protocol])
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
    marks: Marks | None = None,
    unsupported: Mapping[str, Collection[str]] | None = None,
    *,
    grouped: bool = True,
) -> str:
    """Return the table of every protocol in the rows, as markdown, csv, latex or html.

    The csv has the columns of :func:`cells`. The other formats show values to three digits with
    their interval. ``failed`` marks a failed evaluation, ``undefined`` a metric that is undefined
    on the test split, and a dash what was never run or is not supported by the protocol. A task on
    which models were tested differently has the heading ``mixed``, and each of its values has its
    metric. More than six tasks are divided among several tables, by domain.

    Args:
        table: result rows.
        style: the format.
        domains, baselines, marks, grouped: as for :func:`cells`; without ``marks`` there is no note
            on marks.
        unsupported: by protocol, tasks that it does not support; by default those of the rows.

    Raises:
        UserError: an unknown format.
    """
    check_format(style)
    if table.empty:  # a shard without any task
        return "No results.\n"
    if unsupported is None:
        unsupported = unsupported_tasks(table)
    long = [
        cells(
            table,
            protocol,
            domains=domains,
            baselines=baselines,
            marks=marks,
            unsupported=unsupported.get(protocol, ()),
            grouped=grouped,
        )
        for protocol in sorted(set(table.protocol))
    ]
    if style == "csv":
        return pd.concat(long).to_csv(index=False, lineterminator="\n")
    whole = style == "html"  # a page scrolls
    return render(
        [sheet for each in long for sheet in _sheets(each, whole)],
        table_notes(table, long, marks, unsupported, grouped=grouped),
        style,
    )


def _sheets(long: pd.DataFrame, whole: bool) -> list[Sheet]:
    """Return the tables of one protocol: several if there are too many tasks for one."""
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
    """Return a row of :func:`harness.analysis.table.cells.cells` as the text of a table's cell."""
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
    if shows_spread(cell):
        rest += f" (sd {cell.seed_sd:.3f})"
    if cell.seeds_failed:
        rest += " (a seed failed)" if cell.seeds_failed == 1 else " (seeds failed)"
    return Text(
        _three_digits(cell.value), rest, cell.best, cell.near is not pd.NA and bool(cell.near)
    )


def _three_digits(value: float) -> str:
    return f"{round(value, EQUAL_DIGITS):.3f}"
