"""Compute from one probe seed's test predictions what a paired comparison needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.compare.influences import in_order, units_of
from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType
from harness.metrics.jackknife import Influence
from harness.metrics.metric import AnyMetric
from harness.metrics.registry import find_metric
from harness.metrics.units import Units
from harness.probe import PROTOCOLS, name_and_shots
from harness.results.folder import placed_results
from harness.results.record import Record


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One probe seed of one model on one task, in its primary metric.

    Attributes:
        model, seed: as in its result row.
        task, task_sha256, protocol, metric: these must be equal in both models of a pair.
        clips: names of the test clips, sorted, per fold.
        by_unit: the score, and the influence of each test unit: a group of clips, or a clip.
        by_clip: the same for single clips; the same object if the task has no groups.
        correctness: of an accuracy, per fold the share of runs (n,) in which each clip is correct.
        runs: number of trained probes over which the scores of a fold are averaged.
        answers: number of clips, labels of clips, or events behind the score.
        audio: per fold the rate and hash of the recordings, if they are known.
        is_random: whether another seed gives another probe. Rows of schema version 1 do not record
            it: it is then that of the protocol on scene tasks, and assumed on event tasks.
    """

    model: str
    seed: int
    task: str
    task_sha256: str
    protocol: str
    metric: AnyMetric
    clips: tuple[tuple[str, ...], ...]
    by_unit: Influence
    by_clip: Influence
    correctness: tuple[np.ndarray, ...] | None = None
    runs: int = 1
    answers: float = np.inf
    audio: tuple[tuple[int, str] | None, ...] = ()
    is_random: bool = False

    @property
    def value(self) -> float:
        """The score."""
        return self.by_unit.value

    @property
    def units(self) -> Units:
        """The test units, which models must share to be paired."""
        return self.by_unit.units

    @property
    def noun(self) -> str:
        """Word for the test units in messages."""
        return self.units.noun if self.units.grouped else self.metric.clip_noun

    @property
    def is_share_of_clips(self) -> bool:
        """Whether it is an accuracy whose clips are the test units."""
        return self.correctness is not None and not self.units.grouped

    @property
    def decisions(self) -> float:
        """Number of answers that probes give, clips or events, over all folds."""
        return self.n_clips if self.metric.one_answer_a_clip else self.answers

    @property
    def n_clips(self) -> int:
        """Number of test clips of all folds."""
        return sum(map(len, self.clips))

    def ungrouped(self) -> Measured:
        """Return a copy with clips as units, even if the task has groups."""
        return replace(self, by_unit=self.by_clip)

    def same_predictions(self, other: Measured) -> bool:
        """Return whether both have equal correctness of clips or, without it, equal influences."""
        if self.correctness is not None and other.correctness is not None:
            return all(map(np.array_equal, self.correctness, other.correctness))
        return self.value == other.value and np.array_equal(
            self.by_clip.moves, other.by_clip.moves, equal_nan=True
        )


def measure(record: Record) -> Measured:
    """Return the measurements of a finished evaluation, from its test predictions.

    Raises:
        UserError: its predictions or its result rows are missing or damaged.
    """
    metric = find_metric(record.evaluation[0])
    about = next((placed.row for placed in placed_results([record.directory])), None)
    if about is None:
        raise UserError(f"{record.directory}: its result rows are missing or damaged. Run again.")
    folds = [in_order(fold) for fold in record.read_predictions()]
    units, clips = units_of(folds), units_of(folds, grouped=False)
    scored = [metric.fold(fold) for fold in folds]
    by_unit = metric.influence(scored, units)
    by_clip = metric.influence(scored, clips) if units.grouped else by_unit
    training_error = about.measurement.training_error
    few_shot = about.probe.shots is not None
    return Measured(
        model=about.model.label,
        seed=about.probe.seed,
        task=record.task,
        task_sha256=about.task.sha256,
        protocol=about.probe.protocol,
        metric=metric,
        clips=tuple(fold.clips for fold in folds),
        by_unit=by_unit,
        by_clip=by_clip,
        correctness=metric.clip_shares(scored),
        runs=metric.runs(scored[0]),
        answers=metric.answers(scored),
        audio=tuple(record.audio.get(fold.test) for fold in record.folds),
        is_random=_may_be_random(record, about.probe.protocol)
        if training_error is None
        else few_shot or training_error > 0,
    )


def _may_be_random(record: Record, protocol: str) -> bool:
    base, shots = name_and_shots(protocol)
    known = PROTOCOLS.get(base)
    if known is None or shots is not None or record.embedding_type == EmbeddingType.EVENT:
        return True
    return known.classifier.is_random({}, 0)


def check_paired(measured: Sequence[Measured]) -> None:
    """Check that all have the same task, version, protocol and test clips.

    Raises:
        UserError: they do not.
    """
    first = measured[0]
    for other in measured[1:]:
        pair = f"{first.model} and {other.model}"
        if other.protocol != first.protocol:
            raise UserError(
                f"{pair} were probed by different protocols, {first.protocol} and "
                f"{other.protocol}: results of two protocols cannot be compared."
            )
        if other.task != first.task:
            raise UserError(f"{pair} were tested on different tasks: {first.task}, {other.task}.")
        if other.task_sha256 != first.task_sha256:
            raise UserError(
                f"{pair} were tested on different versions of {first.task}: task_sha256 "
                f"{first.task_sha256[:8]}... and {other.task_sha256[:8]}.... Run both on one."
            )
        if other.clips != first.clips or other.metric != first.metric:
            raise UserError(
                f"{pair} were tested on different clips of {first.task}. Run both on the same."
            )
        for one, another in zip(first.audio, other.audio):
            # Recordings of other rates are other files, whose hashes cannot be compared.
            if one and another and one[0] == another[0] and one != another:
                raise UserError(
                    f"{pair} were tested on different recordings of {first.task}: the clips have "
                    "the same names, but other contents. Run both on the same recordings."
                )
