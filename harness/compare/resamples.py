"""The resamples that all models of a task have in common, so that their differences are paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.predictions import FoldPredictions
from harness.scoring import events, scores
from harness.scoring.events import EventCounts
from harness.scoring.intervals import event_draws, scene_draws

N_BOOT = 1000


def resample(metric: str, folds: Sequence[FoldPredictions]) -> np.ndarray:
    """Return one model's metric on resamples of a task's test clips: (N_BOOT,).

    Clips (files, of an event task) are drawn within each fold, the same for every model. Several
    runs of a probe are scored one by one in the same resample and averaged. Events are matched
    once, and their counts per file added up. NaN where a resample leaves a fold undefined; a class
    that it leaves undefined is left out of the macro mean (:mod:`harness.scoring.intervals`).
    """
    folds = [in_order(fold) for fold in folds]
    if metric in scores.METRICS:
        return scene_draws(metric, [(fold.probabilities, fold.targets) for fold in folds], N_BOOT)
    return event_draws(metric, [file_counts(metric, fold) for fold in folds], N_BOOT)


def file_counts(metric: str, fold: FoldPredictions) -> list[EventCounts]:
    """Count what an event metric counts in each file, for every run of a fold."""
    return [events.event_counts(metric, run, fold.reference or {}) for run in fold.predicted]


def in_order(fold: FoldPredictions) -> FoldPredictions:
    """Return the fold with its clips in the order of their names; of events the files alone.

    Embeddings that the original kit wrote have the clips in another order than ours.
    """
    if fold.reference is not None:
        return replace(fold, reference=dict(sorted(fold.reference.items())))
    order = np.argsort(np.array(fold.clips))
    return replace(
        fold,
        clips=tuple(fold.clips[i] for i in order),
        probabilities=fold.probabilities[:, order],
        targets=fold.targets[order],
        groups=None if fold.groups is None else tuple(fold.groups[i] for i in order),
    )
