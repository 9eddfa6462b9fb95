"""What is known of a synthetic task's scores before anything is run, from its tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtri

_SEMITONES = 12


def chance(metric: str, folds: Sequence[np.ndarray]) -> float:
    """Return what is scored, in the mean, without hearing the clips.

    Accuracies: a guess among the labels is right by one over their number; by chroma, which is the
    index modulo 12, by the sum over chromas of the squared share of the labels that have it. mAP:
    the mean over labels of the share of clips that have the label; AUC 1/2, d' 0. Events: what
    never changes has no onset within a collar of an event, so that F is 0; the error rate of
    predicting nothing is 1.

    Args:
        metric: a metric of the task.
        folds: the truth of each test split, bool (clips, labels).
    """
    n_labels = folds[0].shape[1]
    if metric in ("top1_acc", "pitch_acc"):
        return 1.0 / n_labels
    if metric == "chroma_acc":
        of_chroma = np.bincount(np.arange(n_labels) % _SEMITONES)
        return float(np.square(of_chroma / n_labels).sum())
    if metric == "mAP":
        return float(np.mean([truth.mean() for truth in folds]))
    return {"aucroc": 0.5, "segment_1s_er": 1.0}.get(metric, 0.0)


def best(metric: str, folds: Sequence[np.ndarray]) -> float:
    """Return what is scored when every clip is told right.

    1, and for an error rate 0. The d' of an AUC of 1 is that of one tie among the label's pairs of
    a clip that has it and one that has not, sqrt(2) ndtri(1 - 1 / (2 pairs)), as
    :func:`harness.metrics.scores.score` defines it.
    """
    if metric == "d_prime":
        return float(np.mean([_largest_d_prime(truth) for truth in folds]))
    return 0.0 if metric == "segment_1s_er" else 1.0


def _largest_d_prime(truth: np.ndarray) -> float:
    pairs = truth.sum(axis=0) * (~truth).sum(axis=0)
    return float(np.mean(np.sqrt(2.0) * ndtri(1.0 - 0.5 / pairs)))


def known_scores(
    metrics: Sequence[str], folds: Sequence[np.ndarray]
) -> Mapping[str, Mapping[str, float]]:
    """Return ``chance`` and ``best`` of each metric, for the metadata."""
    return {
        "chance": {metric: chance(metric, folds) for metric in metrics},
        "best": {metric: best(metric, folds) for metric in metrics},
    }
