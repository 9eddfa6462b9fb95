"""Plain NumPy implementations of the published encoders, as a reference for tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.signal import correlate2d
from torch import Tensor

BATCH_NORM_EPS = 1e-5


def naive_frames(state: Mapping[str, Tensor], mel: np.ndarray) -> np.ndarray:
    """Return embeddings over time (n, d), float64, of a normalised log-mel (mel, frames)."""
    weights = {name: tensor.double().numpy() for name, tensor in state.items()}
    x = mel.astype(np.float64)[None]
    convolutions = (0, 4, 8) if "features.8.weight" in weights else (0, 4)
    for conv in convolutions:
        x = _block(weights, conv, x)
    channels, bands, steps = x.shape
    local = np.empty((steps, bands * channels))
    for step in range(steps):
        for band in range(bands):
            for channel in range(channels):
                local[step, band * channels + channel] = x[channel, band, step]
    hidden = np.maximum(local @ weights["fc.0.weight"].T + weights["fc.0.bias"], 0)
    output = np.maximum(hidden @ weights["fc.3.weight"].T + weights["fc.3.bias"], 0)
    return output if len(convolutions) == 3 else np.concatenate([local, output], axis=1)


def naive_scene(state: Mapping[str, Tensor], mel: np.ndarray) -> np.ndarray:
    """Return the maximum over time plus the mean over time: (d,)."""
    frames = naive_frames(state, mel)
    return frames.max(axis=0) + frames.mean(axis=0)


def _block(weights: Mapping[str, np.ndarray], conv: int, x: np.ndarray) -> np.ndarray:
    kernel, bias = weights[f"features.{conv}.weight"], weights[f"features.{conv}.bias"]
    norm = f"features.{conv + 1}"
    blocks = []
    for out in range(kernel.shape[0]):
        y = sum(correlate2d(plane, k, mode="same") for plane, k in zip(x, kernel[out], strict=True))
        y = y + bias[out]
        scale = weights[f"{norm}.weight"][out] / np.sqrt(
            weights[f"{norm}.running_var"][out] + BATCH_NORM_EPS
        )
        y = (y - weights[f"{norm}.running_mean"][out]) * scale + weights[f"{norm}.bias"][out]
        y = np.maximum(y, 0)
        y = y[: y.shape[0] // 2 * 2, : y.shape[1] // 2 * 2]
        blocks.append(np.maximum.reduce([y[i::2, j::2] for i in range(2) for j in range(2)]))
    return np.stack(blocks)
