"""Audio encoders of Hugging Face transformers as a HEAR module: ``-m transformers=NAME_OR_FOLDER``.

The model and its feature extractor come from a folder (``save_pretrained``) or from the hub, whose
cache is used. With the environment variable ``HF_HUB_OFFLINE=1`` nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.models.adapters.transformers.loading import load_encoder
from harness.models.frames import CHUNK_LENGTH_S, HOP_MS, FrameModel

CHECKPOINT_IS_NAMED = True
"""The first argument of ``load_model`` is a name or a folder, and is always needed."""


def load_model(
    model_file_path: str = "",
    *,
    revision: str | None = None,
    pooling: str = "mean",
    precision: str = "float32",
    hop_ms: float = HOP_MS,
    chunk_length_s: float = CHUNK_LENGTH_S,
    trust_remote_code: bool = False,
) -> FrameModel:
    """Load a model and its feature extractor.

    Args:
        model_file_path: a name on the hub, such as ``facebook/wav2vec2-base``, or a folder.
        revision: branch, tag or commit on the hub. Default: the main branch.
        pooling: of scene embeddings: ``"mean"`` over the frames that are not padding, or
            ``"model"``, the model's own pooled output (AST, CLAP).
        precision: ``"float32"``, ``"bf16"`` or ``"fp16"``; embeddings are float32 in any case.
        hop_ms: largest distance of timestamps. A model with coarser frames is run several times on
            shifted audio.
        chunk_length_s: longer audio is encoded in chunks of this length, which overlap. Models with
            an input of fixed length use shorter chunks.
        trust_remote_code: run code that comes with the model.

    Returns:
        The model on the CPU, in eval mode.

    Raises:
        ImportError: transformers is not installed.
        ValueError: there is no such model; it is of no supported kind; it needs code of its own,
            or lacks weights or a feature extractor; an option has a value that is not allowed.
    """
    encoder, commit = load_encoder(model_file_path, revision, trust_remote_code)
    model = FrameModel(
        encoder,
        pooling=pooling,
        hop_ms=hop_ms,
        chunk_length_s=chunk_length_s,
        precision=precision,
        checkpoint_revision=commit,
    )
    return model.eval()


def get_scene_embeddings(audio: Tensor, model: FrameModel) -> Tensor:
    """Return one embedding for each clip; see :mod:`harness.models.frames`."""
    with torch.no_grad():
        return model.scene_embeddings(audio)


def get_timestamp_embeddings(audio: Tensor, model: FrameModel) -> tuple[Tensor, Tensor]:
    """Return embeddings over time and their centres in ms; see :mod:`harness.models.frames`."""
    with torch.no_grad():
        return model.timestamp_embeddings(audio)


def get_layer_embeddings(
    audio: Tensor, model: FrameModel, layers: Sequence[int], timestamps: bool
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
