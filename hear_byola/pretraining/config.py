"""The config of a pretraining run: every switch of the method as a field, read from YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hear_byola.core import yamltext
from hear_byola.core.errors import UserError, did_you_mean
from hear_byola.core.faults import one_of_these
from hear_byola.core.schema import (
    Flag,
    Number,
    Schema,
    Whole,
    one_of,
    read,
)
from hear_byola.encoder import ENCODERS
from hear_byola.frontend import CONVENTIONS
from hear_byola.pretraining.fields import (
    Auxiliary,
    FrameComparison,
    NullIsEmpty,
    Positive,
    Range,
    Share,
)
from hear_byola.random_weights import INITS

_SHIPPED = files("hear_byola.pretraining") / "configs"
# Names that other trainers use for the length of a run.
_STEPS = ("steps", "max_steps", "num_steps", "n_steps", "total_steps", "iterations")
_LENGTH = (
    "A run's length is `crops`, which is steps * batch_size * accumulate * processes; or `epochs`, "
    "where crops is null."
)
FREE_TO_CHANGE = frozenset(
    {
        "save_every",
        "log_every",
        "monitor_every",
        "probe_every",
        "probe_every_epochs",
        "stop_on_collapse",
        "workers",
        "logger",
        "licence",
    }
)
"""Fields that change no weight: a run may be resumed with another value."""


class PretrainConfig(Schema):
    """The config of a pretraining run.

    The defaults are those of the first version of the paper (arXiv 2103.06695).

    Attributes:
        encoder: "2020" or "2022".
        d: embedding size.
        init: initialisation of the weights, "pytorch" or "contrast" (`hear_byola.encoder`).
        convention: mel filterbank, "slaney" (used for the published weights) or "htk".
        pre_norm: normalise inputs by the statistics of the corpus before augmenting (section
            III-B). Otherwise the augmentations get plain log-mel spectrograms, and the checkpoint
            carries the statistics of the corpus if post_norm is true, else 0 and 1.
        augmentations: augmentations in the order in which they are applied.
        post_norm: normalise both views by the statistics of the batch, after augmenting.
        mixup_alpha: largest share of the background (0.4; 0.2 in the second version).
        mixup_log_exp: mix energies instead of logarithms.
        mixup_memory: number of past inputs from which backgrounds are drawn (2,048).
        gaussian_alpha: largest share and standard deviation of Gaussian noise (0.4).
        crop_canvas: canvas of RandomResizeCrop, in multiples of (F, T): (1.0, 1.5).
        crop_frequency, crop_time: ranges of the crop's height and width: (0.6, 1.5).
        fader_range: largest offset at the ends of RandomLinearFader, 1.0 for U(-1, 1).
        projection: size of the projection (256).
        hidden: size of the hidden layers of the heads of clips (4096).
        loss: "byol"; or "barlow_twins" (arXiv 2103.03230) or "vicreg" (arXiv 2105.04906), which
            compare the projections of both views, and have neither predictor nor target network.
        frames: compares the views also frame by frame (`FrameComparison`); null for clips alone.
            Both views must show the same times, so it excludes crops in time.
        auxiliary: the auxiliary task (`Auxiliary`); null for none.
        ema_decay: decay of the target network's moving average (0.99).
        ema_batch: number of crops in a step for which `ema_decay` is meant. A step of another size
            uses ema_decay ** (size / ema_batch), the scaling rule of arXiv 2307.13813; null uses
            `ema_decay` as it is.
        average_steps: number of last steps over which the checkpoint's weights are averaged (arXiv
            1803.05407); 0 for the weights of the last step. It needs `batchnorm_crops`.
        batchnorm_crops: crops, without augmentation, from which the checkpoint's BatchNorm
            statistics are computed at the end of the run; 0 for the running averages of training.
        learning_rate: learning rate of Adam (3e-4; 1e-4 in the second version).
        weight_decay: weight decay of Adam (0).
        schedule: "constant", or "cosine", which falls to 0 at the last step.
        warmup_steps: steps over which the learning rate rises from 0 (0).
        batch_size: clips in a batch of one process (256).
        accumulate: batches in a step.
        epochs: passes over the corpus (100); ignored if `crops` is a number.
        crops: crops to train on in all processes together, which is steps * batch_size *
            accumulate * processes.
        fraction: share of the corpus's clips to train on.
        seed: seed of the weights, the random draws and the order of the data (42).
        unit: "clips" takes each clip once an epoch (the paper); "seconds" draws each in proportion
            to its length.
        balance: the share of a kind of audio is proportional to its amount to this power: 1 keeps
            the corpus's shares, 0.5 takes square roots, 0 makes all shares equal.
        shares: share of each kind by name, instead of `balance`; {} for `balance`.
        silence_db: a crop below this level (RMS, dB of full scale) is drawn again; null keeps all.
        precision: "32-true", "bf16-mixed" or "16-mixed"; "auto" is bf16-mixed where the device
            has bfloat16 arithmetic, else 32-true. A resumed run keeps its precision.
        save_every, log_every, monitor_every: steps between saved states, logged losses, and
            measures of collapse.
        probe_every: steps between quick probes, if any are asked for.
        probe_every_epochs: passes over the corpus between quick probes, instead of `probe_every`.
        stop_on_collapse: stop a collapsed run instead of only warning.
        workers: processes that read audio for each training process.
        logger: loggers besides metrics.csv: names of classes in pytorch_lightning.loggers, with
            their arguments.
        licence: licence of the weights, written into the checkpoint.
    """

    field_hints: ClassVar[Mapping[str, str]] = dict.fromkeys(_STEPS, _LENGTH)

    encoder: Annotated[str, one_of(ENCODERS)] = "2020"
    d: Whole = Field(default=512, validate_default=True)
    init: Annotated[str, one_of(INITS)] = "pytorch"
    convention: Annotated[str, one_of(CONVENTIONS)] = "slaney"
    pre_norm: Flag = True
    augmentations: tuple[
        Literal["mixup", "gaussian", "random_resize_crop", "linear_fader"], ...
    ] = ("mixup", "random_resize_crop")
    post_norm: Flag = True
    mixup_alpha: Share = 0.4
    mixup_log_exp: Flag = True
    mixup_memory: Positive = 2048
    gaussian_alpha: Share = 0.4
    crop_canvas: tuple[Annotated[Number, Field(ge=1)], Annotated[Number, Field(ge=1)]] = (1.0, 1.5)
    crop_frequency: Range = (0.6, 1.5)
    crop_time: Range = (0.6, 1.5)
    fader_range: Number = Field(default=1.0, ge=0)
    projection: Positive = 256
    hidden: Positive = 4096
    loss: Literal["byol", "barlow_twins", "vicreg"] = "byol"
    frames: FrameComparison | None = None
    auxiliary: Auxiliary | None = None
    ema_decay: Number = Field(default=0.99, ge=0, lt=1)
    ema_batch: Positive | None = None
    average_steps: Whole = Field(default=0, ge=0)
    batchnorm_crops: Whole = Field(default=0, ge=0)
    learning_rate: Number = Field(default=3e-4, gt=0)
    weight_decay: Number = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Whole = Field(default=0, ge=0)
    batch_size: Whole = Field(default=256, ge=2)
    accumulate: Positive = 1
    epochs: Positive = 100
    crops: Positive | None = None
    fraction: Number = Field(default=1.0, gt=0, le=1)
    seed: Whole = Field(default=42, ge=0, le=2**63 - 1)
    unit: Literal["clips", "seconds"] = "clips"
    balance: Number = Field(default=1.0, ge=0)
    shares: Annotated[Mapping[str, Annotated[Number, Field(ge=0)]], NullIsEmpty] = {}
    silence_db: Number | None = Field(default=None, le=0)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    save_every: Positive = 500
    log_every: Positive = 10
    monitor_every: Positive = 100
    probe_every: Positive = 5000
    probe_every_epochs: Number | None = Field(default=None, gt=0)
    stop_on_collapse: Flag = False
    workers: Whole = Field(default=1, ge=0)
    logger: Annotated[Mapping[str, Annotated[Mapping[str, object], NullIsEmpty]], NullIsEmpty] = {
        "TensorBoardLogger": {}
    }
    licence: str = ""

    @field_validator("d")
    @classmethod
    def _size_of_the_encoder(cls, d: int, fields: ValidationInfo) -> int:
        encoder = fields.data.get("encoder")  # absent if it is at fault itself
        if encoder and d not in ENCODERS[encoder].sizes:
            raise ValueError(f"{one_of_these(ENCODERS[encoder].sizes)} for encoder {encoder!r}")
        return d

    @model_validator(mode="after")
    def _averaged_weights_need_statistics(self) -> PretrainConfig:
        if self.average_steps and not self.batchnorm_crops:
            raise ValueError(
                "average_steps needs batchnorm_crops: no BatchNorm statistics belong to averaged "
                "weights. Set batchnorm_crops, for example to 2048."
            )
        return self

    @model_validator(mode="after")
    def _compared_frames_are_of_the_same_time(self) -> PretrainConfig:
        moves = (*self.crop_time, self.crop_canvas[1]) != (1, 1, 1)
        if self.frames is not None and "random_resize_crop" in self.augmentations and moves:
            raise ValueError(
                "frames compares the views frame by frame, but random_resize_crop moves them in "
                "time. Leave it out of augmentations, or set crop_time to [1, 1] and crop_canvas "
                "to [1, 1]."
            )
        return self

    def as_dict(self) -> dict[str, object]:
        """Return the fields as YAML and JSON can hold them."""
        return self.model_dump(mode="json")


def make_config(values: Mapping[str, object], source: str = "the config") -> PretrainConfig:
    """Return a config with the given values, and defaults for other fields.

    Args:
        values: values by the names of fields.
        source: where they come from, for errors.

    Raises:
        UserError: an unknown field, a value of another type or out of its range; the message
            lists every fault.
    """
    return read(PretrainConfig, values, source, UserError)


def read_config(name: str | Path, overrides: Mapping[str, object] | None = None) -> PretrainConfig:
    """Return a shipped config, or that of a YAML file, with some fields replaced.

    Args:
        name: name of a shipped config ("byola-512"), or the path of a YAML file.
        overrides: fields to replace.

    Raises:
        UserError: no such config, not YAML, what `make_config` raises, or `epochs` among the
            overrides of a config whose `crops` is a number.
    """
    try:
        content = yamltext.load(_config_text(name)) or {}
    except ValueError as error:  # UnicodeDecodeError is one
        raise UserError(f"{name} is not YAML: {error}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{name} must hold fields and their values, like `batch_size: 256`.")
    overrides = overrides or {}
    config = make_config({**content, **overrides}, str(name))
    if "epochs" in overrides and config.crops is not None:
        raise UserError(
            f"{name}: epochs is {config.epochs}, but the length of the run is set by crops, "
            f"{config.crops:,}. Set crops to null as well."
        )
    return config


def _config_text(name: str | Path) -> str:
    if os.path.isfile(name):  # a name can be too long for a file
        return Path(name).read_text("utf-8")
    shipped = {entry.name.removesuffix(".yaml"): entry for entry in _SHIPPED.iterdir()}
    if (stem := str(name).removesuffix(".yaml")) in shipped:
        return shipped[stem].read_text("utf-8")
    own = sorted(path.name for path in Path(name).parent.glob("*.yaml"))
    raise UserError(
        f"no config {str(name)!r}.{did_you_mean(Path(name).name, [*own, *shipped])} Name a YAML "
        f"file, or one of {', '.join(sorted(shipped))}."
    )


def differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Return the fields in which two configs would give other weights, with both values.

    A field that the old config lacks is newer than it and counts as its default, which is what the
    older version did. `precision: auto` accepts the precision that the old config has.
    """
    old = {**PretrainConfig().as_dict(), **old}
    free = FREE_TO_CHANGE | ({"precision"} if new.get("precision") == "auto" else set())
    return [
        f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys(), key=str)
        if old.get(name) != new.get(name) and name not in free
    ]
