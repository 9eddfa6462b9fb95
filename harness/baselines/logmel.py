"""A HEAR module without training: mean and standard deviation of the log-mel spectrum over time.

Every trained model should have a higher score. The front end is that of BYOL-A (arXiv 2103.06695,
section IV-A): 16 kHz, windows of 64 ms every 10 ms, 64 mel bands from 60 to 7,800 Hz, here on the
Slaney scale with area normalisation. So the difference from BYOL-A's score is due to its encoder.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from harness.core.errors import UserError

SAMPLE_RATE = 16_000
N_FFT = 1024
HOP = 160
N_MELS = 64
F_MIN, F_MAX = 60.0, 7_800.0
EPS = float(np.finfo(np.float32).eps)

# A timestamp every 5 frames (50 ms, the longest distance that HEAR recommends) describes the frames
# up to 50 ms before and after it.
FRAMES_PER_TIMESTAMP = 5
CONTEXT_FRAMES = 5


def slaney_filterbank(
    sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float
) -> np.ndarray:
    """Return triangular mel filters on the Slaney scale, each of unit area.

    The scale (Slaney, Auditory Toolbox, 1998) is linear below 1 kHz, 200/3 Hz per mel, and
    logarithmic above, 27 mels for a factor of 6.4. Filter i rises from the mel-spaced frequency
    f(i) to f(i+1), falls to f(i+2), and is scaled by 2 / (f(i+2) - f(i)).

    Returns:
        ``(n_mels, n_fft // 2 + 1)`` float32.
    """
    step, knee = np.log(6.4) / 27.0, 1000.0

    def mel(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < knee else 15 + float(np.log(hertz / knee)) / step

    mels = np.linspace(mel(f_min), mel(f_max), n_mels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, knee * np.exp(step * (mels - 15)))
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    low, centre, high = (edges[i : i + n_mels, None] for i in range(3))
    rise = (bins - low) / (centre - low)
    fall = (high - bins) / (high - centre)
    triangles = np.maximum(0, np.minimum(rise, fall))
    return (triangles * 2 / (high - low)).astype(np.float32)


class LogMelStatistics(torch.nn.Module):
    """A log-mel spectrogram with HEAR's attributes and no trained parameters."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = 2 * N_MELS
    timestamp_embedding_size = 2 * N_MELS
    frontend_convention = "slaney"

    filterbank: torch.Tensor
    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = slaney_filterbank(SAMPLE_RATE, N_FFT, N_MELS, F_MIN, F_MAX)
        self.register_buffer("filterbank", torch.from_numpy(filters))
        self.register_buffer("window", torch.hann_window(N_FFT))

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Return the log-mel spectra, ``(n, 64, 1 + samples // 160)``, of ``(n, samples)`` audio.

        The audio is in [-1, 1]. Frame k is centred on sample 160 k. The clip is reflected at its
        ends. A clip shorter than a window cannot be reflected and is padded with zeros.
        """
        frames = 1 + audio.shape[1] // HOP
        audio = F.pad(audio, (0, max(0, N_FFT - audio.shape[1])))
        spectrum = torch.stft(audio, N_FFT, HOP, window=self.window, return_complex=True)
        power = spectrum[..., :frames].abs().square()
        return (self.filterbank @ power + EPS).log()


def load_model(model_file_path: str = "") -> LogMelStatistics:
    """Return the baseline, which has no checkpoint."""
    if model_file_path:
        raise UserError("It has no weights to load: leave the checkpoint out.")
    return LogMelStatistics().eval()


def get_scene_embeddings(audio: torch.Tensor, model: LogMelStatistics) -> torch.Tensor:
    """Return mean and standard deviation over time of each band, ``(n, 128)``."""
    spectrum = model(audio)
    return torch.cat([spectrum.mean(-1), spectrum.std(-1, unbiased=False)], dim=1)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: LogMelStatistics
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same statistics over the 11 frames around each timestamp.

    Returns:
        ``(n, t, 128)`` and ``(n, t)`` in ms: 0, 50, 100, ... up to the clip's end. A timestamp is
        the true centre of its 11 frames. At the clip's ends the outermost frame is repeated.
    """
    spectrum = F.pad(model(audio), (CONTEXT_FRAMES, CONTEXT_FRAMES), mode="replicate")
    windows = spectrum.unfold(-1, 2 * CONTEXT_FRAMES + 1, FRAMES_PER_TIMESTAMP)
    statistics = [windows.mean(-1), windows.std(-1, unbiased=False)]
    embeddings = torch.cat(statistics, dim=1).transpose(1, 2)
    hop_ms = FRAMES_PER_TIMESTAMP * HOP / SAMPLE_RATE * 1000
    times = torch.arange(embeddings.shape[1], device=audio.device) * hop_ms
    return embeddings, times.float().expand(len(audio), -1)
