"""The kinds of models of Hugging Face transformers that are supported, by their ``model_type``."""

from __future__ import annotations

from typing import Any

from harness.core.errors import UserError
from harness.models.adapters.transformers.clap import ClapAudio, ClapTower
from harness.models.adapters.transformers.encodec import EncodecEncoder
from harness.models.adapters.transformers.encoder import HubEncoder
from harness.models.adapters.transformers.spectrogram import (
    AudioSpectrogramTransformer,
    Wav2Vec2Bert,
    WhisperEncoder,
    WhisperEncoderAlone,
)
from harness.models.adapters.transformers.waveform import Waveform

KINDS: dict[str, type[HubEncoder]] = {
    "wav2vec2": Waveform,
    "hubert": Waveform,
    "wavlm": Waveform,
    "unispeech": Waveform,
    "unispeech-sat": Waveform,
    "data2vec-audio": Waveform,
    "sew": Waveform,
    "sew-d": Waveform,
    "wav2vec2-conformer": Waveform,
    "wav2vec2-bert": Wav2Vec2Bert,
    "whisper": WhisperEncoder,
    "audio-spectrogram-transformer": AudioSpectrogramTransformer,
    "clap": ClapAudio,
    "clap_audio_model": ClapAudio,
    "encodec": EncodecEncoder,
}

ALONE: dict[str, type[HubEncoder]] = {
    "ClapAudioModel": ClapTower,
    "WhisperEncoder": WhisperEncoderAlone,
}
"""The kinds of encoders that were saved without the rest of their model, by the class that was
saved (``architectures``). Their weights have other names."""


def is_own_code(part: object) -> bool:
    """Return whether the class of a configuration or model is no class of transformers."""
    return type(part).__module__.partition(".")[0] != "transformers"


def kind_of(config: Any) -> type[HubEncoder]:
    """Return the kind of a model with this configuration.

    A model with code of its own, which only ``trust_remote_code`` loads, is a :class:`Waveform` if
    its configuration has the fields of one.

    Raises:
        UserError: the model is of no kind that is supported.
    """
    saved = next(iter(config.architectures or ()), "")
    kind = ALONE.get(saved) or KINDS.get(config.model_type)
    if kind is not None:
        return kind
    if is_own_code(config) and hasattr(config, "conv_kernel") and hasattr(config, "conv_stride"):
        return Waveform
    raise UserError(
        f"a model of the type '{config.model_type}' is not supported. Types that are: "
        f"{', '.join(KINDS)}, and own code (trust_remote_code=true) whose configuration has "
        "conv_kernel and conv_stride."
    )
