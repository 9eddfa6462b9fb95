"""Accuracy of pitch and of chroma (pitch modulo an octave)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.kinds import PredictionType
from harness.metrics.scene_metric import Accuracy, first_labels

_SEMITONES = 12
_HIGHEST_NOTE = 127  # of MIDI


@dataclass(frozen=True, kw_only=True)
class _Pitch(Accuracy):
    """Accuracy of classes that are MIDI notes."""

    prediction_types: tuple[PredictionType, ...] = (PredictionType.MULTICLASS,)

    def vocabulary_fault(self, labels: Sequence[str]) -> str:
        if _are_whole(labels) and all(int(label) <= _HIGHEST_NOTE for label in labels):
            return ""
        return (
            f"the labels are not MIDI numbers from 0 to {_HIGHEST_NOTE}: {self.name} compares "
            "labels, and these are not pitches."
        )


@dataclass(frozen=True, kw_only=True)
class _Chroma(Accuracy):
    """Accuracy of class indices modulo 12: the chroma, if the vocabulary is contiguous."""

    prediction_types: tuple[PredictionType, ...] = (PredictionType.MULTICLASS,)

    def correct(self, probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
        predicted = probabilities.argmax(axis=1)
        return predicted % _SEMITONES == first_labels(targets) % _SEMITONES

    @property
    def class_score_name(self) -> str:
        return "recall of chroma"

    def chance(self, truth: Sequence[np.ndarray]) -> float:
        n_labels = truth[0].shape[1]
        of_chroma = np.bincount(np.arange(n_labels) % _SEMITONES)
        return float(np.square(of_chroma / n_labels).sum())

    def vocabulary_fault(self, labels: Sequence[str]) -> str:
        if _are_whole(labels) and all(
            int(label) - int(labels[0]) == place for place, label in enumerate(labels)
        ):
            return ""
        return (
            f"the labels are not consecutive whole numbers: {self.name} compares idx modulo "
            f"{_SEMITONES}, and this is then not the chroma."
        )


def _are_whole(labels: Sequence[str]) -> bool:
    return all(label.isascii() and label.isdecimal() for label in labels)


pitch_acc = _Pitch(name="pitch_acc")
chroma_acc = _Chroma(name="chroma_acc")
