"""The base class of metrics of scene tasks, and accuracies, which are shares of correct clips."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from harness.core.kinds import EmbeddingType, PredictionType
from harness.metrics.jackknife import Influence, share_influence
from harness.metrics.metric import Metric, Predictions, RunScore
from harness.metrics.units import Units


class SceneFold(NamedTuple):
    """Predictions on one test fold of a scene task.

    Attributes:
        probabilities: (runs, n, C).
        targets: (n,) class indices, or (n, C) multi-hot.
    """

    probabilities: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SceneMetric(Metric[SceneFold]):
    """A score of scene predictions that depends only on the order of probabilities."""

    embedding_type: ClassVar[EmbeddingType] = EmbeddingType.SCENE
    training_icc: ClassVar[float] = 5e-3
    """Trained probes had 0.0004 to 0.0042 on 500 clips and more, and up to 0.0060 on fewer clips,
    where the estimates are imprecise (``results/seed_noise.csv``). The value is an allowance, not
    an estimate.
    """

    @abstractmethod
    def score(self, probabilities: np.ndarray, targets: np.ndarray) -> RunScore:
        """Score one run.

        Args:
            probabilities: (n, C) floats. A NaN makes the score NaN.
            targets: (n,) class indices, or (n, C) multi-hot.

        Raises:
            ValueError: there are no clips, or the shapes do not match.
        """

    def original(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        """Return the value that heareval 2021.1.3 computes.

        Protocols that stop training as heareval does select by it. It differs from the score if a
        class is undefined or a d' is infinite.
        """
        return self.score(probabilities, targets).value

    def fold(self, predictions: Predictions) -> SceneFold:
        """Return probabilities and targets."""
        return SceneFold(predictions.probabilities, predictions.targets)

    def scores(self, fold: SceneFold) -> list[RunScore]:
        """Return the score of each run."""
        return [self.score(run, fold.targets) for run in fold.probabilities]

    def sizes(self, folds: Sequence[SceneFold]) -> list[int]:
        """Return the number of clips of each fold."""
        return [len(fold.targets) for fold in folds]

    def runs(self, fold: SceneFold) -> int:
        """Return the number of runs."""
        return len(fold.probabilities)


@dataclass(frozen=True, kw_only=True)
class Accuracy(SceneMetric):
    """The share of clips that are correct.

    Its intervals are those of proportions, and models are compared by McNemar's test.

    Attributes:
        multilabel_convention: what is counted on multi-hot targets, as a predicate. If given, it
            is no primary metric of multilabel tasks.
    """

    multilabel_convention: str = ""

    def correct(self, probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return which clips are correct, bool (n,). Of equal probabilities the first counts.

        The true class of multi-hot targets is the clip's first label, and class 0 without labels.
        """
        return probabilities.argmax(axis=1) == first_labels(targets)

    def correctness(self, fold: SceneFold) -> np.ndarray:
        """Return whether each clip is correct in each run, bool (runs, n)."""
        for run in fold.probabilities:
            check_shapes(run, fold.targets)
        return np.stack([self.correct(run, fold.targets) for run in fold.probabilities])

    def clip_shares(self, folds: Sequence[SceneFold]) -> tuple[np.ndarray, ...]:
        """Return per fold the share of runs (n,) in which each clip is correct."""
        return tuple(self.correctness(fold).mean(axis=0) for fold in folds)

    def not_primary(self, prediction_type: str) -> str:
        """Return its convention on multilabel tasks."""
        return self.multilabel_convention if prediction_type == PredictionType.MULTILABEL else ""

    def score(self, probabilities: np.ndarray, targets: np.ndarray) -> RunScore:
        """Return the share of correct clips; see :meth:`SceneMetric.score`."""
        check_shapes(probabilities, targets)
        if np.isnan(probabilities).any():
            return RunScore(np.nan, tuple(range(probabilities.shape[1])))
        return RunScore(float(self.correct(probabilities, targets).mean()))

    def influence(self, folds: Sequence[SceneFold], units: Units) -> Influence:
        """Compute the share with and without each unit."""
        return share_influence(self.clip_shares(folds), units)

    def answers(self, folds: Sequence[SceneFold]) -> float:
        """Return the number of clips."""
        return float(sum(self.sizes(folds)))

    @property
    def class_score_name(self) -> str:
        """Accuracy on the clips of one class."""
        return "recall"

    def class_scores(self, predictions: Predictions, labels: Sequence[str]) -> np.ndarray:
        """Return the share of correct clips of each class (C,)."""
        fold = self.fold(predictions)
        right, true = self.correctness(fold), first_labels(fold.targets)
        return np.array(
            [
                right[:, true == c].mean() if (true == c).any() else np.nan
                for c in range(len(labels))
            ]
        )

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        """Return the expected share of correct clips if labels are guessed."""
        return 1.0 / truth[0].shape[1]


def first_labels(targets: np.ndarray) -> np.ndarray:
    """Return the class of each clip (n,): the first of its labels, and 0 without labels."""
    return targets if targets.ndim == 1 else targets.argmax(axis=1)


def multi_hot(targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Return targets of either form as bool (n, C)."""
    if targets.ndim == 2:
        return targets > 0
    return targets[:, None] == np.arange(n_classes)


def check_shapes(probabilities: np.ndarray, targets: np.ndarray) -> None:
    """Raise ValueError unless there are clips, and a target of the right form for each."""
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(
            f"probabilities must be (clips, classes), both at least 1, not {probabilities.shape}"
        )
    n, n_classes = probabilities.shape
    if targets.shape not in ((n,), (n, n_classes)):
        raise ValueError(
            f"targets must be ({n},) class indices or ({n}, {n_classes}) multi-hot for "
            f"probabilities of shape {probabilities.shape}, not {targets.shape}"
        )
    if targets.ndim == 1 and (targets.min() < 0 or targets.max() >= n_classes):
        raise ValueError(
            f"class indices must lie in 0..{n_classes - 1}, not {targets.min()}..{targets.max()}"
        )
