"""Tiny models of Hugging Face transformers with random weights, saved as a user saves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

_SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 32,
}
_WAVE = {
    **_SIZES,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_WAVE_EXTRACTOR = hf.Wav2Vec2FeatureExtractor


def _wave(config: Any, model: Any, **options: Any) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        return model(config(**{**_WAVE, **options})), _WAVE_EXTRACTOR(do_normalize=True)

    return make


def _whisper() -> tuple[Any, Any]:
    config = hf.WhisperConfig(
        d_model=24, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=32,
        decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=32, vocab_size=50,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return hf.WhisperForConditionalGeneration(config), hf.WhisperFeatureExtractor()


def _ast() -> tuple[Any, Any]:
    return hf.ASTForAudioClassification(hf.ASTConfig(**_SIZES)), hf.ASTFeatureExtractor()


def _clap(fused: bool) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        audio = {
            "patch_embeds_hidden_size": 8, "depths": [1, 1, 1, 1], "hidden_size": 64,
            "num_attention_heads": [1, 1, 2, 2], "projection_dim": 12, "enable_fusion": fused,
        }  # fmt: skip
        text = {**_SIZES, "vocab_size": 50, "projection_dim": 12}
        config = hf.ClapConfig(audio_config=audio, text_config=text, projection_dim=12)
        truncation = "fusion" if fused else "rand_trunc"
        return hf.ClapModel(config), hf.ClapFeatureExtractor(truncation=truncation)

    return make


def _alone(
    make: Callable[[], tuple[Any, Any]], encoder: Callable[[Any], Any]
) -> Callable[[], tuple[Any, Any]]:
    """Return a maker of the encoder alone of a model."""

    def make_alone() -> tuple[Any, Any]:
        model, extractor = make()
        return encoder(model), extractor

    return make_alone


def _encodec(stereo: bool) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        options: dict[str, Any] = {"num_filters": 4, "hidden_size": 16, "codebook_dim": 16}
        rate, channels = 24000, 1
        if stereo:
            rate, channels = 48000, 2
            options |= {
                "audio_channels": 2, "sampling_rate": rate, "normalize": True,
                "use_causal_conv": False, "norm_type": "time_group_norm",
                "chunk_length_s": 1.0, "overlap": 0.01,
            }  # fmt: skip
        config = hf.EncodecConfig(codebook_size=8, **options)
        extractor = hf.EncodecFeatureExtractor(feature_size=channels, sampling_rate=rate)
        return hf.EncodecModel(config), extractor

    return make


def _bert() -> tuple[Any, Any]:
    config = hf.Wav2Vec2BertConfig(**_SIZES)
    return hf.Wav2Vec2BertModel(config), hf.SeamlessM4TFeatureExtractor()


TINY: dict[str, Callable[[], tuple[Any, Any]]] = {
    "wav2vec2": _wave(hf.Wav2Vec2Config, hf.Wav2Vec2Model),
    "wav2vec2-large": _wave(
        hf.Wav2Vec2Config, hf.Wav2Vec2Model, do_stable_layer_norm=True, feat_extract_norm="layer"
    ),
    "wav2vec2-ctc": _wave(hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC, add_adapter=True),
    "hubert": _wave(hf.HubertConfig, hf.HubertModel),
    "wavlm": _wave(hf.WavLMConfig, hf.WavLMModel),
    "unispeech": _wave(hf.UniSpeechConfig, hf.UniSpeechModel),
    "unispeech-sat": _wave(hf.UniSpeechSatConfig, hf.UniSpeechSatModel),
    "data2vec-audio": _wave(hf.Data2VecAudioConfig, hf.Data2VecAudioModel),
    "sew": _wave(hf.SEWConfig, hf.SEWModel, conv_dim=(16,) * 13),
    "sew-d": _wave(hf.SEWDConfig, hf.SEWDModel, conv_dim=(16,) * 13),
    "wav2vec2-conformer": _wave(hf.Wav2Vec2ConformerConfig, hf.Wav2Vec2ConformerModel),
    "wav2vec2-bert": _bert,
    "whisper": _whisper,
    "whisper-encoder": _alone(_whisper, lambda model: model.get_encoder()),
    "ast": _ast,
    "clap": _clap(fused=False),
    "clap-fused": _clap(fused=True),
    "clap-tower": _alone(_clap(fused=False), lambda model: model.audio_model),
    "encodec": _encodec(stereo=False),
    "encodec-stereo": _encodec(stereo=True),
}


def save_tiny(name: str, folder: Path) -> Path:
    """Save the model of that name in ``TINY`` and its feature extractor; return the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, extractor = TINY[name]()
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder
