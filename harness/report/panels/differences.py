"""The panels of the differences between two models, one for each compared pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.compare import Comparison
from harness.core.counts import plural
from harness.report.comparison import HOW
from harness.report.figures.differences import ForestRow, forest_figure
from harness.report.panel import ComparisonPanel, ComparisonScope, Panel, PanelTable
from harness.report.texts import between, number, p_value, signed, without_folders
from tasks.format.task import is_synthetic, short_names


def _make(scope: ComparisonScope) -> Panel | list[Panel]:
    """Draw the differences of each compared pair of models; without any, give the reason."""
    if scope.found is None:
        return Panel(scope.why_not)
    pairs = scope.found.overall[["a", "b"]].itertuples(index=False, name=None)
    return [_forest(scope.found, a, b) for a, b in pairs]


DIFFERENCES = ComparisonPanel("differences", "Differences", _make, order=10)


def _forest(found: Comparison, a: str, b: str) -> Panel:
    """Draw the differences of one pair; above 0, ``a`` is better."""
    tasks = found.tasks[(found.tasks.a == a) & (found.tasks.b == b)]
    names = dict(zip(tasks.task, short_names(tasks.task)))
    name, title = f"forest-{a}-{b}", f"{a} against {b}"
    cannot = [
        f"{names[row.task]} {row.verdict}"
        for row in tasks.itertuples()
        if row.verdict.startswith("cannot")
    ]
    paired = tasks[~tasks.verdict.str.startswith("cannot")]
    rows = [_row(each, names) for each in paired.to_dict("records")]
    rows.sort(key=lambda each: -each.value)
    notes = []
    if not paired.higher_is_better.all():
        notes.append("(lower): lower is better, so the sign of the difference is reversed.")
    if cannot:
        notes.append(f"Not paired: {'; '.join(cannot)}.")
    (over,) = found.overall[(found.overall.a == a) & (found.overall.b == b)].to_dict("records")
    if over["n_tasks"] > 1:
        mean, low, high = over["mean_difference"], over["ci_low"], over["ci_high"]
        rows.append(ForestRow(_mean_of(over), mean, low, high, "mean"))
        notes.insert(0, f"The mean differs by {signed(mean)}, p {p_value(over['p'])}.")
    synthetic = [names[task] for task in paired.task if is_synthetic(task)]
    note = " ".join([_counts(over, synthetic), *notes])
    if not rows:
        return Panel(" ".join(notes), name=name, title=title)
    return Panel(
        note,
        draw=lambda width: forest_figure(rows, a, b, width),
        alt=f"Differences of {a} and {b} on {plural(len(paired), 'task')}. {note}",
        table=_pair_table(tasks, names, over),
        caption=HOW,
        name=name,
        title=title,
    )


def _mean_of(over: dict[Any, Any]) -> str:
    return f"mean of {plural(over['n_tasks'], 'task')}"


def _counts(over: dict[Any, Any], synthetic: Sequence[str]) -> str:
    """Return on how many tasks each model of a pair is better."""
    counted = over["wins"] + over["losses"] + over["ties"]
    said = (
        f"Of {plural(counted, 'task')}, {over['a']} is better on {over['wins']} and {over['b']} on "
        f"{over['losses']}; on {over['ties']} they are not separable."
    )
    if not synthetic:
        return said
    return (
        f"{said} Not counted: {plural(len(synthetic), 'synthetic task')}, {', '.join(synthetic)}."
    )


def _row(each: dict[Any, Any], names: dict[str, str]) -> ForestRow:
    turn = 1.0 if each["higher_is_better"] else -1.0
    low, high = sorted((turn * each["ci_low"], turn * each["ci_high"]))
    name = names[each["task"]] + ("" if turn > 0 else " (lower)")
    kind = {"a better": "a", "b better": "b"}.get(each["verdict"], "neither")
    return ForestRow(name, turn * each["difference"], low, high, kind)


def _pair_table(tasks: pd.DataFrame, names: dict[str, str], over: dict[Any, Any]) -> PanelTable:
    a, b = over["a"], over["b"]
    said = {"a better": f"{a} better", "b better": f"{b} better"}
    rows = [
        (
            names[each["task"]],
            said.get(each["verdict"], each["verdict"].partition(":")[0]),
            signed(each["difference"]),
            between(each["ci_low"], each["ci_high"]),
            p_value(each["p"]),
            p_value(each["p_holm"]),
            number(each["value_a"]),
            number(each["value_b"]),
            each["metric"],
            without_folders(each["method"]) or "–",
        )
        for each in tasks.to_dict("records")
    ]
    if over["n_tasks"] > 1:
        mean = signed(over["mean_difference"])
        interval = between(over["ci_low"], over["ci_high"])
        rows.append((_mean_of(over), "–", mean, interval, p_value(over["p"]), *"–––––"))
    header = (
        "task",
        "verdict",
        "difference",
        "95 % interval",
        "p",
        "p (Holm)",
        a,
        b,
        "metric",
        "method",
    )
    return PanelTable(f"{a} minus {b}", header, tuple(rows), frozenset({2, 3, 4, 5, 6, 7}))
