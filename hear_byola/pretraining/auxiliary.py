"""An auxiliary task: predict plain descriptions of a crop's spectrum from its embedding.

BYOL adds invariance to the embedding; the regression keeps what plain spectra hold, as the
openSMILE features of Hybrid BYOL-S do (arXiv 2206.12038). The head is not part of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from hear_byola.frontend import HOP, LOG_FLOOR, SAMPLE_RATE, WINDOW, LogMel

RIDGE = 0.01
"""Penalty of the first head's ridge regression, times the mean variance of the embedding."""

_LEAST_PENALTY = 1e-6  # of embeddings that are all equal, whose variance is 0
_LEAST_DEVIATION = 1e-4  # a target that never varies is not divided by zero
_A4, _A4_CLASS = 440.0, 9  # Hz, and the pitch class of A where C is 0
_CHROMA_HZ = (110.0, 4186.0)  # A2 to C8: below, bins of 15.6 Hz are wider than a semitone


@cache
def chroma_matrix() -> Tensor:
    """Return which bins of the spectrum belong to each pitch class, C first: 0 or 1, (12, bins).

    A bin belongs to the nearest semitone of equal temperament at 440 Hz.
    """
    frequencies = torch.arange(WINDOW // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / WINDOW
    inside = (frequencies >= _CHROMA_HZ[0]) & (frequencies <= _CHROMA_HZ[1])
    semitone = torch.round(12 * torch.log2(frequencies.clamp(min=1) / _A4)).long()
    pitch_class = (semitone + _A4_CLASS) % 12
    return ((pitch_class == torch.arange(12)[:, None]) & inside).float()


def chroma(power: Tensor) -> Tensor:
    """Return each pitch class's share of the power of a frame.

    Args:
        power: power spectrum, float32 (batch, WINDOW // 2 + 1, frames).

    Returns:
        float32 (batch, 12, frames): C first, sum 1; 0 in silence.
    """
    energy = chroma_matrix().to(power.device) @ power
    return energy / (energy.sum(1, keepdim=True) + LOG_FLOOR)


def deltas(log_mel: Tensor) -> Tensor:
    """Return regression slopes over five frames, (batch, bands, frames); edges are repeated."""
    padded = nn.functional.pad(log_mel, (2, 2), mode="replicate")
    frames = log_mel.shape[-1]
    earlier, before, _, after, later = (padded[..., n : n + frames] for n in range(5))
    return (after - before + 2 * (later - earlier)) / 10


def onset_strength(log_mel: Tensor) -> Tensor:
    """Return the mean rise of the bands from the frame before, (batch, 1, frames); the first is 0.

    This is the spectral flux of log magnitudes; falling bands count as 0.
    """
    rise = log_mel.diff(dim=-1).relu().mean(1, keepdim=True)
    return nn.functional.pad(rise, (1, 0))


FEATURES: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "log_mel": (64, lambda log_mel, power: log_mel),
    "deltas": (64, lambda log_mel, power: deltas(log_mel)),
    "chroma": (12, lambda log_mel, power: chroma(power)),
    "onset_strength": (1, lambda log_mel, power: onset_strength(log_mel)),
}
"""Number of values in a frame, and function of log-mel and power spectrum, of each feature."""

SUMMARIES = 3
"""Mean, standard deviation and maximum over time."""


class Targets(nn.Module):
    """Computes the targets of audio: mean, deviation and maximum over time of some features.

    Args:
        convention: mel filterbank of the log-mel spectrogram.
        features: names in `FEATURES`.
    """

    def __init__(self, convention: str, features: Sequence[str]) -> None:
        super().__init__()
        self.features = tuple(features)
        self.front = LogMel(convention)
        self.size = SUMMARIES * sum(FEATURES[name][0] for name in self.features)

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        """Return targets that are not standardised, float32 (batch, size).

        Feature by feature; of each the means, then the deviations, then the maxima.

        Args:
            audio: float32 (batch, samples), at 16 kHz.
        """
        spectrum = torch.stft(
            audio, WINDOW, HOP, window=self.front.window, center=True, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        log_mel = (self.front.filterbank @ power + LOG_FLOOR).log()
        values = []
        for name in self.features:
            feature = FEATURES[name][1](log_mel, power)
            values += [feature.mean(-1), feature.std(-1, correction=0), feature.amax(-1)]
        return torch.cat(values, dim=1)


class Regression(nn.Module):
    """The linear head, and its loss: the mean squared error of standardised targets.

    The head is linear because what it guards is to be read by linear probes. `begin` measures the
    targets and fits the head to the encoder before training: the gradient of a random head would
    distort the features that the encoder begins with (arXiv 2202.10054).

    Args:
        d: embedding size.
        targets: computes the targets.

    Attributes:
        mean, std: statistics of each target by which it is standardised, (targets.size,); 0 and 1
            until `begin`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, d: int, targets: Targets) -> None:
        super().__init__()
        self.targets = targets
        self.head = nn.Linear(d, targets.size)
        self.register_buffer("mean", torch.zeros(targets.size))
        self.register_buffer("std", torch.ones(targets.size))

    def forward(self, embedding: Tensor, audio: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            embedding: (batch, d), of the audio without augmentation.
            audio: float32 (batch, samples).
        """
        with torch.autocast(audio.device.type, enabled=False):
            wanted = (self.targets(audio) - self.mean) / self.std
        return nn.functional.mse_loss(self.head(embedding).float(), wanted)

    @torch.no_grad()
    def begin(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the statistics of the targets, and the head to their ridge regression on embeddings.

        Args:
            batches: embeddings of the encoder before training, float32 (batch, d), and their audio,
                float32 (batch, samples).
        """
        found = [(embeddings, self.targets(audio)) for embeddings, audio in batches]
        embeddings, targets = (torch.cat(parts).double() for parts in zip(*found, strict=True))
        level = targets.mean(0)
        deviation = targets.std(0, correction=0).clamp(min=_LEAST_DEVIATION)
        self.mean.copy_(level)
        self.std.copy_(deviation)
        wanted = (targets - level) / deviation
        mean = embeddings.mean(0)
        centred = embeddings - mean
        covariance = centred.T @ centred / len(centred)
        penalty = RIDGE * covariance.diagonal().mean()
        covariance.diagonal().add_(penalty.clamp(min=_LEAST_PENALTY))
        weight = torch.linalg.solve(covariance, centred.T @ wanted / len(centred)).T
        self.head.weight.copy_(weight)
        self.head.bias.copy_(-weight @ mean)
