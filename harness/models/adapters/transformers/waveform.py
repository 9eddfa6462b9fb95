"""Encoders of the raw waveform: strided convolutions, then a transformer (wav2vec 2.0 and others).

Frame k sees the samples ``hop k`` to ``hop k + window - 1``; no layer pads the audio. With the
common kernels (10, 3, 3, 3, 3, 2, 2) and strides (5, 2, 2, 2, 2, 2, 2) the hop is 320 samples and
the window 400.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from harness.models.adapters.transformers.encoder import HubEncoder
from harness.models.frames import Geometry

CONTEXT_S = 2.5
"""Seconds dropped at the inner ends of passes; the convolution of positions (128 frames of 20 ms)
sees 1.28 s to each side."""


class Waveform(HubEncoder):
    """Any model whose configuration has ``conv_kernel`` and ``conv_stride``."""

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(model, extractor)
        hop, window = strided(self.config.conv_kernel, self.config.conv_stride)
        group = int(getattr(self.config, "squeeze_factor", 1))
        self._group = group
        self.geometry = Geometry(
            hop=hop * group,
            centre=(window + (group - 1) * hop - 1) / 2,
            window=window + (group - 1) * hop,
            least=window + (group - 1) * hop,
            context=round(CONTEXT_S * self.rate / (hop * group)),
        )
        self._set_sizes(self.config.hidden_size, self.config.num_hidden_layers)

    def prepare(self, audio: Tensor) -> Tensor:
        """Normalise whole clips, if the feature extractor does so."""
        return self.extracted(audio)["input_values"].to(audio.device)

    def inputs(self, audio: Tensor) -> dict[str, Tensor]:
        """Return the prepared audio."""
        return {"input_values": self.cast(audio)}

    def output_frames(self, hidden: Tensor) -> Tensor:
        """Return the output as frames; SEW makes ``squeeze_factor`` vectors of each of its frames.

        Their mean is returned, so that the output has the frames of the layers.
        """
        if self._group == 1:
            return hidden
        whole = hidden.shape[1] // self._group * self._group
        return hidden[:, :whole].unflatten(1, (-1, self._group)).mean(2)


def strided(kernels: Any, strides: Any) -> tuple[int, int]:
    """Return the hop and the window of a stack of convolutions, in samples."""
    hop, window = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        window += (kernel - 1) * hop
        hop *= stride
    return hop, window
