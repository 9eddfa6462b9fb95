"""CLAP's audio tower: a Swin transformer on the log-mel spectrogram of 10 s.

Mel frame j is centred at sample ``hop_length j``. The spectrogram is stretched to
``spec_size² / num_mel_bins`` rows, row r at mel frame ``r (mel frames - 1) / (rows - 1)``. After
the last stage, a frame is the mean over ``patch_stride 2^(stages - 1)`` rows (32, or 313 ms).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.models.adapters.transformers.encoder import HubEncoder
from harness.models.geometry import Geometry


class ClapTower(HubEncoder):
    """The audio tower of a CLAP model, saved without the projection.

    The feature extractor repeats shorter audio. Frames after the first repetition are not used.
    Fusion models get 10 s at a time, so that they have nothing to fuse.
    """

    loader = "ClapAudioModel"

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(model, extractor)
        config = self.config
        self._ratio = config.spec_size // config.num_mel_bins
        rows = config.spec_size * self._ratio
        merged = int(config.patch_stride[1]) * 2 ** (len(config.depths) - 1)
        self._frames = rows // merged
        most, hop = self.setting("nb_max_samples"), self.setting("hop_length")
        mel_frames = most // hop + 1
        self.check_extractor("mel bands", self.setting("feature_size"), config.num_mel_bins)
        if mel_frames > rows:  # shorter spectrograms are stretched
            self.check_extractor("mel frames", mel_frames, rows)
        spectrograms = 4 if extractor.truncation == "fusion" else 1
        self.check_extractor("spectrograms a clip", spectrograms, 4 if config.enable_fusion else 1)
        row = (mel_frames - 1) / (rows - 1) * hop
        centre = (merged - 1) / 2 * row
        self.geometry = Geometry(
            hop=merged * row, centre=centre, window=centre + 1, max_samples=most, margin_frames=3
        )
        widths = [config.patch_embeds_hidden_size * 2**i for i in range(len(config.depths))]
        self.size = widths[-1]
        self.sizes = (*widths, widths[-1])
        self.pooled_size = self.size

    def extracted(self, audio: Tensor, **options: object) -> Mapping[str, Tensor]:
        """Return the spectrograms; none of a pass is longer than the model's input."""
        # For fusion models, the extractor marks a random clip as longer.
        state = np.random.get_state()  # noqa: NPY002 (the one that the extractor draws from)
        try:
            features = super().extracted(audio, **options)
        finally:
            np.random.set_state(state)  # noqa: NPY002
        return {**features, "is_longer": torch.zeros(len(audio), 1, dtype=torch.bool)}

    def time_frames(self, hidden: Tensor) -> Tensor:
        """Return the mean over mel bands of an image whose rows are the quarters of the audio."""
        quarters = hidden.unflatten(2, (self._ratio, -1)).mean(3)
        return self.output_frames(quarters.flatten(2)[:, :, None])

    def output_frames(self, hidden: Tensor) -> Tensor:
        """Return the mean over mel bands, at the times of the last stage."""
        frames = hidden.mean(2)
        return frames.unflatten(2, (self._frames, -1)).mean(3).transpose(1, 2)


class ClapAudio(ClapTower):
    """The audio tower with its projection; the pooled output is the projected embedding."""

    loader = "ClapAudioModelWithProjection"

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(model, extractor)
        self.pooled_size = self.config.projection_dim

    def pooled(self, audio: Tensor) -> Tensor:
        """Return the projected embedding."""
        return self.run(self.inputs(audio)).audio_embeds.float()
