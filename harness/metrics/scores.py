"""Metrics of scene tasks: accuracies, average precision, ROC AUC and d'.

A class that a test set leaves undefined (without a positive, or for AUC and d' without a negative)
is left out of the macro mean and named, so that every score says on how many classes it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from harness.core.errors import UserError, did_you_mean
from harness.metrics.ranking import ClassRanking, Ranking

SEMITONES = 12


@dataclass(frozen=True)
class Metric:
    """What can be known of a metric without computing it.

    Attributes:
        name: as in a task's ``evaluation`` list.
        higher_is_better: False for error rates.
        prediction_types: kinds of task on which it is defined.
        range: lowest and highest value.
    """

    name: str
    higher_is_better: bool
    prediction_types: tuple[str, ...]
    range: tuple[float, float] = (0.0, 1.0)


_BOTH = ("multiclass", "multilabel")
METRICS: Mapping[str, Metric] = {
    "top1_acc": Metric("top1_acc", True, _BOTH),
    "pitch_acc": Metric("pitch_acc", True, ("multiclass",)),
    "chroma_acc": Metric("chroma_acc", True, ("multiclass",)),
    "mAP": Metric("mAP", True, _BOTH),
    "aucroc": Metric("aucroc", True, _BOTH),
    "d_prime": Metric("d_prime", True, _BOTH, (-np.inf, np.inf)),
}
ACCURACIES = frozenset({"top1_acc", "pitch_acc", "chroma_acc"})


@dataclass(frozen=True)
class Score:
    """A metric's value, the classes behind it, and what heareval would have reported.

    Attributes:
        value: the score; NaN when no class is defined or a probability is NaN.
        n_classes: classes of the vocabulary.
        n_classes_scored: classes in the macro mean; accuracies are over clips and score them all.
        unscored: indices of the classes left out.
        original: the value that heareval 2021.1.3 computes, for a protocol that must stop where it
            stops: NaN when AUC or d' meets an undefined class, infinite when d' meets an AUC of 0
            or 1, and for mAP the mean in which a class without positives counts as 0 (the
            behaviour of scikit-learn 1.x; 0.24 made it NaN). Otherwise equal to ``value``.
    """

    value: float
    n_classes: int
    n_classes_scored: int
    unscored: tuple[int, ...]
    original: float


def score(metric: str, probabilities: np.ndarray, targets: np.ndarray) -> Score:
    """Score the predictions of a scene task.

    ``top1_acc`` and ``pitch_acc`` are the share of clips whose largest probability is on the true
    class (the first of equals); ``chroma_acc`` compares class *indices* modulo 12, which is the
    chroma only while a pitch vocabulary is contiguous. On multi-hot targets, where HEAR lists
    ``top1_acc`` for FSD50K, the true class is taken to be the first label of the clip, and class 0
    for a clip without labels: that is how every published value was made.

    ``mAP`` and ``aucroc`` are macro means over classes; ``d_prime`` is the mean over classes of
    sqrt(2) * ndtri(AUC). An AUC of 1 (or 0) has no finite d': it counts as if one of its
    (positive, negative) pairs were tied, AUC = 1 - 1 / (2 * pairs), the usual half-a-count
    correction of signal detection theory (Macmillan and Kaplan 1985), so that one perfect class
    does not turn the mean into infinity.

    Args:
        metric: a name in ``METRICS``.
        probabilities: (n, C) floats; only their order matters.
        targets: (n,) class indices, or (n, C) multi-hot.

    Raises:
        UserError: unknown metric.
        ValueError: no clips, or shapes that do not belong together.
    """
    check_metric(metric)
    check_shapes(probabilities, targets)
    n_classes = probabilities.shape[1]
    if np.isnan(probabilities).any():
        return Score(np.nan, n_classes, 0, tuple(range(n_classes)), np.nan)
    if metric in ACCURACIES:
        value = float(correct(metric, probabilities, targets).mean())
        return Score(value, n_classes, n_classes, (), value)
    ranked = Ranking(probabilities, multi_hot(targets, n_classes)).scores(
        np.ones((len(targets), 1))
    )
    by_class = class_values(metric, ranked)[:, 0]
    unscored = tuple(int(c) for c in np.flatnonzero(np.isnan(by_class)))
    value = float(macro_mean(by_class[:, None])[0])
    original = _original(metric, ranked, value, unscored)
    return Score(value, n_classes, n_classes - len(unscored), unscored, original)


def check_metric(metric: str) -> None:
    """Raise UserError, with the nearest name, for a metric that is not in ``METRICS``."""
    if metric not in METRICS:
        raise UserError(
            f"There is no scene metric '{metric}'.{did_you_mean(metric, METRICS)} "
            f"Known: {', '.join(METRICS)}."
        )


def correct(metric: str, probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return which clips an accuracy counts as correct, bool (n,)."""
    predicted = probabilities.argmax(axis=1)
    true = targets if targets.ndim == 1 else targets.argmax(axis=1)
    if metric == "chroma_acc":
        return predicted % SEMITONES == true % SEMITONES
    return predicted == true


def class_values(metric: str, ranking: ClassRanking) -> np.ndarray:
    """Return a macro metric per class and weighting, (C, b); NaN where undefined."""
    if metric == "mAP":
        return ranking.average_precision
    if metric == "aucroc":
        return ranking.auc
    with np.errstate(divide="ignore"):
        half_a_pair = 0.5 / ranking.pairs
    return np.sqrt(2.0) * ndtri(np.clip(ranking.auc, half_a_pair, 1 - half_a_pair))


def macro_mean(by_class: np.ndarray) -> np.ndarray:
    """Mean over the defined classes of (C, b): (b,), NaN where no class is defined."""
    defined = ~np.isnan(by_class)
    count = defined.sum(axis=0)
    total = np.where(defined, by_class, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def multi_hot(targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Targets of either form as bool (n, C)."""
    if targets.ndim == 2:
        return targets > 0
    return targets[:, None] == np.arange(n_classes)


def check_shapes(probabilities: np.ndarray, targets: np.ndarray) -> None:
    """Raise ValueError unless there are clips, and a target of the right form for each."""
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(
            f"probabilities must be (clips, classes), neither 0, not {probabilities.shape}"
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


def _original(metric: str, ranked: ClassRanking, value: float, unscored: tuple[int, ...]) -> float:
    """What heareval computes; see ``Score.original``."""
    if metric == "mAP":
        return float(np.nan_to_num(ranked.average_precision).mean())
    if unscored:
        return float("nan")
    if metric == "aucroc":
        return value
    with np.errstate(invalid="ignore"):
        return float(np.sqrt(2.0) * ndtri(ranked.auc).mean())
