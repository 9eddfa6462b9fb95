"""Probe units: what may run now, one unit's training and prediction, and the choice among units.

A unit trains on a fold's train split, is judged on its validation split and predicts its test
split. Selection reads ``UnitResult.valid_score`` alone; test predictions are scored elsewhere.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness import events, scores
from harness.errors import UserError
from harness.events import Postprocessing, best_postprocessing, postprocessing_grid
from harness.files import write_file
from harness.folddata import FoldData, generator_seed, read_fold, timestamps_of
from harness.knn import neighbour_scores
from harness.linear import LinearFit, fit_path
from harness.protocol import (
    PROTOCOLS,
    Point,
    Protocol,
    check_supported,
    grid_points,
    settings,
)
from harness.store import SplitEmbeddings
from harness.task import Task
from harness.train import Check, fit, loss_of, predict, probabilities_of

__all__ = [
    "PROTOCOLS",
    "ProbeUnit",
    "Protocol",
    "UnitResult",
    "check_supported",
    "next_units",
    "run_unit",
    "selected_units",
]

# Frames without any event on which a logistic regression is fitted: as many as there are frames
# with one, and at least this many.
_LEAST_NEGATIVES = 10_000


@dataclass(frozen=True)
class ProbeUnit:
    """One training: a fold (its index in ``task.folds``), a grid point and a run."""

    fold: int
    point: Point = ()
    run: int = 0


@dataclass(frozen=True, eq=False)
class UnitResult:
    """What a unit found.

    Attributes:
        valid_score: what selection compares: the task's first metric on validation, or the loss
            where the protocol or the task says so. Infinite, on the bad side, where undefined.
        valid_loss: on validation; None for nearest neighbours, which have none.
        epoch: of the best validation, counted from 0; None where nothing is trained in epochs.
        curve: one row for each validation (epoch, train loss, valid loss, score), or for each
            point that the unit tried (value, valid loss, score).
        params: the grid point, what the unit chose itself and what it counted.
        postprocessing: fields of :class:`harness.events.Postprocessing`; None for scenes.
        seconds: that training and prediction took.
        probabilities: float32 (rows of the test split, C).
    """

    valid_score: float
    valid_loss: float | None
    epoch: int | None
    curve: list[list[float]]
    params: dict[str, Any]
    postprocessing: dict[str, float] | None
    seconds: float
    probabilities: np.ndarray

    def to_files(self, directory: Path) -> None:
        """Write ``unit.npz`` and ``unit.json``; the JSON comes last, so what has it is whole."""
        stream = io.BytesIO()
        np.savez_compressed(stream, probabilities=self.probabilities)
        write_file(directory / "unit.npz", stream.getvalue())
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["probabilities"]
        write_file(directory / "unit.json", json.dumps(_spell(fields), allow_nan=False) + "\n")

    @staticmethod
    def from_files(directory: Path) -> UnitResult:
        """Read what :meth:`to_files` wrote."""
        fields = _unspell(json.loads((directory / "unit.json").read_text()))
        with np.load(directory / "unit.npz", allow_pickle=False) as arrays:
            return UnitResult(**fields, probabilities=arrays["probabilities"])


def next_units(
    protocol: Protocol, task: Task, done: Mapping[ProbeUnit, UnitResult]
) -> list[ProbeUnit]:
    """Return the units that may run now; none when the protocol is finished."""
    points, folds, runs = grid_points(protocol, task), len(task.folds), range(protocol.runs)
    searched = 1 if protocol.search == "first_fold" else folds
    units = [ProbeUnit(fold, p, run) for fold in range(searched) for p in points for run in runs]
    missing = [unit for unit in units if unit not in done]
    if missing or searched == folds:
        return missing
    winner = _winner(protocol, task, done, 0)
    units = [ProbeUnit(fold, winner, run) for fold in range(1, folds) for run in runs]
    return [unit for unit in units if unit not in done]


def selected_units(
    protocol: Protocol, task: Task, done: Mapping[ProbeUnit, UnitResult]
) -> list[list[ProbeUnit]]:
    """Return, for each fold, the runs of the winning point: their predictions are scored.

    Raises:
        UserError: the winner's predictions are not numbers, since training diverged everywhere.
    """
    selected = []
    for fold in range(len(task.folds)):
        winner = _winner(protocol, task, done, 0 if protocol.search == "first_fold" else fold)
        units = [ProbeUnit(fold, winner, run) for run in range(protocol.runs)]
        if not all(np.isfinite(done[unit].probabilities).all() for unit in units):
            raise UserError(
                f"{task.name}: every probe of protocol '{protocol.name}' diverged on fold "
                f"'{task.folds[fold].name}'. The embeddings' values are probably very large: "
                "try a protocol that standardises them."
            )
        selected.append(units)
    return selected


def _winner(
    protocol: Protocol, task: Task, done: Mapping[ProbeUnit, UnitResult], fold: int
) -> Point:
    """Return the best point on a fold's validation split, the first tried among equals."""
    _, higher = _criterion(protocol, task)
    points = grid_points(protocol, task)

    def value(point: Point) -> float:
        runs = [done[ProbeUnit(fold, point, run)].valid_score for run in range(protocol.runs)]
        mean = float(np.mean(runs))
        return mean if higher else -mean

    return max(points, key=value)


def _criterion(protocol: Protocol, task: Task) -> tuple[str, bool]:
    """Return what selects, "loss" or a metric, and whether more of it is better."""
    by_task = protocol.task_overrides and not task.use_scoring_for_early_stopping
    if by_task or protocol.select_by == "loss":
        return "loss", False
    metric = {**scores.METRICS, **events.METRICS}[task.primary_metric]
    return metric.name, metric.higher_is_better


