"""Format the table of models × tasks: the values of the primary metrics, and their means."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from harness.analysis.compare.gather import choose
from harness.analysis.table.cells import MEAN, Marks, cells
from harness.analysis.table.notes import table_notes
from harness.analysis.table.sheets import sheets
from harness.analysis.table.unsupported import unsupported_tasks
from harness.core.rendering import check_format, render
from harness.probe import by_shots

__all__ = ["format_table", "wide"]


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
    metric. More than six tasks are divided among several tables, by domain. Few-shot protocols have
    a table for each task, with a column for each number of shots.

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
        for protocol in sorted(set(table.protocol), key=by_shots)
    ]
    if style == "csv":
        return pd.concat(long).to_csv(index=False, lineterminator="\n")
    return render(
        sheets(long, whole=style == "html"),  # a page scrolls
        table_notes(table, long, marks, unsupported, grouped=grouped),
        style,
    )
