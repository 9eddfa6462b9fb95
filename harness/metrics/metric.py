"""The base class of metrics, which tables, intervals and comparisons use.

A new metric is one module in :mod:`harness.metrics.definitions`. Its class derives from one of

- :class:`harness.metrics.scene_metric.Accuracy`: a share of correct clips;
- :class:`harness.metrics.macro_mean.MacroMean`: a mean over classes;
- :class:`harness.metrics.macro_mean.RankingMetric`: a mean over classes of scores that depend on
  the ranking of the clips;
- :class:`harness.metrics.event_metric.EventMetric`: a fraction of counts of events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from harness.core.kinds import EmbeddingType, PredictionType
from harness.metrics.jackknife import Influence
from harness.metrics.units import Units

Fold = TypeVar("Fold")
"""The test predictions of one fold, in the form from which a kind of metric is computed."""


class Predictions(Protocol):
    """The test predictions of one fold, as :mod:`harness.results.predictions` stores them."""

    @property
    def probabilities(self) -> np.ndarray:
        """Probabilities, (runs, n, C)."""

    @property
    def targets(self) -> np.ndarray:
        """Class indices (n,), or multi-hot labels (n, C)."""

    @property
    def average_precision(self) -> np.ndarray | None:
        """Average precision of rankings, (runs, n, C); None for probes that do not rank."""

    @property
    def precision_at_1(self) -> np.ndarray | None:
        """Precision at 1 of rankings, (runs, n, C); None for probes that do not rank."""

    @property
    def predicted(self) -> Sequence[Mapping[str, Sequence[Any]]]:
        """Predicted events of each run, file -> events."""

    @property
    def reference(self) -> Mapping[str, Sequence[Any]] | None:
        """True events, file -> events."""


@dataclass(frozen=True)
class RunScore:
    """A metric's value on one run of one fold.

    Attributes:
        value: NaN if it is undefined.
        unscored: indices of the classes that a macro mean leaves out.
    """

    value: float
    unscored: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Metric(ABC, Generic[Fold]):
    """A score of test predictions.

    Attributes:
        name: as in a task's ``evaluation`` list.
        higher_is_better: False for error rates.
        range: lowest and highest value.
        prediction_types: kinds of task on which it is defined.
        embedding_type: whether it scores clips or events.
        clip_noun: the word for test clips in messages, in the plural.
        one_answer_a_clip: whether a probe gives one answer per clip; otherwise one per event.
        training_icc: correlation of the changes of answers between two trainings of a probe, for
            :func:`harness.metrics.variance.training_allowance`.
        value_name: name of the value if the original kit reports several for the metric.
    """

    name: str
    higher_is_better: bool = True
    range: tuple[float, float] = (0.0, 1.0)
    prediction_types: tuple[PredictionType, ...] = tuple(PredictionType)

    embedding_type: ClassVar[EmbeddingType]
    clip_noun: ClassVar[str] = "clips"
    one_answer_a_clip: ClassVar[bool] = True
    training_icc: ClassVar[float]
    value_name: ClassVar[str] = ""

    def is_for(self, embedding_type: str, prediction_type: str) -> bool:
        """Return whether the metric is defined on tasks of this kind."""
        return embedding_type == self.embedding_type and prediction_type in self.prediction_types

    @property
    def largest_difference(self) -> float:
        """Largest possible difference of two models."""
        low, high = self.range
        return high - low

    @property
    def counts_answers(self) -> bool:
        """Whether the score is a sum over answers, so that Wilson's interval applies."""
        return bool(np.isfinite(self.range[0]))

    @property
    def parts(self) -> tuple[Metric[Fold], ...]:
        """Other metrics of the same counts, which are reported with this one."""
        return ()

    def not_primary(self, prediction_type: str) -> str:
        """Return why it cannot be a task's primary metric, as a predicate; empty if it can."""
        return ""

    def vocabulary_fault(self, labels: Sequence[str]) -> str:
        """Return why it is meaningless with these labels, in a sentence; empty if it is not."""
        return ""

    @abstractmethod
    def fold(self, predictions: Predictions) -> Fold:
        """Return the predictions in the form from which the metric is computed."""

    @abstractmethod
    def scores(self, fold: Fold) -> list[RunScore]:
        """Return the score of each run of a fold."""

    def jackknife_units(self, units: Units) -> Units:
        """Return the units that :meth:`influence` leaves out; blocks of units save time."""
        return units

    @abstractmethod
    def influence(self, folds: Sequence[Fold], units: Units) -> Influence:
        """Compute the metric with and without each test unit.

        Args:
            folds: every test fold.
            units: of the same clips in the same order.
        """

    @abstractmethod
    def class_scores(self, predictions: Predictions, labels: Sequence[str]) -> np.ndarray:
        """Return each class's score (C,) on one fold, the mean over runs; NaN if undefined."""

    @property
    def class_score_name(self) -> str:
        """Name of what :meth:`class_scores` returns."""
        return self.name

    @abstractmethod
    def sizes(self, folds: Sequence[Fold]) -> list[int]:
        """Return the number of clips of each fold."""

    @abstractmethod
    def runs(self, fold: Fold) -> int:
        """Return the number of trained probes over which a fold's score is averaged."""

    def clip_shares(self, folds: Sequence[Fold]) -> tuple[np.ndarray, ...] | None:
        """Return per fold the share of runs (n,) in which each clip is correct; None if undefined.

        Only accuracies define it.
        """
        return None

    @abstractmethod
    def answers(self, folds: Sequence[Fold]) -> float:
        """Return the number of answers behind the score, over all folds."""

    def decisions(self, folds: Sequence[Fold]) -> float:
        """Return the number of answers that probes give, clips or events, over all folds."""
        return float(sum(self.sizes(folds))) if self.one_answer_a_clip else self.answers(folds)

    @abstractmethod
    def chance(self, truth: Sequence[np.ndarray]) -> float:
        """Return the expected score of predictions that do not depend on the clips.

        Args:
            truth: of each test fold, bool (clips, labels).
        """

    def best(self, truth: Sequence[np.ndarray]) -> float:
        """Return the score of perfect predictions; ``truth`` as in :meth:`chance`."""
        low, high = self.range
        return high if self.higher_is_better else low


AnyMetric = Metric[Any]
