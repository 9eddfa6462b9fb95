"""One unit's training and prediction, by the protocol's classifier."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType
from harness.embeddings.store import SplitEmbeddings
from harness.metrics.events import Postprocessing
from harness.probe.folddata import FoldData, generator_seed, read_fold
from harness.probe.judge import Judge
from harness.probe.knn import neighbour_scores
from harness.probe.linear import LinearFit, LinearPath
from harness.probe.protocol import Protocol, settings
from harness.probe.train import Check, fit, predict
from harness.probe.units import ProbeUnit, UnitResult
from tasks.format.task import Task

# Frames without any event on which a logistic regression is fitted: as many as there are frames
# with one, and at least this many.
_LEAST_NEGATIVES = 10_000
# After this many strengths in a row that are worse on validation than the best, a path ends.
_WORSE_STRENGTHS = 4


def run_unit(
    protocol: Protocol,
    unit: ProbeUnit,
    task: Task,
    embeddings: Mapping[str, SplitEmbeddings],
    seed: int,
    device: str = "cpu",
    tell: Callable[[str], None] = lambda _: None,
) -> UnitResult:
    """Train a unit on its fold's train split, select on validation, predict the test split.

    Args:
        protocol: how.
        unit: which; from :func:`next_units`.
        task: the task, whose clips are those of the embeddings.
        embeddings: of every split of the fold.
        seed: changes initialisation, dropout and the order of data, never the grid nor the splits.
        device: as torch names it. Probes of ``mps`` run on the CPU: they are small, and Apple's
            GPUs have no double precision.
        tell: called with a text on how far the training is, often.

    Raises:
        UserError: data on which the probe is not defined, by task, fold and reason.
    """
    begin = time.perf_counter()
    fold = task.folds[unit.fold]
    device = "cpu" if torch.device(device).type == "mps" else device
    data = read_fold(protocol, task, fold, embeddings, device)
    names = [seed, fold.name, unit.point, unit.run]

    def generators(stream: str, where: str) -> torch.Generator:
        return torch.Generator(where).manual_seed(generator_seed(*names, stream))

    run = {"mlp": _run_mlp, "logistic": _run_logistic, "knn": _run_knn}[protocol.classifier]
    result = run(protocol, unit, data, Judge(protocol, data), generators, tell)
    return dataclasses.replace(result, seconds=time.perf_counter() - begin)


Generators = Callable[[str, str], torch.Generator]
Tell = Callable[[str], None]


def _run_mlp(
    protocol: Protocol,
    unit: ProbeUnit,
    data: FoldData,
    judge: Judge,
    generators: Generators,
    tell: Tell,
) -> UnitResult:
    point = settings(unit.point)
    if point.hidden_layers and len(data.train) < 2:
        raise UserError(
            f"{data.task.name}, fold '{data.fold.name}': the train split has a single row, on "
            f"which batch normalisation is undefined. Protocol '{protocol.name}' needs two."
        )
    fitted = fit(
        point,
        data.train,
        data.train_targets,
        len(data.task.labels),
        data.valid,
        judge,
        generators,
        shuffle=protocol.shuffle,
        higher_is_better=judge.higher_is_better,
        undefined_ends=protocol.undefined_score_ends,
        tell=tell,
    )
    params = dict(unit.point)
    if len(data.train) % point.batch_size == 1 and len(data.train) > 1:
        params["last_row_joined"] = True  # said, since the original kit fails there
    choice = fitted.check.choice
    if judge.grid and choice is None:
        # Epochs were compared by loss: the post-processing is chosen once, for the best of them.
        _, choice = judge.score(judge.probabilities(predict(fitted.probe, data.valid)))
    return UnitResult(
        fitted.check.score,
        fitted.check.loss,
        fitted.epoch,
        [list(row) for row in fitted.curve],
        params,
        _fields(choice),
        0.0,
        judge.probabilities(predict(fitted.probe, data.test())),
    )


def _run_logistic(
    protocol: Protocol,
    unit: ProbeUnit,
    data: FoldData,
    judge: Judge,
    generators: Generators,
    tell: Tell,
) -> UnitResult:
    rows, targets = data.train, data.train_targets
    counted: dict[str, int] = {}
    if data.task.embedding_type == EmbeddingType.EVENT:
        rows, targets, counted = _sample_frames(rows, targets, generators("negatives", "cpu"))
    path = LinearPath(rows, targets, len(data.task.labels))
    strengths = protocol.grid["l2"]
    fitted, check, curve = fit_until_worse(
        path, strengths, data.valid, judge, judge.better, judge.perfect, tell
    )
    found = {"l2": fitted.l2, "steps": fitted.steps, "converged": fitted.converged, **counted}
    return UnitResult(
        _worst_if_nan(check.score, judge.higher_is_better),
        check.loss,
        None,
        curve,
        found,
        _fields(check.choice),
        0.0,
        judge.probabilities(fitted.logits(data.test())),
    )


def fit_until_worse(
    path: LinearPath,
    strengths: Sequence[float],
    valid: Tensor,
    judge: Callable[[Tensor], Check],
    better: Callable[[float, float], bool],
    perfect: float,
    tell: Tell = lambda _: None,
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
    active = targets.any(1).cpu()
    positives, negatives = active.nonzero()[:, 0], (~active).nonzero()[:, 0]
    wanted = max(len(positives), _LEAST_NEGATIVES)
    drawn = negatives[torch.randperm(len(negatives), generator=generator)[:wanted]]
    counted = {"positive_frames": len(positives), "negative_frames": len(drawn)}
    if len(drawn) == len(negatives):
        return rows, targets, counted
    kept = torch.cat([positives, drawn]).sort().values.to(rows.device)
    return rows[kept], targets[kept], counted


def _run_knn(
    protocol: Protocol,
    unit: ProbeUnit,
    data: FoldData,
    judge: Judge,
    generators: Generators,
    tell: Tell,
) -> UnitResult:
    ks, n_outputs = protocol.grid["k"], len(data.task.labels)
    best_k, best = ks[0], math.nan
    curve = []
    for k, found in zip(
        ks, neighbour_scores(data.train, data.train_targets, n_outputs, data.valid, ks), strict=True
    ):
        score, _ = judge.score(found)
        curve.append([k, score])
        if judge.better(score, best):
            best_k, best = k, score
    (predicted,) = neighbour_scores(
        data.train, data.train_targets, n_outputs, data.test(), [best_k]
    )
    score = _worst_if_nan(best, judge.higher_is_better)
    return UnitResult(score, None, None, curve, {"k": best_k}, None, 0.0, predicted)


def _worst_if_nan(score: float, higher_is_better: bool) -> float:
    if math.isnan(score):
        return -math.inf if higher_is_better else math.inf
    return score


def _fields(choice: Postprocessing | None) -> dict[str, float] | None:
    return None if choice is None else dataclasses.asdict(choice)
