"""Audio encoders of Hugging Face transformers as a HEAR module: ``-m transformers=NAME_OR_FOLDER``.

The model and its feature extractor come from a folder (``save_pretrained``) or from the hub, whose
cache is used. With the environment variable ``HF_HUB_OFFLINE=1`` nothing is downloaded.
"""

from __future__ import annotations

from harness.models.adapters.transformers.loading import load_encoder
from harness.models.frame_functions import (
    get_layer_embeddings,
    get_scene_embeddings,
    get_timestamp_embeddings,
)
from harness.models.frames import CHUNK_LENGTH_S, HOP_MS, FrameModel

__all__ = [
    "get_layer_embeddings",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]

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
        UserError: there is no such model, or it is of no supported kind; it needs code of its own,
            or lacks weights or a feature extractor that fits.
        ValueError: an option has a value that is not allowed.
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
