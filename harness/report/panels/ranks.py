"""The panel of the mean ranks of all models."""

from __future__ import annotations

import re

import pandas as pd

from harness.analysis.compare.ranks import rank_rows
from harness.core.counts import plural
from harness.report.figures.ranks import MOST_IN_DIAGRAM, ranks_figure
from harness.report.panel import ComparisonPanel, ComparisonScope, Panel, PanelTable
from harness.report.texts import number


def _make(scope: ComparisonScope) -> Panel:
    """Draw the mean ranks of all models over the tasks that all models have."""
    rows = scope.material.headlines(scope.protocol)
    ranking = rank_rows(rows, sorted(set(rows.model)))
    ranks = ranking.ranks.set_index("model").mean_rank.dropna()
    if len(ranks) < 2:
        several = len(ranking.ranks) > 1
        why = f"all models share {ranking.tasks}" if several else "there is only one model"
        return Panel(f"There are no ranks: {why}.")
    critical = ranking.critical_difference
    note = f"{plural(len(ranks), 'model')}, ranked over {ranking.tasks}. 1 is the best. "
    bars = "joined by a bar" if len(ranks) <= MOST_IN_DIAGRAM else "whose bars overlap"
    if critical is not None:
        note += f"Models {bars} do not differ significantly. "
    note += f"{ranking.test[:1].upper()}{ranking.test[1:]}."
    groups = _tie_groups(ranking.ranks) if critical is not None else []
    letters = ranking.ranks.set_index("model").tie_groups
    lines = tuple((str(model), number(rank, 2), letters[model]) for model, rank in ranks.items())
    return Panel(
        note,
        draw=lambda width: ranks_figure(ranks, groups, width, critical),
        alt="Mean ranks: " + ", ".join(f"{row[0]} {row[1]}" for row in lines) + ".",
        table=PanelTable(RANKS.title, ("model", "mean rank", "tie groups"), lines, frozenset({1})),
    )


RANKS = ComparisonPanel("ranks", "Mean ranks", _make, order=20)


def _tie_groups(ranks: pd.DataFrame) -> list[list[str]]:
    """Return the models that share a letter, one list per letter."""
    groups: dict[str, list[str]] = {}
    for row in ranks.itertuples():
        for letter in re.findall(r"[a-z]|\[\d+\]", str(row.tie_groups)):
            groups.setdefault(letter, []).append(str(row.model))
    return list(groups.values())
