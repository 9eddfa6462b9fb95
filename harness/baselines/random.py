"""Baseline: BYOL-A's encoder with random weights, from a fixed seed.

It shows how much of a score is due to the front end and the architecture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hear_byola
from hear_byola import get_scene_embeddings, get_timestamp_embeddings

if TYPE_CHECKING:
    from torch import nn

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(
    model_file_path: str = "",
    *,
    seed: int = 1,
    encoder: str | int = "2020",
    d: int | None = None,
    hop_ms: float | None = None,
) -> nn.Module:
    """Make the untrained encoder.

    Args:
        model_file_path: must be empty; the baseline has no checkpoint.
        seed: of the weights, which are the same on every machine.
        encoder, d, hop_ms: as for :func:`hear_byola.load_model`.

    Raises:
        ValueError: a checkpoint is given, or an option has a value that is not allowed.
    """
    if model_file_path:
        raise ValueError("the baseline 'random' has no checkpoint: give hear_byola=FILE instead.")
    return hear_byola.load_model(seed=seed, encoder=encoder, d=d, hop_ms=hop_ms)
