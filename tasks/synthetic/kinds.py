"""Define the kinds of synthetic tasks and their default sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tasks.format.spec import (
    EmbeddingType,
    EvaluationParams,
    PostprocessingGrid,
    PredictionType,
    SplitMode,
)


@dataclass(frozen=True, kw_only=True)
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


_MULTICLASS = Kind(
    name="multiclass",
    embedding_type=EmbeddingType.SCENE,
    prediction_type=PredictionType.MULTICLASS,
    split_mode=SplitMode.TRAINVALTEST,
    evaluation=("top1_acc", "mAP", "d_prime", "aucroc"),
    clips=320,
    classes=8,
    seconds=1.0,
)
_KFOLD = replace(
    _MULTICLASS, name="kfold", split_mode=SplitMode.NEW_SPLIT_KFOLD, clips=160, classes=4, folds=5
)
# Set up like HEAR's DCASE 2016 task.
_EVENTS = Kind(
    name="events",
    embedding_type=EmbeddingType.EVENT,
    prediction_type=PredictionType.MULTILABEL,
    split_mode=SplitMode.TRAINVALTEST,
    evaluation=("event_onset_200ms_fms", "segment_1s_er"),
    clips=60,
    classes=6,
    seconds=8.0,
    rest_ms=300.0,
    sound_ms=(500.0, 800.0),
)

# With these numbers of clips and classes, every test split combines each class with the decoy of
# each class equally often (see tasks.synthetic.plan). `pitch` is an exception: it would need 576
# test clips.
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        _MULTICLASS,
        replace(
            _MULTICLASS,
            name="multilabel",
            prediction_type=PredictionType.MULTILABEL,
            evaluation=("mAP", "d_prime", "aucroc"),
        ),
        replace(
            _MULTICLASS,
            name="pitch",
            evaluation=("pitch_acc", "chroma_acc"),
            clips=480,
            classes=24,
            pitched=True,
        ),
        _KFOLD,
        replace(_KFOLD, name="presplit", split_mode=SplitMode.PRESPLIT_KFOLD),
        _EVENTS,
        # Set up like HEAR's MAESTRO task: folds, early stopping on the loss, its own grids.
        replace(
            _EVENTS,
            name="notes",
            split_mode=SplitMode.NEW_SPLIT_KFOLD,
            evaluation=("event_onset_50ms_fms", "event_onset_offset_50ms_20perc_fms"),
            classes=12,
            seconds=6.0,
            folds=5,
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
