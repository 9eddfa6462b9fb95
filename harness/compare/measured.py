"""What pairing needs of one probe seed's test predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.compare.resamples import N_BOOT, file_counts, in_order, resample
from harness.errors import UserError
from harness.predictions import FoldPredictions
from harness.probe import PROTOCOLS
from harness.record import Record
from harness.results.folder import placed_results
from harness.scoring.event_scores import METRICS as EVENT_METRICS
from harness.scoring.intervals import (
    event_answers,
    event_draws,
    event_value,
    scene_answers,
    scene_value,
    scene_worth,
)
from harness.scoring.scores import ACCURACIES, METRICS, correct


@dataclass(frozen=True)
class Measured:
    """One probe seed of one model on one task, in its primary metric.

    Attributes:
        model, seed: as in its result row.
        task, task_sha256, protocol, metric: what it must have in common with its counterpart.
        clips: names of the test clips, sorted, per fold.
        value: the score.
        runs: how many trained probes the scores of a fold are averaged over.
        correctness: of an accuracy, per fold the share of runs (n,) that have each clip right.
        draws: of another metric, its values on resamples (n_boot,) that all models have in common.
        answers: of another metric, how many labels of clips, or events, it is counted from.
        worth: of a macro mean, of how many clips' labels it is known
            (:func:`harness.scoring.intervals.scene_worth`).
        audio: per fold the rate and hash of the recordings, where they are known.
    """

    model: str
    seed: int
    task: str
    task_sha256: str
    protocol: str
    metric: str
    clips: tuple[tuple[str, ...], ...]
    value: float
    correctness: tuple[np.ndarray, ...] | None = None
    draws: np.ndarray | None = None
    runs: int = 1
    answers: float = np.inf
    worth: float = np.inf
    audio: tuple[tuple[int, str] | None, ...] = ()

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another probe: trained by steps, or on sampled frames."""
        known = PROTOCOLS.get(self.protocol)
        return known is None or known.classifier == "mlp" or self.metric in EVENT_METRICS

    @property
    def n_clips(self) -> int:
        """Test clips, of all folds."""
        return sum(map(len, self.clips))

    def same_predictions(self, other: Measured) -> bool:
        """Whether both have every clip, or every resample, equal."""
        if self.correctness is not None and other.correctness is not None:
            return all(map(np.array_equal, self.correctness, other.correctness))
        assert self.draws is not None
        assert other.draws is not None
        return self.value == other.value and np.array_equal(self.draws, other.draws, equal_nan=True)


def measure(record: Record) -> Measured:
    """Read the test predictions of a finished evaluation, and score them clip by clip.

    Raises:
        UserError: they are gone or damaged, or its result rows are.
    """
    metric = record.evaluation[0]
    # Not record.rows(): a frame for one row takes longer than all the rest.
    about = next((placed.row for placed in placed_results([record.directory])), None)
    if about is None:
        raise UserError(f"{record.directory}: its result rows are gone or damaged. Run again.")
    folds = record.read_predictions()
    correctness, draws = None, None
    answers, worth = np.inf, np.inf
    if metric in ACCURACIES:
        correctness = tuple(_correctness(metric, fold) for fold in folds)
        value = float(np.mean([fold.mean() for fold in correctness]))
    elif metric in METRICS:
        scenes = [(fold.probabilities, fold.targets) for fold in folds]
        value = scene_value(metric, scenes)
        answers, worth = scene_answers(scenes), scene_worth(scenes)
        draws = resample(metric, folds)
    else:
        # Matching events is most of the work, so it is done once for the value and its resamples.
        counts = [file_counts(metric, in_order(fold)) for fold in folds]
        value = event_value(metric, counts)
        answers = event_answers(metric, counts)
        draws = event_draws(metric, counts, N_BOOT)
    return Measured(
        about.model,
        about.seed,
        record.task,
        about.task_sha256,
        about.protocol,
        metric,
        tuple(tuple(sorted(fold.clips)) for fold in folds),
        value,
        correctness,
        draws,
        len(folds[0].probabilities),
        answers,
        worth,
        tuple(record.audio.get(fold.test) for fold in record.folds),
    )


def _correctness(metric: str, fold: FoldPredictions) -> np.ndarray:
    fold = in_order(fold)
    return np.mean([correct(metric, run, fold.targets) for run in fold.probabilities], axis=0)