def run_unit(
    protocol: Protocol,
    unit: ProbeUnit,
    task: Task,
    embeddings: Mapping[str, SplitEmbeddings],
    seed: int,
    device: str = "cpu",
) -> UnitResult:
    """Train a unit on its fold's train split, select on validation, predict the test split.

    Args:
        protocol: how.
        unit: which; from :func:`next_units`.
        task: the task, whose clips are those of the embeddings.
        embeddings: of every split of the fold.
        seed: changes initialisation, dropout and the order of data, never the grid nor the splits.
        device: as torch names it.

    Raises:
        UserError: data on which the probe is not defined, by task, fold and reason.
    """
    begin = time.perf_counter()
    fold = task.folds[unit.fold]
    data = read_fold(protocol, task, fold, embeddings, device)
    names = [seed, fold.name, unit.point, unit.run]

    def generators(stream: str, where: str) -> torch.Generator:
        return torch.Generator(where).manual_seed(generator_seed(*names, stream))

    run = {"mlp": _run_mlp, "logistic": _run_logistic, "knn": _run_knn}[protocol.classifier]
    result = run(protocol, unit, data, _Judge(protocol, data), generators)
    return dataclasses.replace(result, seconds=time.perf_counter() - begin)


Generators = Callable[[str, str], torch.Generator]


class _Judge:
    """Scores predictions of a fold's validation split; for events, chooses the post-processing."""

    def __init__(self, protocol: Protocol, data: FoldData) -> None:
        self.criterion, self.higher_is_better = _criterion(protocol, data.task)
        self.original = protocol.undefined_score_ends
        self.data = data
        self.targets = torch.from_numpy(data.valid_targets).to(data.train.device)
        self.multiclass = data.valid_targets.dtype == np.int64
        self.grid: list[Postprocessing] = []
        if data.task.embedding_type == "event":
            self.grid = [
                dataclasses.replace(setting, threshold=threshold)
                for setting in postprocessing_grid(data.task)
                for threshold in protocol.thresholds or (setting.threshold,)
            ]
            clips = data.task.clips[data.fold.valid]
            self.reference = {clip.name: clip.events for clip in clips}

    def __call__(self, logits: Tensor) -> Check:
        """Judge logits (rows, C)."""
        loss = float(loss_of(logits, self.targets))
        if self.criterion == "loss":
            return Check(loss, loss)
        score, choice = self.score(self.probabilities(logits))
        return Check(score, loss, choice)

    def probabilities(self, logits: Tensor) -> np.ndarray:
        return probabilities_of(logits, self.multiclass)

    def score(self, probabilities: np.ndarray) -> tuple[float, Postprocessing | None]:
        """Return the task's first metric on validation, and the post-processing it is best with."""
        metric = self.data.task.primary_metric
        if not np.isfinite(probabilities).all():
            return math.nan, self.grid[0] if self.grid else None
        if not self.grid:
            found = scores.score(metric, probabilities, self.data.valid_targets)
            return (found.original if self.original else found.value), None
        split = self.data.embeddings[self.data.fold.valid]
        choice, value = best_postprocessing(
            metric,
            probabilities,
            timestamps_of(split),
            split.offsets,
            split.clips,
            self.reference,
            self.grid,
            self.data.task.labels,
            original=self.original,
        )
        return value, choice

    def better(self, score: float, best: float) -> bool:
        """Whether a score is strictly better; one that is NaN never is, all others beat NaN."""
        if math.isnan(score) or math.isnan(best):
            return not math.isnan(score)
        return score > best if self.higher_is_better else score < best


def _run_mlp(
    protocol: Protocol, unit: ProbeUnit, data: FoldData, judge: _Judge, generators: Generators
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
    )
    choice = fitted.check.choice
    if judge.grid and choice is None:
        # Epochs were compared by loss: the post-processing is chosen once, for the best of them.
        _, choice = judge.score(judge.probabilities(predict(fitted.probe, data.valid)))
    return UnitResult(
        fitted.check.score,
        fitted.check.loss,
        fitted.epoch,
        [list(row) for row in fitted.curve],
        dict(unit.point),
        _fields(choice),
        0.0,
        judge.probabilities(predict(fitted.probe, data.test())),
    )


def _run_logistic(
    protocol: Protocol, unit: ProbeUnit, data: FoldData, judge: _Judge, generators: Generators
) -> UnitResult:
    rows, targets = data.train, data.train_targets
    counted: dict[str, int] = {}
    if data.task.embedding_type == "event":
        rows, targets, counted = _sample_frames(rows, targets, generators("negatives", "cpu"))
    best: tuple[LinearFit, Check] | None = None
    curve = []
    for fitted in fit_path(rows, targets, len(data.task.labels), protocol.grid["l2"]):
        check = judge(fitted.logits(data.valid))
        curve.append([fitted.l2, check.loss, check.score])
        if best is None or judge.better(check.score, best[1].score):
            best = fitted, check
    assert best is not None
    fitted, check = best
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
    protocol: Protocol, unit: ProbeUnit, data: FoldData, judge: _Judge, generators: Generators
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


def _spell(value: Any) -> Any:
    """Make a value JSON: numbers that JSON lacks become {"number": "inf"}."""
    if isinstance(value, dict):
        return {key: _spell(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spell(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    return value


def _unspell(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"number"}:
            return float(value["number"])
        return {key: _unspell(item) for key, item in value.items()}
    return [_unspell(item) for item in value] if isinstance(value, list) else value
