"""Transformers on a log-mel spectrogram: wav2vec2-BERT, Whisper's encoder and AST.

Mel frames of the Kaldi kind (wav2vec2-BERT, AST) see 400 samples and lie 160 samples apart, at
16 kHz. The first begins at the first sample.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from harness.models.adapters.transformers.encoder import HubEncoder
from harness.models.geometry import Geometry, usual_margin

_MEL_WINDOW, _MEL_HOP = 400, 160


class Wav2Vec2Bert(HubEncoder):
    """wav2vec2-BERT: each frame is a stack of ``stride`` mel frames.

    The feature extractor normalises each mel band over the audio of a pass.
    """

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(model, extractor)
        stack = self.setting("stride")
        bands = self.setting("num_mel_bins")
        self.check_extractor(
            "values a frame", bands * stack, self.config.feature_projection_input_dim
        )
        window = _MEL_WINDOW + (stack - 1) * _MEL_HOP
        self.geometry = Geometry(
            hop=stack * _MEL_HOP,
            centre=window / 2,
            window=window,
            min_samples=window,
            margin_frames=usual_margin(self.rate, stack * _MEL_HOP),
        )
        self._set_sizes(self.config.hidden_size, self.config.num_hidden_layers)


class WhisperEncoder(HubEncoder):
    """Whisper's encoder, whose input is always 30 s: shorter audio is padded with silence.

    Mel frame j is centred at sample ``hop_length j``. The second convolution keeps every other
    frame, so that output k is centred at mel frame 2k.
    """

    loader = "WhisperModel"

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(model.get_encoder(), extractor)
        config, hop = self.config, 2 * self.setting("hop_length")
        samples = self.setting("n_samples")
        self.check_extractor("mel bands", self.setting("feature_size"), config.num_mel_bins)
        self.check_extractor("mel frames", samples // (hop // 2), 2 * config.max_source_positions)
        self.geometry = Geometry(
            hop=hop,
            centre=0,
            window=1,
            max_samples=samples,
            margin_frames=usual_margin(self.rate, hop),
        )
        self._set_sizes(config.d_model, config.encoder_layers)


class WhisperEncoderAlone(WhisperEncoder):
    """Whisper's encoder, saved without the decoder."""

    loader = "models.whisper.modeling_whisper.WhisperEncoder"


class AudioSpectrogramTransformer(HubEncoder):
    """AST: patches of mel bands and mel frames; shorter audio is padded to ``max_length`` frames.

    A frame is the mean over the patches of one time. The first two tokens are no patches. The
    pooled output is the mean of these two.
    """

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(model, extractor)
        config, mel_frames = self.config, self.setting("max_length")
        self.check_extractor("mel frames", mel_frames, config.max_length)
        self.check_extractor("mel bands", self.setting("num_mel_bins"), config.num_mel_bins)
        patch, stride = config.patch_size, config.time_stride
        window = _MEL_WINDOW + (patch - 1) * _MEL_HOP
        self._bands = (config.num_mel_bins - patch) // config.frequency_stride + 1
        self.geometry = Geometry(
            hop=stride * _MEL_HOP,
            centre=window / 2,
            window=window,
            min_samples=_MEL_WINDOW,
            max_samples=_MEL_WINDOW + (mel_frames - 1) * _MEL_HOP,
            margin_frames=10,
        )
        self._set_sizes(config.hidden_size, config.num_hidden_layers)
        self.pooled_size = self.size

    def time_frames(self, hidden: Tensor) -> Tensor:
        """Return the mean over mel bands."""
        return hidden[:, 2:].unflatten(1, (self._bands, -1)).mean(1)
