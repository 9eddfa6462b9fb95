"""A small HEAR module, correct by default or with one defect: ``load_model(defect="...")``.

Its embeddings are log energies of 16 bands in frames of 50 ms every 25 ms, projected to 24
dimensions.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

HOP_MS = 25.0
WINDOW_MS = 50.0


class BandEnergies(nn.Module):
    def __init__(self, defect: str) -> None:
        super().__init__()
        self.sample_rate = 24000 if defect == "unusual rate" else 16000
        self.scene_embedding_size = np.int64(24) if defect == "numpy size" else 24
        self.timestamp_embedding_size = 24
        self.defect = defect
        seed = random.getrandbits(32) if defect == "random weights" else 0
        generator = torch.Generator().manual_seed(seed)
        self.projection = nn.Parameter(torch.randn(16, 24, generator=generator) / 4)
        self.dropout = nn.Dropout(0.5)

    def frames(self, audio: Tensor) -> Tensor:
        window = round(self.sample_rate * WINDOW_MS / 1000)
        hop = self.sample_rate * HOP_MS / 1000
        n_frames = max(1, math.ceil(audio.shape[1] / hop))
        starts = (torch.arange(n_frames) * hop).round().long()
        if self.defect == "drift":  # 0.15 ms a second
            starts = (torch.arange(n_frames) * hop * 1.00015).round().long()
        if self.defect == "window starts":
            starts = starts + window // 2
        padded = F.pad(audio, (window // 2, 2 * window + n_frames))
        return padded[:, starts[:, None] + torch.arange(window)] * torch.hann_window(window)

    def forward(self, audio: Tensor) -> Tensor:
        if self.defect == "NaN on silence":
            audio = audio / audio.abs().amax(1, keepdim=True)
        if self.defect == "inf at full scale":
            audio = torch.atanh(audio)
        if self.defect == "long windows only" and audio.shape[1] < 800:
            raise RuntimeError("a window is 800 samples")
        if self.defect == "in place":
            audio *= 0.5
        spectrum = torch.fft.rfft(self.frames(audio)).abs().square()
        edges = torch.linspace(1, spectrum.shape[-1], 17).round().long().tolist()
        bands = [spectrum[..., a:b].sum(-1) for a, b in itertools.pairwise(edges)]
        x = torch.log(torch.stack(bands, -1) + 1e-6)
        if self.defect == "batch statistics":
            x = (x - x.mean((0, 1))) / (x.std((0, 1)) + 1e-6)
        if self.defect == "constant":
            x = torch.ones_like(x)
        x = self.dropout(x @ self.projection)
        return F.dropout(x, 0.5, training=True) if self.defect == "dropout at call" else x

    def times(self, n_sounds: int, n_frames: int) -> Tensor:
        times = torch.arange(n_frames) * HOP_MS
        if self.defect == "irregular":
            times = times + 3.0 * (torch.arange(n_frames) % 2)
        if self.defect == "past the end":
            times = times * 1.02
        if self.defect == "seconds":
            times = times / 1000
        return times if self.defect == "flat timestamps" else times.repeat(n_sounds, 1)


def load_model(path: str = "", defect: str = "") -> object:
    if defect == "raises":
        raise OSError("no weights")
    if defect == "threads":
        torch.set_num_threads(torch.get_num_threads() + 1)
    if defect == "seeds":
        torch.manual_seed(0)
    if defect == "no torch module":
        return SimpleNamespace(**vars(BandEnergies("")))
    return BandEnergies(defect).train(defect in ("training mode", "embeds nothing"))


def get_timestamp_embeddings(audio: Tensor, model: BandEnergies) -> tuple[Tensor, Tensor]:
    if model.defect == "dies":
        os.abort()
    if model.defect == "embeds nothing":
        raise ValueError("not today")
    if model.defect == "hungry" and audio.shape[1] > 60 * 16000:
        torch.empty(18 * 2**30, dtype=torch.uint8)
    with torch.set_grad_enabled(model.defect == "gradients" and torch.is_grad_enabled()):
        embeddings = model(audio)
    times = model.times(*embeddings.shape[:2])
    if model.defect == "integer timestamps":
        times = times.long()
    return embeddings.double() if model.defect == "double" else embeddings, times


def get_scene_embeddings(audio: Tensor, model: BandEnergies) -> Tensor:
    scene = get_timestamp_embeddings(audio, model)[0].mean(1)
    if model.defect == "other device":
        return scene + torch.zeros(24, device="meta")
    return scene.numpy() if model.defect == "numpy output" else scene
