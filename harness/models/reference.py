"""Reference embeddings: the embeddings of one fixed sound, which identify a model.

The hashes of code, weights and checkpoint are not enough: weights can be outside the state dict,
and code or data can be read from anywhere. Two models with the same hashes and the same reference
embeddings are considered the same model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from harness.core.arrays import read_arrays
from harness.models.process_state import restored_random_states

# (clips, seconds) of the sound. The second and third are for models that refuse one or short clips.
_SOUNDS = ((1, 1.0), (2, 1.0), (1, 10.0))
# Relative change of the sound, to measure how much a model amplifies rounding.
_ROUNDING = 1e-6

# Largest relative difference (root mean square) between embeddings of one model. On one kind of
# device the order of float32 sums differs. On a GPU, convolutions run in TF32 (1e-3), and some
# models run in half precision (up to 3e-2). With newly drawn weights they differ by 0.1 to 1.4.
TOLERANCE = 1e-4
TOLERANCE_OF_DEVICES = 0.05
# Allowed multiple of the model's own spread. In bfloat16, another number of threads changes
# embeddings by up to 4 times the spread.
_SPREADS = 20.0

# The hashed numbers: random projections, rounded to steps of this size.
_PROJECTIONS = 8
_STEP = 0.05

_PARTS = ("scene", "timestamps", "times")


class Model(Protocol):
    """The part of :class:`harness.models.module.HearModule` that this module uses."""

    sample_rate: int
    device: str

    def scene(self, audio: np.ndarray) -> np.ndarray:
        """Return the scene embeddings of clips."""

    def timestamps(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the timestamp embeddings of clips, and their times."""


@dataclass(frozen=True, eq=False)
class ReferenceEmbeddings:
    """Embeddings of the reference sound.

    Attributes:
        scene: ``(n, size)`` float32; None if the model failed on the sound.
        timestamps: ``(n, t, size)`` float32; None if the model failed.
        times: ``(n, t)`` float32 in ms; None if the model failed.
        device: where they were computed, for example ``"cpu"`` or ``"cuda"``.
        sound: number of the sound that was used.
        spread: relative difference between the embeddings of the sound and of a slightly changed
            one: the effect of rounding and of random numbers drawn at each call. None if it was not
            measured.
    """

    scene: np.ndarray | None
    timestamps: np.ndarray | None
    times: np.ndarray | None
    device: str
    sound: int = 0
    spread: float | None = None

    @property
    def empty(self) -> bool:
        """Whether the model failed on the sound in both functions."""
        return self.scene is None and self.timestamps is None

    def to_bytes(self, **texts: str) -> bytes:
        """Return the embeddings and ``texts`` as an npz file."""
        parts = {name: getattr(self, name) for name in _PARTS}
        stored: dict[str, Any] = {k: v for k, v in parts.items() if v is not None}
        stored |= {"device": np.str_(self.device), "sound": np.int64(self.sound)}
        if self.spread is not None:
            stored["spread"] = np.float64(self.spread)
        stored |= {name: np.str_(text) for name, text in texts.items()}
        file = io.BytesIO()
        np.savez(file, **stored)
        return file.getvalue()

    @staticmethod
    def from_bytes(content: bytes) -> tuple[ReferenceEmbeddings, dict[str, str]]:
        """Return the embeddings and texts of :meth:`to_bytes`.

        Raises:
            Exception: the content is damaged (:func:`harness.core.arrays.read_arrays`).
        """
        entries = read_arrays(io.BytesIO(content))
        parts = [entries.pop(name, None) for name in _PARTS]
        if any(part is not None and part.dtype.kind != "f" for part in parts):
            raise ValueError("the embeddings are not numbers")
        device, sound = str(entries.pop("device")), int(entries.pop("sound"))
        spread = float(entries.pop("spread")) if "spread" in entries else None
        found = ReferenceEmbeddings(parts[0], parts[1], parts[2], device, sound, spread)
        return found, {name: str(text) for name, text in entries.items()}


def embed_reference(model: Model) -> ReferenceEmbeddings:
    """Return a loaded model's embeddings of the reference sound.

    If the model fails, the part is None. The error is reported when a task is embedded.
    """
    with restored_random_states(cuda=model.device.startswith("cuda")):
        scene, sound = _embed(model, lambda audio: (model.scene(audio),))
        framed, other = _embed(model, model.timestamps)
    return ReferenceEmbeddings(
        scene[0] if scene else None,
        framed[0] if framed else None,
        framed[1] if framed else None,
        model.device.partition(":")[0],
        sound if scene else other,
    )


def _embed(
    model: Model, embed: Callable[[np.ndarray], tuple[np.ndarray, ...]]
) -> tuple[tuple[np.ndarray, ...], int]:
    """Return the embeddings of the first sound that works, and its number."""
    for number, (clips, seconds) in enumerate(_SOUNDS):
        with contextlib.suppress(Exception):  # a module can raise any exception
            return embed(reference_sound(model.sample_rate, clips, seconds)), number
    return (), 0


