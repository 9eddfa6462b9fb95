"""Lay out the cells of tables of models × tasks as texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from harness.analysis.table.cells import is_mean
from harness.analysis.table.intervals import interval_text
from harness.analysis.table.notes import shows_spread
from harness.core.counts import plural
from harness.core.rendering import PARTIAL, Sheet, Text
from harness.probe import name_and_shots
from harness.results.frames import EQUAL_DIGITS
from tasks.format.task import short_names

_WIDEST = 6  # tasks side by side in one table of text


def sheets(long: Sequence[pd.DataFrame], *, whole: bool) -> list[Sheet]:
    """Return the tables of several protocols.

    Args:
        long: :func:`harness.analysis.table.cells.cells` of each protocol, few-shot protocols sorted
            by shots, behind the one with all training clips.
        whole: whether all tasks of a protocol are in one table.
    """
    found: list[Sheet] = []
    for (base, few), of_base in groupby(long, key=_base):
        parts = list(of_base)
        if few:
            found += _by_shots(base, parts)
        else:
            found += [sheet for each in parts for sheet in _of_protocol(each, whole)]
    return found


def _base(long: pd.DataFrame) -> tuple[str, bool]:
    base, shots = name_and_shots(long.protocol.iloc[0])
    return base, shots is not None


def _by_shots(base: str, long: Sequence[pd.DataFrame]) -> Iterator[Sheet]:
    """Yield a table of models × shots for each task, and for each mean over tasks."""
    table = pd.concat(long)
    columns = list(dict.fromkeys(table.task))
    tasks = [column for column in columns if not is_mean(column)]
    short = dict(zip(tasks, short_names(tasks)))
    shots = table.shots.drop_duplicates().tolist()
    places: dict[Any, Any] = {(row.model, row.task, row.shots): row for row in table.itertuples()}
    models = table[["model", "baseline"]].drop_duplicates()
    models = models.sort_values("baseline", ascending=False, kind="stable").model.tolist()
    for column in columns if len(tasks) > 1 else tasks:
        rows = {model: [places.get((model, column, n)) for n in shots] for model in models}
        metrics = [next(_metric(cell) for cell in of_n if cell) for of_n in zip(*rows.values())]
        yield Sheet(
            title=f"{base}: {column}" if is_mean(column) else f"{base} on {short[column]}",
            columns=("model", *(plural(n, "shot") for n in shots)),
            below=() if is_mean(column) else ("metric", *metrics),
            rows=tuple(
                (Text(model), *(_text(cell) if cell else Text("-") for cell in own))
                for model, own in rows.items()
            ),
            n_top=table.model[table.baseline].nunique(),
        )


def _of_protocol(long: pd.DataFrame, whole: bool) -> list[Sheet]:
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
