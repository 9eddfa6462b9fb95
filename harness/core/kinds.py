"""The kinds of task, as enumerations whose members equal their names in task metadata."""

from __future__ import annotations

from enum import Enum


class _Word(str, Enum):
    __str__ = str.__str__


class EmbeddingType(_Word):
    """What is embedded: whole clips, or timestamps within clips."""

    SCENE = "scene"
    EVENT = "event"


class PredictionType(_Word):
    """Whether a clip, or a timestamp, has exactly one label or any number."""

    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"


class SplitMode(_Word):
    """Whether a task has three splits or folds, and who made the folds: HEAR or the corpus."""

    TRAINVALTEST = "trainvaltest"
    NEW_SPLIT_KFOLD = "new_split_kfold"
    PRESPLIT_KFOLD = "presplit_kfold"
