"""The kinds of task. A member equals its name in task metadata, and prints as it."""

from __future__ import annotations

from enum import Enum


class _Named(str, Enum):
    __str__ = str.__str__


class EmbeddingType(_Named):
    """What is embedded: whole clips, or timestamps within clips."""

    SCENE = "scene"
    EVENT = "event"


class PredictionType(_Named):
    """Whether a clip, or a timestamp, has exactly one label or any number."""

    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"


class SplitMode(_Named):
    """One split each to train, validate and test, or folds: made for HEAR, or the corpus's own."""

    TRAINVALTEST = "trainvaltest"
    NEW_SPLIT_KFOLD = "new_split_kfold"
    PRESPLIT_KFOLD = "presplit_kfold"
