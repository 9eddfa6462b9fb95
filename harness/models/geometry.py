"""The place of an encoder's frames in its audio."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MARGIN_S = 2.5
"""Seconds dropped at each inner end of a transformer's passes; the convolution of positions of
wav2vec 2.0 (128 frames of 20 ms) sees 1.28 s to each side."""


@dataclass(frozen=True)
class Geometry:
    """The place of an encoder's frames, in samples at the encoder's rate.

    Attributes:
        hop: distance of two frames' centres.
        centre: centre of the first frame.
        window: length of audio with one frame; each further frame needs ``hop`` samples more.
        min_samples: shortest audio that the encoder accepts; shorter audio is padded with zeros.
        max_samples: longest audio of one pass; None without a limit.
        margin_frames: frames at each inner end of a pass that are computed and dropped.
        leading_frames: number of first frames that are centred before the audio's beginning;
            they give no timestamps.
    """

    hop: float
    centre: float
    window: float
    min_samples: int = 1
    max_samples: int | None = None
    margin_frames: int = 0
    leading_frames: int = 0

    def count(self, samples: int) -> int:
        """Return the number of frames of audio that are not padding, at least 1."""
        return max(1, math.floor((samples - self.window) / self.hop) + 1)

    def samples(self, frames: int) -> int:
        """Return the length of audio that has this many frames."""
        return math.ceil((frames - 1) * self.hop + self.window)


def usual_margin(rate: float, hop: float) -> int:
    """Return ``MARGIN_S`` in frames ``hop`` samples apart."""
    return round(MARGIN_S * rate / hop)


def strided(convolutions: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the hop and the window of a stack of convolutions without padding, in samples.

    Args:
        convolutions: kernel and stride of each, from the audio on.
    """
    hop, window = 1, 1
    for kernel, stride in convolutions:
        window += (kernel - 1) * hop
        hop *= stride
    return hop, window
