"""The augmentations of BYOL-A, on batches of log-mel spectrograms on any device.

Each is a pure function of its input and its random draws; `draw_crop` and `uniform` make the draws.
`Augmentations` applies them in the order of a config, and contains Mixup's memory (arXiv
2103.06695, section III; linear fader: arXiv 2204.07402).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.distributed import mean_over_ranks

EPSILON = torch.finfo(torch.float32).eps
_CUBIC = -0.75  # the coefficient of torch.nn.functional.interpolate's bicubic kernel


def mixup(x: Tensor, z: Tensor, mix: Tensor, log_exp: bool = True) -> Tensor:
    """Mix spectrograms with backgrounds: log((1 - mix) exp(x) + mix exp(z) + eps).

    Args:
        x, z: log-mel spectrograms and their backgrounds, float32 (batch, F, T).
        mix: share of the background, in [0, 1], (batch,).
        log_exp: mix energies; otherwise mix logarithms (an ablation).

    Returns:
        float32 (batch, F, T).
    """
    mix = mix[:, None, None]
    if not log_exp:
        return (1 - mix) * x + mix * z
    return ((1 - mix) * x.exp() + mix * z.exp() + EPSILON).log()


def gaussian(x: Tensor, mix: Tensor, noise: Tensor) -> Tensor:
    """Mix spectrograms with noise: log((1 - mix) exp(x) + exp(noise) + eps).

    Args:
        x: log-mel spectrograms, float32 (batch, F, T).
        mix: (batch,), in [0, 1].
        noise: (batch, F, T), drawn from Normal(0, mix).
    """
    return ((1 - mix[:, None, None]) * x.exp() + noise.exp() + EPSILON).log()


@dataclass(frozen=True)
class Crop:
    """A rectangle on the canvas for each spectrogram of a batch: int64 (batch,) each, in bins."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def canvas_size(size: Sequence[int], canvas: Sequence[float]) -> tuple[int, int]:
    """Return height and width, in bins, of a canvas that is `canvas` times (F, T)."""
    return round(size[0] * canvas[0]), round(size[1] * canvas[1])


