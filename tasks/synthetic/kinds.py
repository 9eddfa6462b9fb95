"""Define the kinds of synthetic tasks and their default sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.format.spec import (
    EmbeddingType,
    EvaluationParams,
    PostprocessingGrid,
    PredictionType,
    SplitMode,
)


@dataclass(frozen=True)
class Kind:
    """The properties of all tasks of a kind, and their default sizes.

    Attributes:
        clips: number of clips in all splits together.
        folds: number of folds; 0 for train, valid and test.
        pitched: whether labels are consecutive MIDI numbers and sound at their pitches.
        rest_ms: minimum silence between two sounds of an event task, in ms. Twice the collar of the
            task's metrics fits between the end of a sound and the next onset.
        sound_ms: minimum and maximum length of the sounds of an event task, in ms.
    """

    name: str
    embedding_type: EmbeddingType
    prediction_type: PredictionType
    split_mode: SplitMode
    evaluation: tuple[str, ...]
    clips: int
    classes: int
    seconds: float
    folds: int = 0
    pitched: bool = False
    rest_ms: float = 0.0
    sound_ms: tuple[float, float] = (0.0, 0.0)
    evaluation_params: EvaluationParams | None = None
    use_scoring_for_early_stopping: bool = True


_SCENE, _EVENT = EmbeddingType
_MULTICLASS, _MULTILABEL = PredictionType
_SPLITS, _FOLDS, _GIVEN_FOLDS = SplitMode
_CLASS_METRICS = ("top1_acc", "mAP", "d_prime", "aucroc")

# With these numbers of clips and classes, every test split combines each class with the decoy of
# each class equally often (see tasks.synthetic.plan). `pitch` is an exception: it would need 576
# test clips.
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("multiclass", _SCENE, _MULTICLASS, _SPLITS, _CLASS_METRICS, 320, 8, 1.0),
        Kind(
            "multilabel",
            _SCENE,
            _MULTILABEL,
            _SPLITS,
            ("mAP", "d_prime", "aucroc"),
            320,
            8,
            1.0,
        ),
        Kind(
            "pitch",
            _SCENE,
            _MULTICLASS,
            _SPLITS,
            ("pitch_acc", "chroma_acc"),
            480,
            24,
            1.0,
            pitched=True,
        ),
        Kind("kfold", _SCENE, _MULTICLASS, _FOLDS, _CLASS_METRICS, 160, 4, 1.0, 5),
        Kind("presplit", _SCENE, _MULTICLASS, _GIVEN_FOLDS, _CLASS_METRICS, 160, 4, 1.0, 5),
        # Set up like HEAR's DCASE 2016 task.
        Kind(
            "events",
            _EVENT,
            _MULTILABEL,
            _SPLITS,
            ("event_onset_200ms_fms", "segment_1s_er"),
            60,
            6,
            8.0,
            rest_ms=300.0,
            sound_ms=(500.0, 800.0),
        ),
        # Set up like HEAR's MAESTRO task: folds, early stopping on the loss, its own grids.
        Kind(
            "notes",
            _EVENT,
            _MULTILABEL,
            _FOLDS,
            ("event_onset_50ms_fms", "event_onset_offset_50ms_20perc_fms"),
            60,
            12,
            6.0,
            5,
            pitched=True,
            rest_ms=150.0,
            sound_ms=(200.0, 600.0),
            evaluation_params=EvaluationParams(
                event_postprocessing_grid=PostprocessingGrid(
                    median_filter_ms=(150,), min_duration=(50,)
                ),
                task_specific_param_grid={"max_epochs": (50,), "check_val_every_n_epoch": (1,)},
            ),
            use_scoring_for_early_stopping=False,
        ),
    )
}
