"""The best score that a probe can have, which ends searches: a later one can only tie."""

from __future__ import annotations

from harness.metrics.registry import find_metric


def perfect_score(criterion: tuple[str, bool]) -> float:
    """Return the best score of a criterion (:func:`harness.probe.protocol.criterion`)."""
    name, higher_is_better = criterion
    return 0.0 if name == "loss" else find_metric(name).range[1 if higher_is_better else 0]
