"""The base class of the metrics of retrieval: test clips are queries, train clips the gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType
from harness.metrics.metric import Metric, Predictions
from harness.metrics.scene_metric import SceneMetric, multi_hot


class RetrievalFold(NamedTuple):
    """What is retrieved for the clips of one test fold.

    Attributes:
        similarity: to the most similar train clip of each class, (runs, n, C), in [0, 1].
        precision: average precision of the ranking of all train clips by similarity, of which those
            of each class are relevant, (runs, n, C); NaN for a class without train clips.
        first: precision at 1 of the same rankings, (runs, n, C): the share of the nearest train
            clips, one or several equally near, that have the class.
        positives: the labels of the clips, bool (n, C).
    """

    similarity: np.ndarray
    precision: np.ndarray
    first: np.ndarray
    positives: np.ndarray


@dataclass(frozen=True, kw_only=True)
class RetrievalMetric(Metric[RetrievalFold]):
    """A score of retrieval. It belongs to the protocol, and no task lists it."""

    embedding_type: ClassVar[EmbeddingType] = EmbeddingType.SCENE
    training_icc: ClassVar[float] = SceneMetric.training_icc

    def fold(self, predictions: Predictions) -> RetrievalFold:
        """Return the predictions as rankings.

        Raises:
            UserError: they were not made by retrieval.
        """
        precision, first = predictions.average_precision, predictions.precision_at_1
        if precision is None or first is None:
            raise UserError(f"{self.name} needs rankings, which only the protocol retrieval makes.")
        positives = multi_hot(predictions.targets, predictions.probabilities.shape[2])
        return RetrievalFold(predictions.probabilities, precision, first, positives)

    def sizes(self, folds: Sequence[RetrievalFold]) -> list[int]:
        """Return the number of clips of each fold."""
        return [len(fold.positives) for fold in folds]

    def runs(self, fold: RetrievalFold) -> int:
        """Return the number of runs."""
        return len(fold.similarity)
