"""The judgement of predictions on a fold's validation split, by which everything is chosen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.core.kinds import EmbeddingType
from harness.metrics.events import Frames, Postprocessing, best_postprocessing, postprocessing_grid
from harness.metrics.registry import event_metric, scene_metric
from harness.probe.folddata import FoldData, timestamps_of
from harness.probe.network import loss_of, probabilities_of
from harness.probe.perfect import perfect_score


@dataclass(frozen=True)
class Check:
    """What one validation found.

    Attributes:
        score: what selects: the task's first metric, or the loss.
        loss: the mean cross entropy.
        choice: the post-processing of events that the score was computed with.
        ends: whether the score is one that ends training.
    """

    score: float
    loss: float
    choice: Postprocessing | None = None
    ends: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Check:
        """Return what :meth:`to_json` was called on."""
        choice = fields["choice"]
        return Check(**{**fields, "choice": choice and Postprocessing(**choice)})


class Judge:
    """Scores predictions of a fold's validation split; for events, chooses the post-processing.

    ``perfect`` is the best score that there can be.
    """

    def __init__(
        self,
        data: FoldData,
        criterion: tuple[str, bool],
        thresholds: Sequence[float] = (),
        *,
        heareval: bool = False,
    ) -> None:
        """Take the targets of the validation split.

        Args:
            data: the fold.
            criterion: what selects, "loss" or a metric, and whether more of it is better.
            thresholds: of events, tried with each post-processing; if none, that of the
                post-processing.
            heareval: as :attr:`harness.probe.protocol.Protocol.heareval_validation`.
        """
        self.criterion, self.higher_is_better = criterion
        self.perfect = perfect_score(criterion)
        self.heareval = heareval
        self.data = data
        self.targets = torch.from_numpy(data.valid_targets).to(data.device)
        self.multiclass = data.valid_targets.dtype == np.int64
        self.grid: list[Postprocessing] = []
        if data.task.embedding_type == EmbeddingType.EVENT:
            self.grid = [
                dataclasses.replace(setting, threshold=threshold)
                for setting in postprocessing_grid(data.task.event_postprocessing_grid)
                for threshold in thresholds or (setting.threshold,)
            ]
            clips = data.task.clips[data.fold.valid]
            self.reference = {clip.name: clip.events for clip in clips}

    def __call__(self, logits: Tensor) -> Check:
        """Judge logits (rows, C)."""
        loss = float(loss_of(logits, self.targets))
        if self.criterion == "loss":
            return self._check(loss, loss)
        return self._check(loss, *self.score(self.probabilities(logits)))

    def of_probabilities(self, probabilities: np.ndarray) -> Check:
        """Judge probabilities (rows, C) of a classifier that has no logits."""
        p = torch.from_numpy(probabilities).to(self.targets.device)
        tiny = torch.finfo(p.dtype).eps
        logits = p.clamp_min(tiny).log() if self.multiclass else p.logit(tiny)
        loss = float(loss_of(logits, self.targets))
        if self.criterion == "loss":
            return self._check(loss, loss)
        return self._check(loss, *self.score(probabilities))

    def _check(self, loss: float, score: float, choice: Postprocessing | None = None) -> Check:
        return Check(score, loss, choice, ends=self.heareval and not math.isfinite(score))

    def probabilities(self, logits: Tensor) -> np.ndarray:
        """Return what the task's predictions are: softmax of classes or sigmoids of labels."""
        return probabilities_of(logits, self.multiclass)

    def score(self, probabilities: np.ndarray) -> tuple[float, Postprocessing | None]:
        """Return the task's first metric on validation, and the post-processing it is best with."""
        metric = self.data.task.primary_metric
        if not np.isfinite(probabilities).all():
            return math.nan, self.grid[0] if self.grid else None
        if not self.grid:
            scene, targets = scene_metric(metric), self.data.valid_targets
            if self.heareval:
                return scene.original(probabilities, targets), None
            return scene.score(probabilities, targets).value, None
        split = self.data.embeddings[self.data.fold.valid]
        choice, value = best_postprocessing(
            event_metric(metric),
            probabilities,
            Frames(timestamps_of(split), split.offsets, split.clips),
            reference=self.reference,
            grid=self.grid,
            labels=self.data.task.labels,
            original=self.heareval,
        )
        return value, choice

    def better(self, score: float, best: float) -> bool:
        """Return whether a score is strictly better; NaN is worse than every number."""
        if math.isnan(score) or math.isnan(best):
            return not math.isnan(score)
        return score > best if self.higher_is_better else score < best
