"""Logistic regression to convergence, and the protocol ``linear``."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.core.kinds import EmbeddingType
from harness.probe.classifier import Classifier, FittedClassifier, Trial
from harness.probe.protocol import ALL_KINDS, Protocol, Search

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from harness.probe.folddata import FoldData
    from harness.probe.judge import Check, Judge
    from harness.probe.linear import LinearFit
    from harness.probe.partial import Partial

# Frames without any event on which a logistic regression is fitted: as many as there are frames
# with one, and at least this many.
_LEAST_NEGATIVES = 10_000
# After this many strengths in a row that are worse on validation than the best, a path ends.
_WORSE_STRENGTHS = 4
_TENSORS = ("weight", "bias", "mixture")  # of a fit


class Logistic(Classifier):
    """Multinomial or one-vs-rest, of the strength in ``grid["l2"]`` that is best on validation.

    On events it is fitted to all frames with an event and a random sample of those without.
    """

    name = "logistic"

    def fit(self, data: FoldData, trial: Trial) -> FittedClassifier:
        """Fit a path of strengths; see :func:`fit_until_worse`."""
        from harness.probe.linear import LinearPath

        rows, targets, judge = data.train, data.train_targets, trial.judge
        kept, counted = sampled_frames(data, trial)
        if kept is not None:
            rows, targets = rows[kept], targets[kept]
        path = LinearPath(rows, targets, len(data.task.labels))
        fitted, check, curve = fit_until_worse(
            path,
            trial.grid["l2"],
            lambda fit: fit.logits(data.valid),
            judge,
            trial.tell,
            trial.partial,
        )
        return FittedClassifier(
            predict=lambda rows: judge.probabilities(fitted.logits(rows)),
            score=check.score,
            loss=check.loss,
            choice=check.choice,
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


class Path(typing.Protocol):
    """Fits of one problem at several strengths (:class:`harness.probe.linear.LinearPath`)."""

    device: torch.device

    def fit(self, l2: float) -> LinearFit:
        """Fit at a strength."""

    def refine(self, fit: LinearFit) -> LinearFit:
        """Continue a fit to a smaller error."""

    def state(self) -> dict[str, Tensor]:
        """Return what the next fits depend on beside the problem."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what :meth:`state` returned."""


def fit_until_worse(
    path: Path,
    strengths: Sequence[float],
    valid_logits: Callable[[LinearFit], Tensor],
    judge: Judge,
    tell: Callable[[str], None] = lambda _: None,
    partial: Partial | None = None,
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
        valid_logits: returns a fit's logits of the validation split.
        judge: scores them.
        tell: called with a text on how far the path is.
        partial: keeps the path after a strength, so that a path that was stopped goes on.

    Returns:
        the refined fit, its check, and a row (strength, loss, score) for each strength tried.
    """
    best: tuple[LinearFit, Check] | None = None
    curve: list[list[float]] = []
    worse = 0
    if partial and (kept := partial.load()):
        best, curve, worse = _restore(path, *kept)
    for l2 in strengths[len(curve) :]:
        tell(f"strength {len(curve) + 1} of at most {len(strengths)}")
        fitted = path.fit(l2)
        check = judge(valid_logits(fitted))
        curve.append([l2, check.loss, check.score])
        if best is None or judge.better(check.score, best[1].score):
            best = fitted, check
        worse = worse + 1 if judge.better(best[1].score, check.score) else 0
        if worse == _WORSE_STRENGTHS or check.score == judge.perfect:
            break
        if partial and partial.due():
            _keep(partial, path, *best, curve, worse)
    assert best is not None
    refined = path.refine(best[0])
    return refined, judge(valid_logits(refined)), curve


def _keep(
    partial: Partial,
    path: Path,
    best: LinearFit,
    check: Check,
    curve: list[list[float]],
    worse: int,
) -> None:
    """Keep all that the rest of a path depends on."""
    fields = {f.name: getattr(best, f.name) for f in dataclasses.fields(best)}
    tensors = {name: fields.pop(name) for name in _TENSORS}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    found = {"fit": fields, "check": check.to_json(), "curve": curve, "worse": worse}
    partial.save(found, {**tensors, **path.state()})


def _restore(
    path: Path, fields: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[tuple[LinearFit, Check], list[list[float]], int]:
    """Restore the path; return the best fit with its check, the curve, and the worse strengths."""
    from harness.probe.judge import Check
    from harness.probe.linear import LinearFit

    own = {name: tensors.pop(name).to(path.device) for name in _TENSORS if name in tensors}
    path.restore(tensors)
    best = LinearFit(**{**fields["fit"], **own})
    return (best, Check.from_json(fields["check"])), fields["curve"], fields["worse"]


def sampled_frames(data: FoldData, trial: Trial) -> tuple[Tensor | None, dict[str, int]]:
    """Sample the frames without an event, and keep every frame with one.

    Returns:
        the kept rows, as rising indices on the device, or None for all; and the numbers of frames,
        empty for a scene task.
    """
    import torch

    if data.task.embedding_type != EmbeddingType.EVENT:
        return None, {}
    generator = trial.generator("negatives", "cpu")
    active = data.train_targets.any(1).cpu()
    positives, negatives = active.nonzero()[:, 0], (~active).nonzero()[:, 0]
    wanted = max(len(positives), _LEAST_NEGATIVES)
    drawn = negatives[torch.randperm(len(negatives), generator=generator)[:wanted]]
    counted = {"positive_frames": len(positives), "negative_frames": len(drawn)}
    if len(drawn) == len(negatives):
        return None, counted
    return torch.cat([positives, drawn]).sort().values.to(data.device), counted


linear = Protocol(
    name="linear",
    description="logistic regression to convergence, its L2 strength selected on validation",
    kinds=ALL_KINDS,
    classifier=Logistic(),
    # Of the mean loss; scikit-learn's C = 1 / (rows * l2). Strongest first, so that it wins ties.
    grid={"l2": tuple(10.0 ** (1 - 7 * i / 11) for i in range(12))},
    n_points=12,
    search=Search.WITHIN_UNIT,
    thresholds=(0.05, *(i / 10 for i in range(1, 10))),
)
