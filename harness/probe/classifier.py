"""What a classifier is: it fits the training rows of a fold, and predicts probabilities.

Classifiers are defined in :mod:`harness.probe.protocols`, beside the protocols that name them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import torch

    from harness.metrics.events import Postprocessing
    from harness.probe.folddata import FoldData
    from harness.probe.judge import Judge
    from harness.probe.partial import Partial
    from harness.probe.units import Point


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a classifier is fitted in one unit.

    Attributes:
        point: the unit's grid point; empty if a unit tries the whole grid.
        grid: of the protocol, for a classifier that searches within a unit.
        shuffle: as :attr:`harness.probe.protocol.Protocol.shuffle`.
        judge: scores predictions of the validation split. Selection uses nothing else.
        generator: returns the random generator of a named stream on a device ("cpu", "cuda").
            All randomness comes from these.
        tell: to be called often, with a text on how far the fit is.
        partial: keeps what a long fit has done so far.
    """

    point: Point
    grid: Mapping[str, Sequence[Any]]
    shuffle: bool
    judge: Judge
    generator: Callable[[str, str], torch.Generator]
    tell: Callable[[str], None]
    partial: Partial


@dataclass(frozen=True)
class FittedClassifier:
    """What was learned from a fold.

    Attributes:
        predict: returns the probabilities (n, C), float32, of rows (n, features).
        read: reads the rows of a split for ``predict``; None for
            :meth:`harness.probe.folddata.FoldData.rows`.
        rank: returns the average precision and the precision at 1, float32 (n, C), of the ranking
            of the train rows for each row, if one class is relevant; None for a classifier that
            does not rank.
        score: on validation, what the protocol selects by. None if the classifier selected nothing
            on validation; its predictions are then judged afterwards.
        loss: on validation, if it is known.
        choice: the post-processing of events that ``score`` was computed with.
        epoch: of the best validation, counted from 0.
        curve: a row for each validation, as in :class:`harness.probe.units.UnitResult`.
        params: the grid point, what was chosen and what was counted.
    """

    predict: Callable[[torch.Tensor], np.ndarray]
    read: Callable[[str], torch.Tensor] | None = None
    rank: Callable[[torch.Tensor], tuple[np.ndarray, ...]] | None = None
    score: float | None = None
    loss: float | None = None
    choice: Postprocessing | None = None
    epoch: int | None = None
    curve: list[list[float]] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)


class Classifier(ABC):
    """A kind of probe.

    Attributes:
        name: part of the fingerprints of the probes of every protocol that names it.
        any_scale: whether it works on embeddings of any scale without standardisation.
    """

    name: ClassVar[str]
    any_scale: ClassVar[bool] = False

    @abstractmethod
    def fit(self, data: FoldData, trial: Trial) -> FittedClassifier:
        """Fit the train rows of a fold. What is searched here is selected on its valid rows.

        Raises:
            UserError: data on which the classifier is not defined.
        """

    @abstractmethod
    def is_random(self, params: Mapping[str, Any], n_rows: int) -> bool:
        """Return whether another seed would have given other predictions.

        Args:
            params: of the fitted classifier.
            n_rows: of the train splits.
        """

    def usual_rows(self, point: Mapping[str, Any]) -> float:
        """Return about how many rows the curve of a training at a grid point has.

        It predicts disk use. The default is about right for a search within a unit.
        """
        return 8

    def grid_fault(self, grid: Mapping[str, Sequence[Any]]) -> str:
        """Return which value of a grid is not allowed, and what is; "" if all are."""
        return ""
