"""Probe units: what is trained, and what was found, in memory and on disk."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field, SkipValidation

from harness.core.arrays import read_arrays
from harness.core.errors import damage_in
from harness.core.files import write_file
from hear_byola.core import jsontext
from hear_byola.core.schema import Schema, read

RANKINGS = ("average_precision", "precision_at_1")
"""The arrays of :class:`UnitResult` that describe rankings."""

Point = tuple[tuple[str, Any], ...]
"""A grid point: (key, value) pairs, sorted by key. Hashable."""


@dataclass(frozen=True)
class ProbeUnit:
    """One training: a fold (its index in ``task.folds``), a grid point and a run."""

    fold: int
    point: Point = ()
    run: int = 0


class Judged(NamedTuple):
    """What the choice among units reads of a finished unit.

    Attributes:
        valid_score: see :class:`UnitResult`.
        is_finite: whether all predictions of the test split are finite.
    """

    valid_score: float
    is_finite: bool


class UnitResult(Schema):
    """What a unit found.

    Attributes:
        valid_score: what selection compares: the task's first metric on validation, or the loss
            where the protocol or the task says so. Infinite, on the bad side, where undefined.
        valid_loss: on validation; None for nearest neighbours, which have none.
        epoch: of the best validation, counted from 0; None where nothing is trained in epochs.
        curve: one row for each validation (epoch, train loss, valid loss, score), or for each
            point that the unit tried (value, valid loss, score).
        params: the grid point, what the unit chose itself and what it counted.
        postprocessing: fields of :class:`harness.metrics.events.Postprocessing`; None for scenes.
        seconds: that training and prediction took.
        probabilities: float32 (rows of the test split, C).
        average_precision: of the ranking for each row, if a class is relevant, float32 (rows, C);
            None for classifiers that do not rank.
        precision_at_1: of the same rankings.
    """

    model_config = ConfigDict(allow_inf_nan=True, arbitrary_types_allowed=True)

    valid_score: float
    valid_loss: float | None
    epoch: int | None
    curve: list[list[int | float]]
    params: dict[str, Any]
    postprocessing: dict[str, int | float] | None
    seconds: float
    probabilities: SkipValidation[np.ndarray] = Field(exclude=True, repr=False)
    average_precision: SkipValidation[np.ndarray | None] = Field(
        default=None, exclude=True, repr=False
    )
    precision_at_1: SkipValidation[np.ndarray | None] = Field(
        default=None, exclude=True, repr=False
    )

    @property
    def judged(self) -> Judged:
        """What the choice among units reads."""
        return Judged(self.valid_score, bool(np.isfinite(self.probabilities).all()))

    def to_files(self, directory: Path) -> None:
        """Write ``unit.npz`` and ``unit.json``; the JSON comes last, so what has it is whole."""
        stream = io.BytesIO()
        arrays = {"probabilities": self.probabilities}
        if self.average_precision is not None and self.precision_at_1 is not None:
            arrays |= {
                "average_precision": self.average_precision,
                "precision_at_1": self.precision_at_1,
            }
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        write_file(directory / "unit.npz", stream.getvalue())
        fields = _spell(self.model_dump())
        write_file(directory / "unit.json", json.dumps(fields, allow_nan=False) + "\n")

    @staticmethod
    def from_files(directory: Path) -> UnitResult:
        """Read what :meth:`to_files` wrote.

        Raises:
            Damaged: the files are damaged.
        """
        with damage_in(directory):
            fields = _unspell(jsontext.load((directory / "unit.json").read_text("utf-8")))
            arrays = read_arrays(directory / "unit.npz")
            probabilities = arrays["probabilities"]
            if probabilities.ndim != 2 or probabilities.dtype.kind != "f":
                raise ValueError("probabilities are not numbers (rows, classes)")
            fields |= {"probabilities": probabilities} | rankings(arrays)
            return read(UnitResult, fields, "unit.json", ValueError)


def rankings(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays that describe rankings, from those of a file; none if it has none.

    Raises:
        ValueError: one is missing, or is not of the shape of the probabilities or not in [0, 1].
    """
    found = {key: arrays[key] for key in RANKINGS if key in arrays}
    if found and len(found) < len(RANKINGS):
        raise ValueError(f"it does not contain all of {', '.join(RANKINGS)}")
    for key, values in found.items():
        if (
            values.shape != arrays["probabilities"].shape
            or values.dtype.kind != "f"
            or ((values < 0) | (values > 1)).any()
        ):
            raise ValueError(f"{key} does not match the probabilities")
    return found


def _spell(value: Any) -> Any:
    """Make a value JSON: numbers that JSON lacks become {"number": "inf"}."""
    if isinstance(value, dict):
        return {key: _spell(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spell(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    return value


def _unspell(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"number"}:
            return float(value["number"])
        return {key: _unspell(item) for key, item in value.items()}
    return [_unspell(item) for item in value] if isinstance(value, list) else value
