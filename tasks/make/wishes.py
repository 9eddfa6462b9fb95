"""Define the options of a task to be made, and their defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.errors import UserError, did_you_mean
from harness.metrics.registry import find_metric, metrics_of
from hear_byola.core.schema import Schema, read
from tasks.audio import MAX_SECONDS
from tasks.cards.builtin import cards
from tasks.cards.card import Domain, Licence, Text
from tasks.format.spec import EmbeddingType, PredictionType
from tasks.format.writer import check_rates

DEFAULT_METRICS: Mapping[tuple[EmbeddingType, PredictionType], tuple[str, ...]] = {
    (EmbeddingType.SCENE, PredictionType.MULTICLASS): ("top1_acc", "mAP", "d_prime", "aucroc"),
    # FSD50K's metrics without top1_acc, which uses only the first label of a clip.
    (EmbeddingType.SCENE, PredictionType.MULTILABEL): ("mAP", "d_prime", "aucroc"),
    (EmbeddingType.EVENT, PredictionType.MULTILABEL): ("event_onset_200ms_fms", "segment_1s_er"),
}
"""The metrics of HEAR's tasks of each kind: ESC-50, FSD50K and DCASE 2016."""


class _OnCard(Schema):
    """The fields of the card that a user may set."""

    title: Text = ""
    domain: Domain = ""
    licence: Licence = ""


@dataclass(frozen=True)
class Wishes:
    """The user's options of a task; None and () select a value that fits the recordings.

    Attributes:
        name: name of the task; letters, digits, ``_`` and ``.``.
        version: version of the task, of the same characters.
        seconds: length of every clip; None keeps the lengths.
        folds: number of folds; None for train, valid and test.
        seed: random seed of the choice of splits.
        prediction_type: ``multiclass`` or ``multilabel``; None infers it from the labels.
        metrics: names of metrics; the first is the score.
        rates: sample rates in Hz.
        title, domain, licence: fields of the card; the default domain is ``other``.
        skip_bad: leave out recordings that are missing or cannot be read.
    """

    name: str
    version: str = "v1"
    seconds: float | None = None
    folds: int | None = None
    seed: int = 0
    prediction_type: PredictionType | None = None
    metrics: tuple[str, ...] = ()
    rates: tuple[int, ...] = ()
    title: str | None = None
    domain: str | None = None
    licence: str | None = None
    skip_bad: bool = False

    def check(self) -> None:
        """Raise UserError if an option is invalid for every task."""
        for option, word in (("--name", self.name), ("--version", self.version)):
            if not re.fullmatch(r"[\w.]*\w", word):
                raise UserError(f"{option} '{word}' may contain only letters, digits, '_' and '.'.")
        if self.name in cards():
            raise UserError(f"--name {self.name}: a built-in task has this name. Choose another.")
        if self.seconds is not None and not 0 < self.seconds <= MAX_SECONDS:  # NaN fails too
            raise UserError(
                f"--seconds must be above 0 and at most {MAX_SECONDS:g}, not {self.seconds:g}."
            )
        for option, values in (("--metric", self.metrics), ("--sample-rate", self.rates)):
            if len(set(values)) < len(values):
                raise UserError(f"{option}: {' '.join(map(str, values))} has a value twice.")
        check_rates(self.rates)
        read(_OnCard, self.on_card(), "The card's options", UserError)

    def on_card(self) -> Mapping[str, str]:
        """Return the fields of the card that the user sets, with their values."""
        said = {"title": self.title, "domain": self.domain, "licence": self.licence}
        return {field: value for field, value in said.items() if value is not None}

    def metrics_of(
        self, embedding_type: EmbeddingType, prediction_type: PredictionType
    ) -> tuple[str, ...]:
        """Return the metrics of a task of this kind.

        Raises:
            UserError: a requested metric is not defined for this kind of task.
        """
        fitting = metrics_of(embedding_type, prediction_type)
        for metric in self.metrics:
            if metric not in fitting:
                raise UserError(
                    f"--metric {metric}: {prediction_type} {embedding_type} tasks have "
                    f"{', '.join(fitting)}.{did_you_mean(metric, fitting)}"
                )
        metrics = self.metrics or DEFAULT_METRICS[embedding_type, prediction_type]
        convention = find_metric(metrics[0]).not_primary(prediction_type)
        if convention:
            raise UserError(
                f"--metric {metrics[0]} {convention}: as the score of a {prediction_type} task, "
                f"name {DEFAULT_METRICS[embedding_type, prediction_type][0]} or another metric "
                "before it."
            )
        return metrics
