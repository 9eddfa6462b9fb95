"""Define the fields of a task that its directory, its card and its results share.

The field names are those of ``task_metadata.json``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeGuard

from pydantic import AfterValidator, BeforeValidator, ConfigDict

from harness.core.counts import plural
from harness.core.kinds import EmbeddingType, PredictionType, SplitMode
from hear_byola.core.schema import Flag, Schema, distinct

SPLITS = ("train", "valid", "test")
"""The splits of a task without folds."""

FEWEST_FOLDS = 3  # one for testing, one for validation, at least one for training


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number that float64 represents exactly; no bool."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


_PLAIN = re.compile(r"(?!\.{1,2}$)[^/\\\0\ud800-\udc7f\udd00-\udfff]+")
"""The surrogates are those that no name of a file gives, whatever its bytes."""

LONGEST_NAME = 255
"""Bytes of the longest name of a file that the usual file systems take."""


def is_plain_name(name: object) -> bool:
    """Return whether a value is a name that is safe as part of a path."""
    return isinstance(name, str) and bool(_PLAIN.fullmatch(name)) and not is_too_long(name)


def is_too_long(name: str) -> bool:
    """Return whether a name is too long for a file on the usual file systems."""
    return len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME


def fold_names(folds: int) -> tuple[str, ...]:
    """Return the default names of the splits of a task with folds."""
    return tuple(f"fold{fold:02d}" for fold in range(folds))


def _plain(name: str) -> str:
    if not is_plain_name(name):
        raise ValueError(f"a plain name without slashes, of at most {LONGEST_NAME} bytes")
    return name


def _seconds(value: object) -> object:
    if value is not None and not (is_number(value) and value > 0):
        raise ValueError("a number of seconds above 0, or null")
    return value


def _numbers(value: object) -> object:
    if (
        not isinstance(value, list | tuple)
        or not value
        or not all(is_number(number) and number >= 0 for number in value)
    ):
        raise ValueError("a list of numbers, 0 or more")
    return value


def _filled(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("a list of values")
    return value


PlainName = Annotated[str, AfterValidator(_plain)]
Names = Annotated[tuple[PlainName, ...], distinct("names")]
# An int stays an int, so that the metadata is written as it was read.
_Numbers = Annotated[tuple[int | float, ...], BeforeValidator(_numbers)]
_Values = Annotated[tuple[Any, ...], BeforeValidator(_filled)]


class PostprocessingGrid(Schema):
    """The candidate settings of event post-processing; () selects the default values."""

    median_filter_ms: _Numbers = ()
    min_duration: _Numbers = ()
    threshold: _Numbers = ()


class EvaluationParams(Schema):
    """Deviations of a task from HEAR's usual evaluation; other keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    event_postprocessing_grid: PostprocessingGrid | None = None
    task_specific_param_grid: Mapping[str, _Values] | None = None


class TaskName(Schema):
    """The three parts of a task's name."""

    task_name: PlainName
    version: PlainName
    mode: PlainName

    @property
    def name(self) -> str:
        """The name of the task's directory: ``{task_name}-{version}-{mode}``."""
        return f"{self.task_name}-{self.version}-{self.mode}"


def part_of(task: TaskName) -> TaskName:
    """Return the name of a task that is made from a part of its corpus."""
    return TaskName(task_name=f"{task.task_name}_part", version=task.version, mode=task.mode)


class TaskKind(Schema):
    """The kind of embedding and of prediction that a task requires."""

    embedding_type: EmbeddingType
    prediction_type: PredictionType


class TaskMetadata(TaskKind, TaskName):
    """The fields of ``task_metadata.json`` that the harness reads; other keys are ignored.

    Attributes:
        sample_duration: length of every clip in seconds; None if lengths differ.
        evaluation: names of metrics; the first is the task's score.
        use_scoring_for_early_stopping: True if early stopping uses the validation score, False
            if it uses the validation loss.
    """

    model_config = ConfigDict(extra="ignore")

    split_mode: SplitMode
    splits: Names
    sample_duration: Annotated[float | None, BeforeValidator(_seconds)]
    evaluation: Names
    use_scoring_for_early_stopping: Flag = True
    evaluation_params: EvaluationParams | None = None

    @property
    def has_folds(self) -> bool:
        """Whether each split is the test split once."""
        return self.split_mode != SplitMode.TRAINVALTEST

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``task_metadata.json``."""
        names = set(TaskMetadata.model_fields) - {"evaluation_params"}
        content = self.model_dump(mode="json", include=names)
        if self.has_folds:
            content["nfolds"] = len(self.splits)
        if self.evaluation_params is not None:
            params = self.evaluation_params.model_dump(mode="json", exclude_unset=True)
            content["evaluation_params"] = params
        return content


class TaskSpec(TaskMetadata):
    """The specification of a task: its metadata and the labels of its vocabulary, in order."""

    model_config = ConfigDict(extra="forbid")

    labels: tuple[str, ...]


def disagreements(fields: Mapping[str, Any], nfolds: object = None) -> Iterator[str]:
    """Yield a sentence for each field of a task's metadata that does not fit the others.

    Args:
        fields: the readable fields of :class:`TaskMetadata`, with their values.
        nfolds: the number of folds in the metadata; None if it has none.
    """
    kind = (fields.get("embedding_type"), fields.get("prediction_type"))
    if kind == (EmbeddingType.EVENT, PredictionType.MULTICLASS):
        yield "an event task must have prediction_type 'multilabel'."
    if not {"splits", "split_mode"} <= fields.keys():
        return
    splits: Sequence[str] = fields["splits"]
    if fields["split_mode"] == SplitMode.TRAINVALTEST:
        if sorted(splits) != sorted(SPLITS):
            yield f"splits must be train, valid and test, not {', '.join(splits)}."
        return
    if len(splits) < FEWEST_FOLDS:
        yield (
            f"splits has {plural(len(splits), 'fold')}, but at least {FEWEST_FOLDS} are needed: "
            "one for testing, one for validation and one for training."
        )
    if nfolds is not None and nfolds != len(splits):
        yield f"nfolds is {nfolds!r}, but splits has {plural(len(splits), 'fold')}."
