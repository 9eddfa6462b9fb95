"""Find pairs of models whose mean over tasks favours one, and most tasks the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.analysis.compare.pair import ModelPair, mean_parts
from harness.analysis.compare.paired import PairedDifference
from harness.analysis.compare.ranks import SIGNIFICANCE
from harness.metrics.variance import add_up
from tasks.format.task import short_names


def disagreements(pairs: Sequence[ModelPair], ranks: pd.DataFrame) -> list[str]:
    """Return sentences on each pair whose significant mean difference contradicts its ranks.

    Args:
        pairs: the compared pairs.
        ranks: of all models: ``model``, ``mean_rank``.
    """
    mean_ranks = dict(zip(ranks.model, ranks.mean_rank))
    return [
        _describe(pair, mean_ranks)
        for pair in pairs
        if pair.over["p"] < SIGNIFICANCE and any(_contradictions(pair, mean_ranks))
    ]


def _contradictions(pair: ModelPair, mean_ranks: dict[str, float]) -> tuple[str, str]:
    """Return clauses on how tasks and mean ranks favour the other model; "" if they do not."""
    winner, loser = _winner(pair)
    values = np.array([each.value for each in pair.averaged.values()])
    against = int((values * pair.over["mean_difference"] < 0).sum())
    tasks = ranks = ""
    if against > len(values) / 2:
        tasks = f"has the higher score on {against} of {len(values)} tasks"
    if mean_ranks.get(loser, np.nan) < mean_ranks.get(winner, np.nan):
        ranks = f"has the better mean rank ({mean_ranks[loser]:.2f}, {winner} "
        ranks += f"{mean_ranks[winner]:.2f})"
    return tasks, ranks


def _winner(pair: ModelPair) -> tuple[str, str]:
    a, b = pair.over["a"], pair.over["b"]
    return (a, b) if pair.over["mean_difference"] > 0 else (b, a)


def _describe(pair: ModelPair, mean_ranks: dict[str, float]) -> str:
    winner, loser = _winner(pair)
    said = " and ".join(filter(None, _contradictions(pair, mean_ranks)))
    mean = _mean_text(list(pair.averaged.values()))
    return (
        f"Mean and ranks disagree on {pair.over['a']} and {pair.over['b']}: the mean favours "
        f"{winner} ({mean}), but {loser} {said}. {_cause(pair)}"
    )


def _cause(pair: ModelPair) -> str:
    """Return a sentence on the task that makes the mean significant, or on the largest one."""
    sign = np.sign(pair.over["mean_difference"])
    order = sorted(pair.averaged, key=lambda task: -sign * pair.averaged[task].value)
    names = dict(zip(pair.averaged, short_names(pair.averaged)))
    for task in order:
        left = [each for other, each in pair.averaged.items() if other != task]
        mean, p = _mean(left)
        if mean * sign <= 0 or not p < SIGNIFICANCE:
            return f"The cause is {names[task]}: the mean without it is {_mean_text(left)}."
    left = [pair.averaged[task] for task in pair.averaged if task != order[0]]
    return (
        f"No single task is the cause: without {names[order[0]]}, which contributes most, the mean "
        f"is {_mean_text(left)}."
    )


def _mean(found: Sequence[PairedDifference]) -> tuple[float, float]:
    """Return the mean difference and its p-value."""
    mean = float(np.mean([each.value for each in found]))
    return mean, add_up(mean_parts(found)).p(mean)


def _mean_text(found: Sequence[PairedDifference]) -> str:
    mean, p = _mean(found)
    return f"{mean:+.3f}, p {p:.2g}"
