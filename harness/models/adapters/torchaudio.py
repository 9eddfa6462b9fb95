"""The wav2vec 2.0 pipelines of torchaudio as a HEAR module: ``-m torchaudio=WAV2VEC2_BASE``.

These are wav2vec 2.0, XLSR, HuBERT, WavLM, and their versions that were fine-tuned for speech
recognition, of which the encoder is used. Weights come through the cache of ``torch.hub``
(``TORCH_HOME``), or from a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F

from harness.models.frame_functions import (
    get_layer_embeddings,
    get_scene_embeddings,
    get_timestamp_embeddings,
)
from harness.models.frames import CHUNK_LENGTH_S, HOP_MS, FrameEncoder, FrameModel
from harness.models.geometry import Geometry, strided, usual_margin
from hear_byola.core.errors import UserError, did_you_mean

__all__ = [
    "get_layer_embeddings",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]

CHECKPOINT_IS_NAMED = True
"""The first argument of ``load_model`` is the name of a pipeline, and is always needed."""

CHECKPOINT_OPTION = "weights"
"""The option of ``load_model`` whose value is a file of weights, which replaces the checkpoint."""


class PipelineEncoder(FrameEncoder):
    """A ``Wav2Vec2Model`` of torchaudio.

    Layer 0 is the input of the first block of the transformer, layer k the output of block k.

    Args:
        model: the model, in eval mode.
        rate: sample rate in Hz.
        normalise: scale each clip to zero mean and unit variance, as the pipeline does.
    """

    def __init__(self, model: Any, rate: int, normalise: bool) -> None:
        super().__init__()
        self.model = model
        self.rate = rate
        self._normalise = normalise
        convolutions = [block.conv for block in model.feature_extractor.conv_layers]
        hop, window = strided((each.kernel_size[0], each.stride[0]) for each in convolutions)
        self.geometry = Geometry(
            hop=hop,
            centre=(window - 1) / 2,
            window=window,
            min_samples=window,
            margin_frames=usual_margin(rate, hop),
        )
        self.size = model.encoder.feature_projection.projection.out_features
        self.sizes = (self.size,) * (len(model.encoder.transformer.layers) + 1)

    def prepare(self, audio: Tensor) -> Tensor:
        """Normalise each clip, if the pipeline does so."""
        return F.layer_norm(audio, audio.shape[1:]) if self._normalise else audio

    def frames(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """See :meth:`FrameEncoder.frames`."""
        audio = audio.to(next(self.model.parameters()).dtype)
        features, _ = self.model.feature_extractor(audio, None)
        projected = self.model.encoder.feature_projection(features)
        transformer = self.model.encoder.transformer
        if layers is None:
            # This ends with a layer normalisation in models that normalise before each block.
            return [transformer(projected).float()]
        first = [transformer._preprocess(projected)] if 0 in layers else [None]
        hidden = [*first, *transformer.get_intermediate_outputs(projected)]
        return [hidden[layer].float() for layer in layers]


def load_model(
    model_file_path: str = "",
    *,
    weights: str = "",
    precision: str = "float32",
    hop_ms: float = HOP_MS,
    chunk_length_s: float = CHUNK_LENGTH_S,
) -> FrameModel:
    """Load a pipeline.

    Args:
        model_file_path: name of a pipeline in ``torchaudio.pipelines``.
        weights: a state dict of the pipeline's model, written by ``torch.save``. Default: the
            pipeline's own weights, from the cache of ``torch.hub`` or downloaded.
        precision: ``"float32"``, ``"bf16"`` or ``"fp16"``; embeddings are float32 in any case.
        hop_ms: largest distance of timestamps.
        chunk_length_s: longer audio is encoded in chunks of this length, which overlap.

    Returns:
        The model on the CPU, in eval mode.

    Raises:
        UserError: there is no such pipeline, it is no encoder, or its weights cannot be found, read
            or used.
        ValueError: an option has a value that is not allowed.
    """
    bundle = _bundle(model_file_path)
    with torch.random.fork_rng(devices=[]):
        model, revision = _model(bundle, model_file_path, weights)
    model.aux = None  # the layer of letters of a model for speech recognition
    model.requires_grad_(False)
    encoder = PipelineEncoder(model, int(bundle.sample_rate), bool(bundle._normalize_waveform))
    return FrameModel(
        encoder,
        precision=precision,
        hop_ms=hop_ms,
        chunk_length_s=chunk_length_s,
        checkpoint_revision=revision,
    ).eval()


def _bundle(name: str) -> Any:
    pipelines = torchaudio.pipelines
    known = {
        each: bundle
        for each in dir(pipelines)
        if isinstance(bundle := getattr(pipelines, each), pipelines.Wav2Vec2Bundle)
    }
    if name in known:
        return known[name]
    if not name:
        raise UserError("name a pipeline, for example -m torchaudio=WAV2VEC2_BASE.")
    if hasattr(pipelines, name):
        raise UserError(
            f"the pipeline {name} is not an encoder. The encoders are {', '.join(known)}."
        )
    raise UserError(
        f"torchaudio.pipelines has no '{name}'.{did_you_mean(name, known)} The encoders are "
        f"{', '.join(known)}."
    )


def _model(bundle: Any, name: str, weights: str) -> tuple[Any, str]:
    """Return the model of a pipeline with its weights, and the name of their file."""
    if not weights:
        try:
            model = bundle.get_model(dl_kwargs={"progress": False})
        except (OSError, RuntimeError) as error:
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise UserError(
                f"the weights of {name} cannot be downloaded or read ({error}). Put the file "
                f"{Path(bundle._path).name} into {folder}, or give weights=FILE."
            ) from error
        return getattr(model, "model", model), bundle._path
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # other bytes can raise anything in PyTorch's reader
        raise UserError(f"weights={weights} is no readable state dict: {error}") from error
    kinds = {"Wav2Vec2": torchaudio.models.wav2vec2_model, "WavLM": torchaudio.models.wavlm_model}
    model = kinds[bundle._model_type](**bundle._params)
    lacking = model.load_state_dict(state, strict=False).missing_keys
    if lacking := [key for key in lacking if not key.startswith("aux.")]:
        raise UserError(
            f"weights={weights} does not contain all weights of {name}: {lacking[0]} and "
            f"{len(lacking) - 1} more are missing."
        )
    return model, ""
