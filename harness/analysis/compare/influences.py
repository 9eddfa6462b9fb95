"""Compute the influence of each test unit on a model's score, in an order common to all models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.metrics.jackknife import Influence
from harness.metrics.registry import find_metric
from harness.metrics.units import Units, clip_units, group_units
from harness.results.predictions import FoldPredictions


def influence(metric: str, folds: Sequence[FoldPredictions], units: Units) -> Influence:
    """Return a model's score and the influence of each unit on it.

    Args:
        metric: of the task's kind.
        folds: predictions, as :func:`in_order` sorts them.
        units: :func:`units_of` the same folds.
    """
    found = find_metric(metric)
    return found.influence([found.fold(fold) for fold in folds], units)


def units_of(folds: Sequence[FoldPredictions], *, grouped: bool = True) -> Units:
    """Return the test units: the task's groups, or clips without groups or if not ``grouped``.

    The clips of event tasks are files.
    """
    sizes = [len(fold.clips) for fold in folds]
    return group_units([fold.groups for fold in folds], sizes) if grouped else clip_units(sizes)


def in_order(fold: FoldPredictions) -> FoldPredictions:
    """Return the fold with its clips, or an event task's files, sorted by name.

    Embeddings written by the original kit have another order of clips.
    """
    order = np.argsort(np.array(fold.clips))
    fold = replace(
        fold,
        clips=tuple(fold.clips[i] for i in order),
        groups=fold.groups and tuple(fold.groups[i] for i in order),
    )
    if fold.reference is not None:
        return replace(fold, reference=dict(sorted(fold.reference.items())))
    return replace(fold, probabilities=fold.probabilities[:, order], targets=fold.targets[order])
