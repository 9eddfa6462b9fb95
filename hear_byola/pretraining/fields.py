"""The types of a pretraining config's fields, and the blocks in it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from hear_byola.core.schema import Number, Schema, Whole


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if not 0 < pair[0] <= pair[1]:
        raise ValueError("a range: 0 < low <= high")
    return pair


Positive = Annotated[Whole, Field(ge=1)]
Share = Annotated[Number, Field(ge=0, le=1)]
Range = Annotated[tuple[Number, Number], AfterValidator(_in_order)]
# A YAML field without a value is null.
NullIsEmpty = BeforeValidator(lambda value: {} if value is None else value)


class Auxiliary(Schema):
    """The auxiliary task: targets are predicted from the embedding of the crop as it is.

    Attributes:
        weight: weight of its loss, the mean squared error of standardised targets.
        targets: names in `hear_byola.pretraining.auxiliary.FEATURES`.
    """

    weight: Number = Field(default=1.0, gt=0)
    targets: Annotated[
        tuple[Literal["log_mel", "deltas", "chroma", "onset_strength"], ...], Field(min_length=1)
    ] = ("log_mel", "deltas", "chroma", "onset_strength")


class FrameComparison(Schema):
    """The comparison of the two views frame by frame, beside that of clips.

    Attributes:
        share: share of the frames' loss; the rest is that of clips.
        hidden: size of the hidden layers of the frames' heads. A crop has 12 frames (24 with the
            2022 encoder), so a head costs as much as for 12 crops.
    """

    share: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    hidden: Positive = 1024
