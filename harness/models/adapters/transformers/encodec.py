"""EnCodec's encoder: convolutions and an LSTM on the raw waveform, without quantisation."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from harness.models.adapters.transformers.encoder import HubEncoder
from harness.models.geometry import Geometry


class EncodecEncoder(HubEncoder):
    """The continuous output of the encoder; it has one layer.

    The receptive field of a causal model ends with the frame's hop and reaches back from there. Its
    first frames are therefore centred before the beginning of the audio. For a model of stereo
    audio, mono audio is in both channels. A model that encodes chunks gets such chunks.
    """

    loader = "EncodecModel"

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(model, extractor)
        self.check_extractor("samples a second", self.rate, self.config.sampling_rate)
        hop, centre = self._receptive_field()
        leading = max(0, math.ceil(-centre / hop))
        chunk = self.config.chunk_length
        self.geometry = Geometry(
            hop=hop,
            centre=centre,
            window=1,
            max_samples=chunk,
            margin_frames=0 if chunk else round(self.rate / hop),
            leading_frames=leading,
        )
        self.size = self.config.hidden_size

    def frames(self, audio: Tensor, layers: Any) -> list[Tensor]:
        """See :meth:`FrameEncoder.frames`."""
        audio = self.cast(audio)
        if self.config.normalize:
            audio = audio / (audio.square().mean(1, keepdim=True).sqrt() + 1e-8)
        stereo = audio[:, None].repeat(1, self.config.audio_channels, 1)
        return [self.model.encoder(stereo).transpose(1, 2).float()]

    def _receptive_field(self) -> tuple[int, float]:
        """Return the hop and the centre of the first frame's receptive field, in samples."""
        # Shortcuts are pointwise, which changes neither number.
        hop, centre = 1, 0.0
        for layer in self.model.encoder.modules():
            if type(layer).__name__ != "EncodecConv1d":
                continue
            conv = layer.conv
            (kernel,), (stride,), (dilation,) = conv.kernel_size, conv.stride, conv.dilation
            reach = (kernel - 1) * dilation + 1
            padding = reach - stride
            before = padding if layer.causal else padding - padding // 2
            centre += ((reach - 1) / 2 - before) * hop
            hop *= stride
        return hop, centre
