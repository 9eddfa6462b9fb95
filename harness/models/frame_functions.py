"""The functions of the HEAR API for a :class:`harness.models.frames.FrameModel`.

An adapter imports them beside its own ``load_model``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.models.frames import FrameModel


def get_scene_embeddings(audio: Tensor, model: FrameModel) -> Tensor:
    """Return one embedding for each clip, float32 ``(n, size)``.

    Args:
        audio: ``(n, samples)``, mono, in [-1, 1], at the model's sample rate.
        model: result of ``load_model``.
    """
    with torch.no_grad():
        return model.scene_embeddings(audio)


def get_timestamp_embeddings(audio: Tensor, model: FrameModel) -> tuple[Tensor, Tensor]:
    """Return embeddings over time ``(n, t, size)`` and their centres ``(n, t)`` in ms."""
    with torch.no_grad():
        return model.timestamp_embeddings(audio)


def get_layer_embeddings(
    audio: Tensor, model: FrameModel, layers: Sequence[int], *, timestamps: bool = False
) -> tuple[list[Tensor], Tensor | None]:
    """Return the embeddings of layers: 0 is the input of the first block, k the output of block k.

    Returns:
        For each layer float32 ``(n, size)`` or, with ``timestamps``, ``(n, t, size)``; and the
        timestamps ``(n, t)`` in ms, or None.
    """
    with torch.no_grad():
        if timestamps:
            return model.timestamp_layers(audio, layers)
        return model.scene_layers(audio, layers), None
