"""Nearest neighbours by cosine similarity, and the protocol ``knn``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.probe.classifier import Classifier, FittedClassifier, Trial
from harness.probe.protocol import MULTICLASS, MULTILABEL, Protocol, Search

if TYPE_CHECKING:
    from harness.probe.folddata import FoldData


class NearestNeighbours(Classifier):
    """Votes of the k nearest rows, with the k in ``grid["k"]`` that is best on validation."""

    name = "knn"

    def fit(self, data: FoldData, trial: Trial) -> FittedClassifier:
        """Choose k; see :func:`harness.probe.knn.neighbour_scores`."""
        from harness.probe.knn import neighbour_scores

        ks, judge = trial.grid["k"], trial.judge
        scores = partial(neighbour_scores, data.train, data.train_targets, len(data.task.labels))
        best_k, best = ks[0], math.nan
        curve = []
        for k, found in zip(ks, scores(data.valid, ks), strict=True):
            score, _ = judge.score(found)
            curve.append([k, score])
            if judge.better(score, best):
                best_k, best = k, score
        return FittedClassifier(
            predict=lambda rows: next(scores(rows, [best_k])),
            score=best,
            curve=curve,
            params={"k": best_k},
        )

    def is_random(self, params: Mapping[str, Any], n_rows: int) -> bool:
        """Return False: nothing is drawn."""
        return False


knn = Protocol(
    name="knn",
    description="nearest neighbours by cosine similarity, their number selected on validation",
    kinds=(MULTICLASS, MULTILABEL),
    classifier=NearestNeighbours(),
    grid={"k": (1, 5, 20, 50)},
    n_points=4,
    search=Search.WITHIN_UNIT,
)
