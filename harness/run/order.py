"""The order in which the units of a run are started: the longest work first.

If long work came last, most workers would wait for it at the end. Short work of a model is kept
together, because a worker loads a model again after it has called another one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from harness.run.estimate import Estimate
from harness.run.planned import Planned, PlannedEvaluation

_LONG = 600.0
"""Seconds of work of a model on a task beside which loading the model is short."""


def longest_first(planned: Planned, estimate: Estimate, out: Path) -> list[PlannedEvaluation]:
    """Return the evaluations of a plan in the order in which their units are started.

    Pairs of model and task with at least ten minutes of work come first, the longest first. Then
    come the others, model by model. Equal ones are ordered by name.

    Args:
        planned: the plan.
        estimate: of its unfinished parts.
        out: the run's folder.
    """
    models = {split.folder: split.model for split in planned.splits}

    def model_of(each: PlannedEvaluation) -> str:
        return models.get(each.splits[0], each.model) if each.splits else each.model

    parts: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for each in planned.evaluations:
        work = set(each.splits) if planned.embed_only else {each.folder, *each.splits}
        parts[model_of(each),] |= work
        parts[model_of(each), each.task] |= work
    costs = {key: _cost(folders, estimate, out) for key, folders in parts.items()}

    def rank(each: PlannedEvaluation) -> tuple[float, str, float, str, float]:
        model = model_of(each)
        pair, own = costs[model, each.task], _cost([each.folder], estimate, out)
        if pair >= _LONG:
            return (-math.inf, "", -pair, each.task + model, -own)
        return (-costs[model,], model, -pair, each.task, -own)

    return sorted(planned.evaluations, key=rank)


def _cost(folders: Iterable[str], estimate: Estimate, out: Path) -> float:
    return estimate.cost(out / folder for folder in folders)
