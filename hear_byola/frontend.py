"""Waveform -> normalised log-mel spectrogram, on any stretch of a clip.

The constants are those of BYOL-A (arXiv 2103.06695 and arXiv 2204.07402, same in both):
16 kHz, 64 ms Hann windows every 10 ms, 64 mel bands from 60 Hz to 7,800 Hz, natural logarithm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchaudio.functional import melscale_fbanks

SAMPLE_RATE = 16_000
WINDOW = 1024
HOP = 160
MEL_BANDS = 64
LOWEST_HZ = 60.0
HIGHEST_HZ = 7_800.0
# The "float32 eps" that the published pipeline adds before the logarithm.
LOG_FLOOR = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Convention:
    """A mel filterbank convention, and the log-mel statistics to assume where none are known.

    Attributes:
        scale: mel scale, as torchaudio names it.
        norm: area normalisation of the triangles, as torchaudio names it.
        dtype: precision in which the triangles are computed (they are used in float32).
        mean, std: scalar statistics of the log-mel spectrogram.
    """

    scale: str
    norm: str | None
    dtype: torch.dtype
    mean: float
    std: float


# `slaney` is what librosa and nnAudio compute, and what the published weights were trained on; its
# statistics are those printed for the 2022 encoder on Speech Commands V2. `htk` is torchaudio's
# default, used in the authors' 2020 evaluation; its statistics are those of their README example.
# The two filterbanks differ by a factor that depends on the band: they are not interchangeable.
CONVENTIONS = {
    "slaney": Convention("slaney", "slaney", torch.float64, -9.660292, 4.7219563),
    "htk": Convention("htk", None, torch.float32, -5.4919195, 5.0389895),
}
DEFAULT_CONVENTION = "slaney"


class _LinspaceIn(TorchFunctionMode):
    """Makes `torch.linspace` compute in a given precision, in this thread, inside `with`.

    torchaudio derives all corner frequencies from `linspace` in the default precision, which in
    float32 leaves weights at the foot of a triangle wrong by up to 0.5 %.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["dtype"] = self.dtype
        return func(*args, **kwargs)


def mel_filterbank(convention: str) -> Tensor:
    """Triangular mel filters.

    Args:
        convention: a name in `CONVENTIONS`.

    Returns:
        float32 (MEL_BANDS, WINDOW // 2 + 1), on the CPU.

    Raises:
        ValueError: the convention is unknown.
    """
    if convention not in CONVENTIONS:
        raise ValueError(
            f"unknown filterbank convention {convention!r}: it must be one of {list(CONVENTIONS)}."
        )
    kind = CONVENTIONS[convention]
    with torch.device("cpu"), _LinspaceIn(kind.dtype):
        filters = melscale_fbanks(
            n_freqs=WINDOW // 2 + 1,
            f_min=LOWEST_HZ,
            f_max=HIGHEST_HZ,
            n_mels=MEL_BANDS,
            sample_rate=SAMPLE_RATE,
            norm=kind.norm,
            mel_scale=kind.scale,
        )
    return filters.T.float().contiguous()


def extended(audio: Tensor, start: int, stop: int) -> Tensor:
    """Samples `start` to `stop` of clips that are continued beyond both of their ends.

    A clip is continued by its own mirror image for half a window on each side, as a centred STFT
    does, and by zeros beyond. A clip of half a window or less has no mirror image of that length
    and is continued by zeros alone. So a spectrogram frame depends on its position in the clip,
    and never on how much padding or which other stretch of the clip is asked for.

    Args:
        audio: (clips, samples).
        start, stop: sample positions; may be negative or beyond the end.

    Returns:
        (clips, stop - start).
    """
    samples = audio.shape[-1]
    mirror = WINDOW // 2 if samples > WINDOW // 2 else 0
    first = min(max(start, -mirror), stop)
    last = max(min(stop, samples + mirror), first)
    before, after = min(last, 0), max(first, samples)
    turn = 2 * (samples - 1)
    inside = audio[:, max(first, 0) : max(min(last, samples), 0)]
    if first < before:
        inside = torch.cat([audio[:, 1 - before : 1 - first].flip(1), inside], dim=1)
    if after < last:
        end = audio[:, turn - last + 1 : turn - after + 1].flip(1)
        inside = torch.cat([inside, end], dim=1)
    return nn.functional.pad(inside, (first - start, stop - last))


class LogMel(nn.Module):
    """Normalised log-mel spectrogram: (log(mel + eps) - mean) / std, with scalar statistics.

    The statistics are fixed numbers, never those of the batch: a clip's spectrogram does not
    depend on the clips beside it. They are buffers, so they are saved with a model's state; window
    and filterbank follow from the convention and are not.

    Args:
        convention: a name in `CONVENTIONS`.
        mean, std: statistics of log(mel + eps); the convention's own where None.

    Raises:
        ValueError: unknown convention; one statistic without the other; mean not finite or std not
            a positive number.
    """

    window: Tensor
    filterbank: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        convention: str = DEFAULT_CONVENTION,
        mean: float | None = None,
        std: float | None = None,
    ) -> None:
        super().__init__()
        filterbank = mel_filterbank(convention)
        if mean is None and std is None:
            mean, std = CONVENTIONS[convention].mean, CONVENTIONS[convention].std
        if mean is None or std is None:
            raise ValueError(
                f"mean={mean} and std={std}: the two statistics belong together; give both or none."
            )
        numbers = isinstance(mean, int | float) and isinstance(std, int | float)
        if not (numbers and math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ValueError(
                f"mean={mean!r}, std={std!r}: the statistics of the log-mel spectrogram must be "
                "finite numbers, and std greater than 0."
            )
        self.convention = convention
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filterbank", filterbank, persistent=False)
        self.register_buffer("mean", torch.tensor(float(mean), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(float(std), dtype=torch.float32))

    def log_mel(self, audio: Tensor, first: int = 0, count: int | None = None) -> Tensor:
        """Log-mel frames before normalisation: frame j is centred at sample `first + j * HOP`.

        Args:
            audio: floating point (clips, samples) in [-1, 1], at 16 kHz, at least one sample.
            first: centre of the first frame, in samples; may be negative.
            count: number of frames; by default all those centred inside the clip.

        Returns:
            float32 (clips, MEL_BANDS, count), natural logarithm, at least log(LOG_FLOOR) = -15.9.
        """
        if count is None:
            count = (audio.shape[-1] - first) // HOP + 1
        start = first - WINDOW // 2
        stretch = extended(audio, start, start + (count - 1) * HOP + WINDOW).float()
        spectrum = torch.stft(
            stretch, WINDOW, HOP, window=self.window, center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return (self.filterbank @ power + LOG_FLOOR).log()

    def forward(self, audio: Tensor, first: int = 0, count: int | None = None) -> Tensor:
        """As `log_mel`, normalised: float32 (clips, MEL_BANDS, count)."""
        return (self.log_mel(audio, first, count) - self.mean) / self.std
