"""Resemblyzer's voice encoder (GE2E, arXiv 1710.10467) as a HEAR module.

    pip install --no-deps resemblyzer==0.1.4      # Apache-2.0; the weights are in the package
    pip install librosa
    hear-byola validate examples/resemblyzer_voice.py

A window of 1.6 s becomes 256 values of norm 1. The scene embedding is that of the package's
``embed_utterance``: the mean over windows, scaled to norm 1. Pauses are not cut out, as the
package's ``preprocess_wav`` does, because a task's clip is described as it is. So webrtcvad, which
needs a compiler, is not needed: only the file of weights is used.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import librosa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.encoders import (
    HOP_MS,
    FrameEncoder,
    FrameModel,
    Geometry,
    get_scene_embeddings,
    get_timestamp_embeddings,
)

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

# The constants of resemblyzer/hparams.py and of VoiceEncoder.embed_utterance.
RATE = 16000
FFT, STEP = 400, 160  # samples: 25 ms and 10 ms
MELS = 40
WINDOW = 160  # frames of a window: 1.6 s
WINDOW_STEP = 77  # frames between two windows: 1.3 windows a second
LEAST_COVERAGE = 0.75  # of the last window
TARGET_DBFS = -30.0


class VoiceEncoder(FrameEncoder):
    """The encoder; its frames are windows of 1.6 s."""

    rate = RATE
    size = pooled_size = 256
    geometry = Geometry(
        hop=WINDOW_STEP * STEP,
        centre=WINDOW * STEP / 2,
        window=WINDOW * STEP,
        min_samples=WINDOW * STEP,
    )

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
        # Two more values are those of the training's loss.
        self.load_state_dict({name: state[name] for name in self.state_dict()})
        filters = librosa.filters.mel(sr=RATE, n_fft=FFT, n_mels=MELS)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("hann", torch.hann_window(FFT), persistent=False)
        self.requires_grad_(False)

    def prepare(self, audio: Tensor) -> Tensor:
        """Make quiet clips as loud as -30 dBFS; silence stays silence."""
        power = audio.double().square().mean(1, keepdim=True)
        gain = 10 ** (TARGET_DBFS / 20) / power.clamp(min=1e-12).sqrt()
        return (audio * gain.clamp(min=1.0)).float()

    def frames(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """Return the embedding of each window."""
        windows = self._mel(audio).unfold(1, WINDOW, WINDOW_STEP).transpose(2, 3)
        return [self._embed(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])]

    def pooled(self, audio: Tensor) -> Tensor:
        """Return the mean over windows, of norm 1: ``VoiceEncoder.embed_utterance``."""
        samples = audio.shape[1]
        count = max(1, math.ceil((samples + 1) / STEP) - WINDOW + WINDOW_STEP + 1)
        starts = range(0, count, WINDOW_STEP)
        covered = (samples - STEP * starts[-1]) / (STEP * WINDOW)
        if covered < LEAST_COVERAGE and len(starts) > 1:
            starts = starts[:-1]
        needed = STEP * (starts[-1] + WINDOW)
        mel = self._mel(F.pad(audio, (0, max(0, needed - samples))))
        total = sum(self._embed(mel[:, start : start + WINDOW]) for start in starts)
        return F.normalize(total, dim=1)

    def _mel(self, audio: Tensor) -> Tensor:
        """Return the power in mel bands, not its logarithm: ``(n, frames, 40)``."""
        spectrum = torch.stft(
            audio, FFT, STEP, window=self.hann, pad_mode="constant", return_complex=True
        )
        return (self.filters @ spectrum.abs().square()).transpose(1, 2)

    def _embed(self, mel: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mel)
        return F.normalize(self.linear(hidden[-1]).relu(), dim=1)


def load_model(model_file_path: str = "", hop_ms: float = HOP_MS) -> nn.Module:
    """Load the encoder.

    Args:
        model_file_path: a checkpoint of Resemblyzer; default: the one in the package.
        hop_ms: largest distance of timestamps. A timestamp describes 1.6 s around it.
    """
    weights = model_file_path
    if not weights:
        found = importlib.util.find_spec("resemblyzer")  # importing it would need webrtcvad
        if found is None or found.origin is None:
            raise ImportError("pip install --no-deps resemblyzer==0.1.4")
        weights = str(Path(found.origin).parent / "pretrained.pt")
    return FrameModel(VoiceEncoder(weights), pooling="model", hop_ms=hop_ms).eval()
