"""Logistic regression to convergence, and the protocol ``linear``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.core.kinds import EmbeddingType
from harness.probe.classifier import Classifier, FittedClassifier, Trial
from harness.probe.protocol import ALL_KINDS, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from harness.probe.folddata import FoldData
    from harness.probe.linear import LinearFit, LinearPath
    from harness.probe.train import Check

# Frames without any event on which a logistic regression is fitted: as many as there are frames
# with one, and at least this many.
_LEAST_NEGATIVES = 10_000
# After this many strengths in a row that are worse on validation than the best, a path ends.
_WORSE_STRENGTHS = 4


class Logistic(Classifier):
    """Multinomial or one-vs-rest, of the strength in ``grid["l2"]`` that is best on validation.

    On events it is fitted to all frames with an event and a random sample of those without.
    """

    name = "logistic"

    def fit(self, data: FoldData, trial: Trial) -> FittedClassifier:
        """Fit a path of strengths; see :func:`fit_until_worse`."""
        from harness.probe.linear import LinearPath

        rows, targets, judge = data.train, data.train_targets, trial.judge
        counted: dict[str, int] = {}
        if data.task.embedding_type == EmbeddingType.EVENT:
            generator = trial.generator("negatives", "cpu")
            rows, targets, counted = _sample_frames(rows, targets, generator)
        path = LinearPath(rows, targets, len(data.task.labels))
        strengths = trial.grid["l2"]
        fitted, check, curve = fit_until_worse(
            path, strengths, data.valid, judge, judge.better, judge.perfect, trial.tell
        )
        return FittedClassifier(
            lambda rows: judge.probabilities(fitted.logits(rows)),
            check.score,
            check.loss,
            check.choice,
            curve=curve,
            params={
                "l2": fitted.l2,
                "steps": fitted.steps,
                "converged": fitted.converged,
                **counted,
            },
        )

    def is_random(self, params: Mapping[str, Any], n_rows: int) -> bool:
        """Return whether frames were sampled. Small event tasks keep all frames."""
        if "positive_frames" not in params:
            return False
        return params["positive_frames"] + params["negative_frames"] < n_rows


def fit_until_worse(
    path: LinearPath,
    strengths: Sequence[float],
    valid: Tensor,
    judge: Callable[[Tensor], Check],
    better: Callable[[float, float], bool],
    perfect: float,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[LinearFit, Check, list[list[float]]]:
    """Fit from strong to weak, and refine the fit that is best on validation.

    Of equal scores the strongest strength wins. The path ends after ``_WORSE_STRENGTHS`` (4)
    strengths in a row that are strictly worse than the best so far. On 57 paths (the demo suite, a
    task of spoken digits with and without folds, and the synthetic tasks, by BYOL-A, random weights
    and log-mel) that changed no selection; 3 in a row changed 2, and 2 in a row changed 3. The
    path also ends at a perfect score, which no other can beat.

    Args:
        path: the problem.
        strengths: from strong to weak.
        valid: rows of the validation split.
        judge: scores their logits.
        better: whether its first score is strictly better than its second.
        perfect: the best score there can be.
        tell: called with a text on how far the path is.

    Returns:
        the refined fit, its check, and a row (strength, loss, score) for each strength tried.
    """
    best: tuple[LinearFit, Check] | None = None
    curve: list[list[float]] = []
    worse = 0
    for l2 in strengths:
        fitted = path.fit(l2)
        tell(f"strength {len(curve) + 1} of at most {len(strengths)}")
        check = judge(fitted.logits(valid))
        curve.append([l2, check.loss, check.score])
        if best is None or better(check.score, best[1].score):
            best = fitted, check
        worse = worse + 1 if better(best[1].score, check.score) else 0
        if worse == _WORSE_STRENGTHS or check.score == perfect:
            break
    assert best is not None
    refined = path.refine(best[0])
    return refined, judge(refined.logits(valid)), curve


def _sample_frames(
    rows: Tensor, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, dict[str, int]]:
    """Keep every frame with an event and a random sample of those without."""
    import torch

    active = targets.any(1).cpu()
    positives, negatives = active.nonzero()[:, 0], (~active).nonzero()[:, 0]
    wanted = max(len(positives), _LEAST_NEGATIVES)
    drawn = negatives[torch.randperm(len(negatives), generator=generator)[:wanted]]
    counted = {"positive_frames": len(positives), "negative_frames": len(drawn)}
    if len(drawn) == len(negatives):
        return rows, targets, counted
    kept = torch.cat([positives, drawn]).sort().values.to(rows.device)
    return rows[kept], targets[kept], counted


linear = Protocol(
    name="linear",
    description="logistic regression to convergence, its L2 strength selected on validation",
    kinds=ALL_KINDS,
    classifier=Logistic(),
    # Of the mean loss; scikit-learn's C = 1 / (rows * l2). Strongest first, so that it wins ties.
    grid={"l2": tuple(10.0 ** (1 - 7 * i / 11) for i in range(12))},
    n_points=12,
    search="within_unit",
    thresholds=(0.05, *(i / 10 for i in range(1, 10))),
)
