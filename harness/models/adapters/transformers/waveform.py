"""Encoders of the raw waveform: strided convolutions, then a transformer (wav2vec 2.0 and others).

Frame k sees the samples ``hop k`` to ``hop k + window - 1``; no layer pads the audio. With the
common kernels (10, 3, 3, 3, 3, 2, 2) and strides (5, 2, 2, 2, 2, 2, 2) the hop is 320 samples and
the window 400.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.models.adapters.transformers.encoder import HubEncoder
from harness.models.geometry import Geometry, strided, usual_margin


class Waveform(HubEncoder):
    """Any model whose configuration has ``conv_kernel`` and ``conv_stride``."""

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(model, extractor)
        self._check_waveform()
        hop, window = strided(zip(self.config.conv_kernel, self.config.conv_stride, strict=True))
        group = int(getattr(self.config, "squeeze_factor", 1))
        self._group = group
        self.geometry = Geometry(
            hop=hop * group,
            centre=(window + (group - 1) * hop - 1) / 2,
            window=window + (group - 1) * hop,
            min_samples=window + (group - 1) * hop,
            margin_frames=usual_margin(self.rate, hop * group),
        )
        self._set_sizes(self.config.hidden_size, self.config.num_hidden_layers)

    def prepare(self, audio: Tensor) -> Tensor:
        """Normalise whole clips, if the feature extractor does so."""
        return self.extracted(audio)["input_values"].to(audio.device)

    def _check_waveform(self) -> None:
        """Refuse a feature extractor that makes something else than a waveform of audio."""
        audio = torch.zeros(1, self.rate)
        made = self.extracted(audio).get("input_values")
        if made is None or made.shape != audio.shape:
            raise self.foreign_extractor()

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
