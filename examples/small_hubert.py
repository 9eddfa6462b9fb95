"""A worked example: an encoder of torchaudio as a HEAR-API module.

The encoder has the shape of HuBERT (arXiv 2106.07447), smaller, with random weights unless a
checkpoint is given. Replace ``_encoder`` and the three constants below it by those of your own
encoder; what follows them is what the HEAR API asks for, and where modules often go wrong.

    hear-byola validate examples/small_hubert.py
    hear-byola run -m examples/small_hubert.py -m harness.baselines.logmel --suite demo
"""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F


def _encoder() -> nn.Module:
    return torchaudio.models.wav2vec2_model(
        extractor_mode="group_norm",
        # Channels, kernel and stride of each convolution; HuBERT has 512 channels.
        extractor_conv_layer_config=[(128, 10, 5), *[(128, 3, 2)] * 4, *[(128, 2, 2)] * 2],
        extractor_conv_bias=False,
        encoder_embed_dim=192,
        encoder_projection_dropout=0.1,
        encoder_pos_conv_kernel=128,
        encoder_pos_conv_groups=16,
        encoder_num_layers=4,
        encoder_num_heads=4,
        encoder_attention_dropout=0.1,
        encoder_ff_interm_features=768,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.1,
        encoder_layer_norm_first=False,
        encoder_layer_drop=0.0,
        aux_num_out=None,
    )


# In samples: what one output frame of these convolutions looks at, and how far apart frames are.
WINDOW = 400
HOP = 320
# Attention costs the square of the length: 20 minutes in one piece would take 200 GB. Each piece
# of 10 s is encoded alone.
FRAMES_PER_PIECE = 500


class SmallHubert(nn.Module):
    """The encoder with HEAR's attributes.

    Attributes:
        sample_rate: of the audio it wants, in Hz. The caller resamples, never the module.
        scene_embedding_size, timestamp_embedding_size: plain ints.
    """

    sample_rate = 16000
    scene_embedding_size = 192
    timestamp_embedding_size = 192

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _encoder()

    def forward(self, audio: Tensor) -> Tensor:
        """Encode ``(n_sounds, n_samples)`` as ``(n_sounds, n_frames, 192)``.

        Frame k looks at the samples from ``HOP * k - margin`` on, so that its centre is the middle
        of the k-th stretch of HOP samples. A last stretch that is less than half there gets no
        frame: its centre would lie past the end.
        """
        n_frames = max(1, round(audio.shape[1] / HOP))
        margin = (WINDOW - HOP) // 2
        needed = HOP * (n_frames - 1) + WINDOW
        padded = F.pad(audio, (margin, needed - margin - audio.shape[1]))
        pieces = []
        for first in range(0, n_frames, FRAMES_PER_PIECE):
            last = min(first + FRAMES_PER_PIECE, n_frames) - 1
            frames, _ = self.encoder(padded[:, HOP * first : HOP * last + WINDOW])
            pieces.append(frames)
        return torch.cat(pieces, dim=1)


def load_model(model_file_path: str = "", seed: int = 0) -> SmallHubert:
    """Make the model; without a path, which the HEAR API must allow, with random weights.

    Args:
        model_file_path: a state dict written by ``torch.save``.
        seed: of the random weights. Any keyword of ``load_model`` is an option on the command
            line, here ``-m examples/small_hubert.py,seed=1``.
    """
    # The layers draw their weights from the global generator: leave it as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = SmallHubert()
    if model_file_path:
        model.load_state_dict(torch.load(model_file_path, map_location="cpu", weights_only=True))
    return model.eval()


def get_timestamp_embeddings(audio: Tensor, model: SmallHubert) -> tuple[Tensor, Tensor]:
    """One embedding for each 20 ms.

    Args:
        audio: ``(n_sounds, n_samples)``, mono, in [-1, 1], at 16 kHz, on the model's device.
        model: what :func:`load_model` returned.

    Returns:
        float32 ``(n_sounds, n_timestamps, 192)`` and, in ms, the centre of the window that each
        describes, float32 ``(n_sounds, n_timestamps)``.
    """
    with torch.no_grad():
        embeddings = model(audio)
    # From the frame's number, in double precision: adding up a hop would add up its rounding.
    frames = torch.arange(embeddings.shape[1], dtype=torch.float64)
    centres = 1000.0 * (HOP * frames + (HOP - 1) / 2) / model.sample_rate
    return embeddings, centres.float().to(audio.device).repeat(len(audio), 1)


def get_scene_embeddings(audio: Tensor, model: SmallHubert) -> Tensor:
    """One embedding for each clip, the mean over time: float32 ``(n_sounds, 192)``."""
    embeddings, _ = get_timestamp_embeddings(audio, model)
    return embeddings.mean(dim=1)