def with_spread(model: Model, embeddings: ReferenceEmbeddings) -> ReferenceEmbeddings:
    """Return a model's reference embeddings with their spread, from one more call of the model."""
    sound = reference_sound(model.sample_rate, *_SOUNDS[embeddings.sound])
    sound = sound * (1 + _ROUNDING * _uniform(1, sound.shape))
    spread, cuda = 0.0, model.device.startswith("cuda")
    # A module can raise any exception; its spread is then unknown.
    with restored_random_states(cuda), contextlib.suppress(Exception):
        _seed_generators(cuda)
        if embeddings.scene is not None:
            spread = _relative(embeddings.scene, model.scene(sound))
        elif embeddings.timestamps is not None:
            spread = _relative(embeddings.timestamps, model.timestamps(sound)[0])
    return dataclasses.replace(embeddings, spread=spread)


def _seed_generators(cuda: bool) -> None:
    """Seed the global generators, so that a call draws other numbers than the last one."""
    torch.default_generator.manual_seed(1)
    if cuda:
        torch.cuda.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (the global generator is the one that a module may use)
    random.seed(1)


def reference_sound(sample_rate: int, clips: int, seconds: float) -> np.ndarray:
    """Return the sound: white noise, with three tones in the second half that differ by clip.

    The noise fills every band and frame: in an empty one, a logarithm would depend on rounding.

    Returns:
        ``(clips, samples)`` float32, the same on every machine.
    """
    samples = int(seconds * sample_rate)
    time = np.arange(samples) / sample_rate
    sound = 0.2 * _uniform(0, (clips, samples))
    for clip in range(clips):
        for tone in (220.0, 660.0, 1870.0):
            sound[clip, samples // 2 :] += (
                0.1 * np.sin(2 * np.pi * tone * (1 + clip / 3) * time)[samples // 2 :]
            )
    return (np.round(sound * 32768) / 32768).astype(np.float32)


def _uniform(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Return numbers in [-1, 1), float32, from the raw stream, which is equal in all numpys."""
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return (raw.reshape(shape) * 2.0**-63 - 1.0).astype(np.float32)


def difference(one: ReferenceEmbeddings, other: ReferenceEmbeddings) -> float:
    """Return the largest relative difference of the parts; inf if only one has a part."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in _PARTS]
    if any((a is None) != (b is None) for a, b in pairs):
        return float("inf")
    return _largest([(a, b) for a, b in pairs if a is not None])


def difference_of_shared(one: ReferenceEmbeddings, other: ReferenceEmbeddings) -> float:
    """Return the largest relative difference of the parts that both have.

    Some models fail on some devices.
    """
    pairs = [(getattr(one, name), getattr(other, name)) for name in _PARTS]
    return _largest([(a, b) for a, b in pairs if a is not None and b is not None])


def _largest(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    return max((_relative(a, b) for a, b in pairs), default=0.0)


def tolerance(one: ReferenceEmbeddings, other: ReferenceEmbeddings) -> float:
    """Return the largest relative difference at which both count as the same model's."""
    plain = TOLERANCE if one.device == other.device else TOLERANCE_OF_DEVICES
    return max(plain, *(_SPREADS * (each.spread or 0.0) for each in (one, other)))


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root mean square of a - b, relative to that of a; inf if shapes differ."""
    finite = np.isfinite(a)
    if a.shape != b.shape or not np.array_equal(finite, np.isfinite(b)):
        return float("inf")
    a, b = a[finite].astype(np.float64), b[finite].astype(np.float64)
    apart, size = (np.square(a - b).sum(), np.square(a).sum()) if a.size else (0.0, 0.0)
    if not apart:
        return 0.0
    return float(np.sqrt(apart / size)) if size else float("inf")


def coarse_code(embeddings: ReferenceEmbeddings) -> list[Any]:
    """Return rounded numbers to hash, which are almost always the same on other machines.

    For each part these are its shape, the logarithm of its root mean square, and 8 random
    projections divided by the root mean square, rounded to steps of 0.05. A difference of 1e-6
    changes the numbers of about 3 models in 10,000. A difference of some percent changes those of
    nearly every model.
    """
    return [
        None if part is None else _code(part) for part in (embeddings.scene, embeddings.timestamps)
    ]


def _code(part: np.ndarray) -> list[Any]:
    values = np.where(np.isfinite(part), part, 0.0).astype(np.float64).ravel()
    size = float(np.sqrt(np.square(values).mean()))
    if not size:
        return [list(part.shape)]
    projections = _uniform(2, (_PROJECTIONS, len(values))) @ values
    projections /= size * np.sqrt(len(values) / 3)
    rounded = np.rint(np.append(projections, np.log(size)) / _STEP).astype(int)
    return [list(part.shape), *rounded.tolist()]
