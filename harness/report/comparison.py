"""The panels of the comparison: differences of pairs of models, and mean ranks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.compare import Comparison, compare
from harness.analysis.compare.ranks import rank_rows
from harness.core.counts import plural
from harness.core.errors import UserError
from harness.report.choice import compared_models, left_out, ranked_models
from harness.report.figures.differences import Difference, forest_figure
from harness.report.figures.ranks import MOST_IN_DIAGRAM, ranks_figure
from harness.report.material import Material
from harness.report.panel import (
    Panel,
    Sheet,
    between,
    number,
    p_value,
    signed,
    without_folders,
)
from tasks.format.task import is_synthetic, short_names

FOREST = "forest-"
"""Begins the name of a panel of a pair."""


@dataclass(frozen=True)
class Compared:
    """What is compared: panels, and what to know of all of them, a sentence each."""

    notes: tuple[str, ...]
    panels: tuple[Panel, ...]


def comparison(material: Material, protocol: str) -> Compared:
    """Draw the differences of pairs of models on every task, and the mean ranks of all models.

    Up to three models are compared each with each, more with the first of them: the one that was
    named first, or else the best. Up to eight are all compared.
    """
    ranks = _ranks(material, protocol)
    models = compared_models(material, protocol)
    paired = {model for by, _, model in material.records if by == protocol}
    known = [model for model in models if model in paired]
    if len(known) < 2 or material.results is None:
        return Compared((), (_nothing(material, models), ranks))
    try:
        found = compare(material.results, known, protocol, all_pairs=len(known) <= 3)
    except UserError as error:
        nothing = Panel("differences", "Differences", f"Nothing is compared: {error}")
        return Compared((), (nothing, ranks))
    pairs = found.overall[["a", "b"]].itertuples(index=False, name=None)
    everyone = [model for model in ranked_models(material, protocol) if model in paired]
    others = left_out("The comparison shows", known, everyone)
    notes = (*_reference(material, known), HOW, *filter(None, [others]), *found.warnings)
    return Compared(notes, (*(_forest(found, a, b) for a, b in pairs), ranks))


def _reference(material: Material, compared: Sequence[str]) -> Sequence[str]:
    """A sentence about the model that the others are compared with, where it was named."""
    named = [model for model in material.named if model in compared]
    if not named:
        return ()
    first = "first" if named[0] == material.named[0] else "first of those that can be compared"
    return (f"The others are compared with {named[0]}, which was named {first}.",)


HOW = (
    "Differences with 95 % intervals, paired clip by clip. Circles and squares are told "
    "apart after Holm's correction over tasks, grey crosses are not. The diamond is the mean over "
    "the tasks; its interval and p are about other clips of these tasks, and not about other tasks."
)


def _nothing(material: Material, models: Sequence[str]) -> Panel:
    if len(models) < 2:
        why = "Fewer than two models have results here, so nothing is compared."
    elif not any(path.is_dir() for path in material.runs):
        why = (
            "Models are compared clip by clip, from the predictions in a run's folder; this report "
            "was made from a results CSV alone."
        )
    else:
        why = "Models are compared clip by clip, and fewer than two have predictions here."
    return Panel("differences", "Differences", why)


def _forest(found: Comparison, a: str, b: str) -> Panel:
    """The differences of one pair, turned so that above 0 is better for ``a``."""
    tasks = found.tasks[(found.tasks.a == a) & (found.tasks.b == b)]
    names = dict(zip(tasks.task, short_names(tasks.task)))
    title = f"{a} against {b}"
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
        notes.append("(lower): less is better, and the sign is turned.")
    if cannot:
        notes.append(f"Not paired: {'; '.join(cannot)}.")
    (over,) = found.overall[(found.overall.a == a) & (found.overall.b == b)].to_dict("records")
    if over["n_tasks"] > 1:
        mean, low, high = over["mean_difference"], over["ci_low"], over["ci_high"]
        rows.append(Difference(_mean_of(over), mean, low, high, "mean"))
        notes.insert(0, f"The mean differs by {signed(mean)}, p {p_value(over['p'])}.")
    synthetic = [names[task] for task in paired.task if is_synthetic(task)]
    note = " ".join([_counts(over, synthetic), *notes])
    if not rows:
        return Panel(f"{FOREST}{a}-{b}", title, " ".join(notes))
    return Panel(
        f"{FOREST}{a}-{b}",
        title,
        note,
        draw=lambda width: forest_figure(rows, a, b, width),
        alt=f"Differences of {a} and {b} on {plural(len(paired), 'task')}. {note}",
        sheet=_pair_sheet(tasks, names, over),
    )


def _mean_of(over: dict[Any, Any]) -> str:
    return f"mean of {plural(over['n_tasks'], 'task')}"


def _counts(over: dict[Any, Any], synthetic: Sequence[str]) -> str:
    """On how many tasks each model of a pair is better."""
    counted = over["wins"] + over["losses"] + over["ties"]
    said = f"{over['a']} is better on {over['wins']}, {over['b']} on {over['losses']}; on "
    said += f"{over['ties']} of {plural(counted, 'task')} "
    if not synthetic:
        return f"{said}the two are not separable."
    said += f"that {'counts' if counted == 1 else 'count'} the two are not separable. "
    them = "one is" if len(synthetic) == 1 else "ones are"
    return f"{said}{len(synthetic)} synthetic {them} not counted: {', '.join(synthetic)}."


def _row(each: dict[Any, Any], names: dict[str, str]) -> Difference:
    turn = 1.0 if each["higher_is_better"] else -1.0
    low, high = sorted((turn * each["ci_low"], turn * each["ci_high"]))
    name = names[each["task"]] + ("" if turn > 0 else " (lower)")
    kind = {"a better": "a", "b better": "b"}.get(each["verdict"], "neither")
    return Difference(name, turn * each["difference"], low, high, kind)


def _pair_sheet(tasks: pd.DataFrame, names: dict[str, str], over: dict[Any, Any]) -> Sheet:
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
    return Sheet(f"{a} less {b}", header, tuple(rows), frozenset({2, 3, 4, 5, 6, 7}))


def _ranks(material: Material, protocol: str) -> Panel:
    """Mean ranks of all models on the tasks that all have."""
    title = "Mean ranks"
    rows = material.headlines(protocol)
    ranking = rank_rows(rows, sorted(set(rows.model)))
    ranks = ranking.ranks.set_index("model").mean_rank.dropna()
    if len(ranks) < 2:
        why = f"they stand on {ranking.tasks}" if len(ranking.ranks) > 1 else "there is one model"
        return Panel("ranks", title, f"There are no ranks: {why}.")
    critical = ranking.critical_difference
    note = f"Of {plural(len(ranks), 'model')} over {ranking.tasks}. 1 is the best. "
    bars = "joined by a bar" if len(ranks) <= MOST_IN_DIAGRAM else "whose bars overlap"
    if critical is not None:
        note += f"Models {bars} differ by less than the critical difference. "
    note += f"{ranking.test[:1].upper()}{ranking.test[1:]}."
    groups = _tie_groups(ranking.ranks) if critical is not None else []
    letters = ranking.ranks.set_index("model").tie_groups
    lines = tuple((str(model), number(rank, 2), letters[model]) for model, rank in ranks.items())
    return Panel(
        "ranks",
        title,
        note,
        draw=lambda width: ranks_figure(ranks, groups, width, critical),
        alt="Mean ranks: " + ", ".join(f"{row[0]} {row[1]}" for row in lines) + ".",
        sheet=Sheet(title, ("model", "mean rank", "tie groups"), lines, frozenset({1})),
    )


def _tie_groups(ranks: pd.DataFrame) -> list[list[str]]:
    """Models that share a letter, a list for each letter."""
    groups: dict[str, list[str]] = {}
    for row in ranks.itertuples():
        for letter in re.findall(r"[a-z]|\[\d+\]", str(row.tie_groups)):
            groups.setdefault(letter, []).append(str(row.model))
    return list(groups.values())
