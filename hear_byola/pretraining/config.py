"""What a pretraining run is made of: every switch of the method as a field, read from YAML."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

import yaml

from hear_byola.encoder import ENCODERS, INITS
from hear_byola.frontend import CONVENTIONS
from hear_byola.pretraining import yamltext
from hear_byola.pretraining.errors import PretrainError

AUGMENTATIONS = ("mixup", "gaussian", "random_resize_crop", "linear_fader")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_SHIPPED = files("hear_byola.pretraining") / "configs"
# Words that others have for the length of a run.
_STEPS = ("steps", "max_steps", "num_steps", "n_steps", "total_steps", "iterations")
# What changes no weight of the result, so that a run may go on with another value.
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


@dataclass(frozen=True)
class PretrainConfig:
    """A pretraining run; the defaults are the paper's first version (arXiv 2103.06695).

    Attributes:
        encoder: "2020" or "2022", and `d`, its embedding size.
        init: how random weights are drawn, "pytorch" or "contrast" (`hear_byola.encoder`).
        convention: mel filterbank, "slaney" (what the published weights were trained on) or "htk".
        pre_norm: normalise inputs by the corpus's statistics before augmenting (section III-B).
            Without it the augmentations see plain log-mel; the statistics are still what the
            checkpoint carries if post-norm is on, else it carries 0 and 1.
        augmentations: names out of `AUGMENTATIONS`, in the order in which they are applied.
        post_norm: normalise both views by the statistics of the batch, after augmenting.
        mixup_alpha: largest share of the background (0.4; 0.2 in the second version).
        mixup_log_exp: mix energies; else logarithms.
        mixup_memory: how many past inputs backgrounds are drawn from (2,048).
        gaussian_alpha: largest share and standard deviation of Gaussian noise (0.4).
        crop_canvas: canvas of RandomResizeCrop, in multiples of (F, T): (1.0, 1.5).
        crop_frequency, crop_time: ranges of its height and width: (0.6, 1.5).
        fader_range: reach of RandomLinearFader's ends, 1.0 for U(-1, 1).
        projection, hidden: sizes of the projection (256) and of both heads' hidden layers (4096).
        ema_decay: decay of the target network's moving average (0.99).
        learning_rate: Adam's (3e-4; second version 1e-4).
        weight_decay: Adam's (0).
        schedule: "constant", or "cosine": falling to 0 at the last step.
        warmup_steps: steps over which the learning rate rises from 0 (0).
        batch_size: clips in a batch of one process, 256; and `accumulate`, batches in a step.
        epochs: passes over the corpus (100); where `crops` is a number, that counts instead.
        crops: crops to train on, in all processes together: steps times batch_size, accumulate and
            the number of processes.
        fraction: share of the corpus's clips to train on.
        seed: of the weights, the draws and the order of the data (42).
        unit: "clips" takes each clip once an epoch (the paper); "seconds" draws each in proportion
            to its length.
        balance: the share of a kind of audio grows as its amount to this power: 1 as it is, 0.5 by
            the square root, 0 all alike.
        shares: instead, the share of each kind by name; {} for `balance`.
        silence_db: a crop below this level (RMS, dB of full scale) is drawn anew; None takes all.
        precision: "32-true", "bf16-mixed" or "16-mixed".
        save_every, log_every, monitor_every: steps between saved states, logged losses, and
            measures of collapse.
        probe_every: steps between quick probes, where any are asked for; or
            `probe_every_epochs`, passes over the corpus, where that is no null.
        stop_on_collapse: stop a collapsed run; else warn alone.
        workers: processes that read audio for each training process.
        logger: loggers beside metrics.csv, by class name in pytorch_lightning.loggers, with their
            arguments; TensorBoard's by default.
        licence: of the weights, written into the checkpoint.
    """

    encoder: str = "2020"
    d: int = 512
    init: str = "pytorch"
    convention: str = "slaney"
    pre_norm: bool = True
    augmentations: tuple[str, ...] = ("mixup", "random_resize_crop")
    post_norm: bool = True
    mixup_alpha: float = 0.4
    mixup_log_exp: bool = True
    mixup_memory: int = 2048
    gaussian_alpha: float = 0.4
    crop_canvas: tuple[float, float] = (1.0, 1.5)
    crop_frequency: tuple[float, float] = (0.6, 1.5)
    crop_time: tuple[float, float] = (0.6, 1.5)
    fader_range: float = 1.0
    projection: int = 256
    hidden: int = 4096
    ema_decay: float = 0.99
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    batch_size: int = 256
    accumulate: int = 1
    epochs: int = 100
    crops: int | None = None
    fraction: float = 1.0
    seed: int = 42
    unit: str = "clips"
    balance: float = 1.0
    shares: Mapping[str, float] = dataclasses.field(default_factory=dict)
    silence_db: float | None = None
    precision: str = "32-true"
    save_every: int = 500
    log_every: int = 10
    monitor_every: int = 100
    probe_every: int = 5000
    probe_every_epochs: float | None = None
    stop_on_collapse: bool = False
    workers: int = 1
    logger: Mapping[str, Mapping[str, object]] = dataclasses.field(
        default_factory=lambda: {"TensorBoardLogger": {}}
    )
    licence: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, by the field's name."""
        for name, ok, needed in self._conditions():
            if not ok:
                raise PretrainError(f"{name} is {getattr(self, name)!r}: it must be {needed}.")

    def _conditions(self) -> list[tuple[str, bool, str]]:
        sizes = ENCODERS[self.encoder].sizes if self.encoder in ENCODERS else ()
        known = set(self.augmentations) <= set(AUGMENTATIONS)
        positive = ("mixup_memory", "projection", "hidden", "accumulate", "epochs", "save_every")
        return [
            ("encoder", self.encoder in ENCODERS, f"one of {list(ENCODERS)}"),
            ("d", self.d in sizes, f"one of {list(sizes)} for encoder {self.encoder!r}"),
            ("init", self.init in INITS, f"one of {list(INITS)}"),
            ("convention", self.convention in CONVENTIONS, f"one of {list(CONVENTIONS)}"),
            ("augmentations", known, f"a list out of {list(AUGMENTATIONS)}"),
            ("mixup_alpha", 0 <= self.mixup_alpha <= 1, "between 0 and 1"),
            ("gaussian_alpha", 0 <= self.gaussian_alpha <= 1, "between 0 and 1"),
            ("crop_canvas", min(self.crop_canvas) >= 1, "two numbers from 1 on"),
            ("crop_frequency", _is_range(self.crop_frequency), "a range: 0 < low <= high"),
            ("crop_time", _is_range(self.crop_time), "a range: 0 < low <= high"),
            ("fader_range", self.fader_range >= 0, "0 or more"),
            ("ema_decay", 0 <= self.ema_decay < 1, "from 0 on, below 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("schedule", self.schedule in SCHEDULES, f"one of {list(SCHEDULES)}"),
            ("warmup_steps", self.warmup_steps >= 0, "0 or more"),
            ("batch_size", self.batch_size >= 2, "2 or more: BatchNorm compares the clips of one"),
            ("crops", self.crops is None or self.crops >= 1, "1 or more, or null"),
            ("fraction", 0 < self.fraction <= 1, "above 0, at most 1"),
            ("seed", 0 <= self.seed < 2**63, "0 to 2**63 - 1"),
            ("unit", self.unit in ("clips", "seconds"), "'clips' or 'seconds'"),
            ("balance", self.balance >= 0, "0 or more"),
            ("silence_db", (self.silence_db or 0) <= 0, "0 or less, or null"),
            ("shares", all(share >= 0 for share in self.shares.values()), "0 or more each"),
            ("precision", self.precision in PRECISIONS, f"one of {list(PRECISIONS)}"),
            ("probe_every_epochs", _is_above_0(self.probe_every_epochs), "above 0, or null"),
            ("workers", self.workers >= 0, "0 or more"),
            *((name, getattr(self, name) >= 1, "1 or more") for name in positive),
            *((name, getattr(self, name) >= 1, "1 or more") for name in _EVERY),
        ]

    def as_dict(self) -> dict[str, object]:
        """The fields as YAML and JSON can hold them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


_EVERY = ("log_every", "monitor_every", "probe_every")


def _is_above_0(number: float | None) -> bool:
    return number is None or number > 0


def _is_range(pair: tuple[float, float]) -> bool:
    return 0 < pair[0] <= pair[1]


def make_config(values: Mapping[str, object], source: str = "the config") -> PretrainConfig:
    """A config from plain values, each of the type of its field.

    Args:
        values: fields that differ from the defaults.
        source: where they come from, for messages.

    Raises:
        PretrainError: an unknown field, a value of another type or out of its range.
    """
    kinds = typing.get_type_hints(PretrainConfig)
    cleaned = {}
    for name, value in values.items():
        if name not in kinds:
            raise PretrainError(f"{source}: no field {name!r}. {_what_instead(str(name), kinds)}")
        try:
            cleaned[name] = _as_kind(value, kinds[name])
        except (TypeError, ValueError) as error:
            raise PretrainError(f"{source}: {name} is {value!r}: it must be {error}.") from None
    try:
        return PretrainConfig(**cleaned)  # type: ignore[arg-type]
    except PretrainError as error:
        raise PretrainError(f"{source}: {error}") from None


def _what_instead(name: str, known: Iterable[str]) -> str:
    if name in _STEPS:
        return (
            "A run's length is `crops`, which is steps * batch_size * accumulate * processes; or "
            "`epochs`, where crops is null."
        )
    known = list(known)
    return f"{_did_you_mean(name, known)}There are {', '.join(known)}."


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(name, known, n=1)
    return f"Did you mean {nearest[0]!r}? " if nearest else ""


def _as_kind(value: object, kind: object) -> object:
    """The value as the type of a field; the message of what is raised says what was expected."""
    arguments = typing.get_args(kind)
    if type(None) in arguments:
        return None if value is None else _as_kind(value, arguments[0])
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError("a list")
        if Ellipsis not in arguments and len(value) != len(arguments):
            raise TypeError(f"a list of {len(arguments)} numbers")
        return tuple(_as_kind(part, arguments[0]) for part in value)
    if origin is not None:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise TypeError("names with their values")
        return {str(key): _as_kind(part, arguments[1]) for key, part in value.items()}
    if kind is bool and not isinstance(value, bool):
        raise TypeError("true or false")
    if kind is int:
        return _whole_number(value)
    if kind is float:
        return _number(value, "a number")
    if kind is str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise TypeError("a text")
        return str(value)
    return value


def _number(value: object, needed: str) -> float:
    # A number written as 1e-3 or 0100 comes as text, which float reads as decimal.
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(needed)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise TypeError(needed) from None
    if not math.isfinite(number):
        raise TypeError(needed)
    return number


def _whole_number(value: object) -> int:
    number = _number(value, "a whole number")
    if not number.is_integer():
        raise TypeError("a whole number")
    # A float does not hold a large seed's last digits.
    return value if isinstance(value, int) else int(number)


def read_config(name: str | Path, overrides: Mapping[str, object] | None = None) -> PretrainConfig:
    """A shipped config by its name, or a YAML file's, with some fields replaced.

    Args:
        name: of a shipped config ("byola-512"), or the path of a YAML file.
        overrides: fields to replace.

    Raises:
        PretrainError: no such config, not YAML, what `make_config` raises, or `epochs` among the
            overrides where `crops` is what counts.
    """
    shipped = {entry.name.removesuffix(".yaml"): entry for entry in _SHIPPED.iterdir()}
    stem = str(name).removesuffix(".yaml")
    if Path(name).is_file():
        try:
            text = Path(name).read_text("utf-8")
        except UnicodeDecodeError:
            raise PretrainError(f"{name} is not YAML: it is no text.") from None
    elif stem in shipped:
        text = shipped[stem].read_text("utf-8")
    else:
        own = sorted(path.name for path in Path(name).parent.glob("*.yaml"))
        raise PretrainError(
            f"no config {str(name)!r}. {_did_you_mean(Path(name).name, [*own, *sorted(shipped)])}"
            f"Name a YAML file, or one of {', '.join(sorted(shipped))}."
        )
    try:
        content = yamltext.load(text) or {}
    except yaml.YAMLError as error:
        raise PretrainError(f"{name} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise PretrainError(f"{name} must hold fields and their values, like `batch_size: 256`.")
    overrides = overrides or {}
    config = make_config({**content, **overrides}, str(name))
    if "epochs" in overrides and config.crops is not None:
        raise PretrainError(
            f"{name}: epochs is {config.epochs}, and crops, {config.crops:,}, is what counts: set "
            "crops to null as well."
        )
    return config


def check_precision(config: PretrainConfig, accelerator: str) -> None:
    """Refuse what a CPU lacks: Lightning would take bfloat16, and the checkpoint say otherwise.

    Raises:
        PretrainError: half precision on a CPU.
    """
    if accelerator == "cpu" and config.precision == "16-mixed":
        raise PretrainError("precision 16-mixed is for GPUs: a CPU has 32-true and bf16-mixed.")


def differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Fields in which a resumed run's config would change its result, with both values.

    A field that the old config lacks came later; its default means what was done before it came.
    """
    old = {**PretrainConfig().as_dict(), **old}
    return [
        f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name not in FREE_TO_CHANGE
    ]