def random_resize_crop(x: Tensor, crop: Crop, canvas: Sequence[float] = (1.0, 1.5)) -> Tensor:
    """Crop rectangles from a canvas of zeros with x at its centre, and resize them to x's size.

    The result equals that of `torch.nn.functional.interpolate` (bicubic, corners aligned) on the
    crop. Resizing is linear and separable, so cropping, padding and resizing are one matrix for
    frequency and one for time.

    Args:
        x: float32 (batch, F, T).
        crop: the rectangles; they must lie on the canvas.
        canvas: size of the canvas, in multiples of F and T.

    Returns:
        float32 (batch, F, T).
    """
    bands, frames = x.shape[1:]
    height, width = canvas_size((bands, frames), canvas)
    rows = _resizing(crop.top - (height - bands) // 2, crop.height, bands)
    columns = _resizing(crop.left - (width - frames) // 2, crop.width, frames)
    with torch.autocast(x.device.type, enabled=False):  # half precision is 1 % wrong
        return rows @ x @ columns.mT


def _resizing(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Return matrices (batch, size, size) that resize the stretch from `start` to `size` values.

    `start` counts from the first of the `size` values of x and may be negative. Values outside x
    are zero and need no column.
    """
    output = torch.arange(size, device=start.device)
    position = ((length - 1) / (size - 1))[:, None] * output
    first = position.floor()
    taps = first[..., None].long() + torch.arange(-1, 3, device=start.device)
    source = taps.clamp(min=0).minimum((length - 1)[:, None, None]) + start[:, None, None]
    inside = (source >= 0) & (source < size)
    weights = _cubic_weights(position - first) * inside
    matrix = weights.new_zeros(len(start), size, size)
    return matrix.scatter_add_(2, source.clamp(0, size - 1), weights)


def _cubic_weights(fraction: Tensor) -> Tensor:
    """Return weights (..., 4) of samples -1, 0, 1 and 2 for a point at `fraction` in [0, 1)."""

    def near(t: Tensor) -> Tensor:
        return ((_CUBIC + 2) * t - (_CUBIC + 3)) * t * t + 1

    def far(t: Tensor) -> Tensor:
        return ((_CUBIC * t - 5 * _CUBIC) * t + 8 * _CUBIC) * t - 4 * _CUBIC

    rest = 1 - fraction
    return torch.stack([far(fraction + 1), near(fraction), near(rest), far(rest + 1)], dim=-1)


def linear_fader(x: Tensor, head: Tensor, tail: Tensor) -> Tensor:
    """Add a line over time, from `head` at the first frame to `tail` at the last.

    Args:
        x: float32 (batch, F, T).
        head, tail: (batch,).
    """
    ramp = torch.linspace(0, 1, x.shape[-1], device=x.device, dtype=x.dtype)
    return x + torch.lerp(head[:, None], tail[:, None], ramp)[:, None, :]


def post_norm(views: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Normalise all views by one mean and standard deviation, over clips, bands, frames and ranks.

    Args:
        views: float32 (batch, F, T) each.
    """
    stacked = torch.stack(tuple(views))
    mean = mean_over_ranks(stacked.mean())
    variance = mean_over_ranks((stacked - mean).square().mean())
    normalised = (stacked - mean) / (variance.sqrt() + EPSILON)
    return tuple(normalised)


def uniform(low: float, high: float, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Return draws from U(low, high), float32, on the generator's device."""
    return low + (high - low) * torch.rand(
        tuple(shape), generator=generator, device=generator.device
    )


def draw_crop(
    generator: torch.Generator,
    batch: int,
    size: Sequence[int],
    canvas: Sequence[float] = (1.0, 1.5),
    frequency: Sequence[float] = (0.6, 1.5),
    time: Sequence[float] = (0.6, 1.5),
) -> Crop:
    """Draw rectangles of int(U(range) * F) by int(U(range) * T) bins, anywhere on the canvas.

    Args:
        generator: generator on the device of the draws.
        batch: number of rectangles.
        size: (F, T).
        canvas: size of the canvas, in multiples of F and T.
        frequency, time: ranges of the height and the width, in multiples of F and T; larger
            rectangles are clipped to the canvas (paper, section III-B2).
    """

    def stretch(scale: Sequence[float], bins: int, limit: int) -> tuple[Tensor, Tensor]:
        length = (uniform(scale[0], scale[1], (batch,), generator) * bins).long().clamp(1, limit)
        free = limit - length + 1
        start = (torch.rand(batch, generator=generator, device=generator.device) * free).long()
        return start.minimum(free - 1), length

    limits = canvas_size(size, canvas)
    top, height = stretch(frequency, size[0], limits[0])
    left, width = stretch(time, size[1], limits[1])
    return Crop(top, left, height, width)


class MixupMemory(nn.Module):
    """The last inputs, from which Mixup draws its backgrounds; the oldest is overwritten first.

    Its buffers are part of the state dict, so a resumed run draws from the same sounds.

    Args:
        capacity: number of inputs (2,048 in the paper, section III-B1).
        size: (F, T) of an input.
    """

    entries: Tensor
    seen: Tensor

    def __init__(self, capacity: int, size: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("entries", torch.zeros(capacity, *size))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self._seen = 0  # `seen` without waiting for the device

    def draw(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Draw entries (count, F, T) with replacement; None while the memory is empty."""
        held = min(self._seen, len(self.entries))
        if not held:
            return None
        device = self.entries.device
        return self.entries[torch.randint(held, (count,), generator=generator, device=device)]

    def add(self, x: Tensor) -> None:
        """Add a batch (batch, F, T), or its last entries if it is larger than the memory."""
        capacity = len(self.entries)
        kept = x[-capacity:].detach()
        begin = self._seen + len(x) - len(kept)
        places = torch.arange(begin, begin + len(kept), device=x.device) % capacity
        self.entries[places] = kept.to(self.entries.dtype)
        self._seen += len(x)
        self.seen.fill_(self._seen)

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._seen = int(self.seen)


class Augmentations(nn.Module):
    """Makes two views of each spectrogram of a batch by the augmentations of a config.

    Args:
        config: its fields `augmentations`, `post_norm`, `mixup_*`, `gaussian_alpha`, `crop_*` and
            `fader_range`.
        size: (F, T) of a spectrogram.
    """

    def __init__(self, config: PretrainConfig, size: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.size = size
        self.memory = (
            MixupMemory(config.mixup_memory, size) if "mixup" in config.augmentations else None
        )

    @torch.no_grad()
    def forward(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return both views of a batch.

        Backgrounds come from the memory before this batch; then the batch is added once.

        Args:
            x: log-mel spectrograms after pre-normalisation, float32 (batch, F, T).
            generator: generator of all draws, on x's device.

        Returns:
            Two tensors, float32 (batch, F, T).
        """
        views = tuple(self._view(x, generator) for _ in range(2))
        if self.memory is not None:
            self.memory.add(x)
        return post_norm(views) if self.config.post_norm else views

    def _view(self, x: Tensor, generator: torch.Generator) -> Tensor:
        for name in self.config.augmentations:
            x = getattr(self, f"_{name}")(x, generator)
        return x

    def _mixup(self, x: Tensor, generator: torch.Generator) -> Tensor:
        assert self.memory is not None
        z = self.memory.draw(len(x), generator)
        if z is None:
            return x
        mix = uniform(0, self.config.mixup_alpha, (len(x),), generator)
        return mixup(x, z, mix, self.config.mixup_log_exp)

    def _gaussian(self, x: Tensor, generator: torch.Generator) -> Tensor:
        mix = uniform(0, self.config.gaussian_alpha, (len(x),), generator)
        normal = torch.randn(x.shape, generator=generator, device=x.device)
        return gaussian(x, mix, normal * mix[:, None, None])

    def _random_resize_crop(self, x: Tensor, generator: torch.Generator) -> Tensor:
        config = self.config
        crop = draw_crop(
            generator,
            len(x),
            self.size,
            config.crop_canvas,
            config.crop_frequency,
            config.crop_time,
        )
        return random_resize_crop(x, crop, config.crop_canvas)

    def _linear_fader(self, x: Tensor, generator: torch.Generator) -> Tensor:
        reach = self.config.fader_range
        head, tail = uniform(-reach, reach, (2, len(x)), generator)
        return linear_fader(x, head, tail)
