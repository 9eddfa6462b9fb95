"""Basic Pitch, a transcriber of music, as a HEAR module: which notes it hears in each frame.

    pip install --no-deps basic-pitch==0.4.0      # Apache-2.0; the weights are in the package
    pip install onnxruntime
    hear-byola validate examples/basic_pitch_notes.py

A frame has 440 values between 0 and 1 (arXiv 2203.09893): the 88 notes of a piano that sound, the
88 that begin, and the pitch in thirds of a semitone (264). Frames are 11.6 ms apart; four of them
are averaged.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.encoders import (
    HOP_MS,
    FrameEncoder,
    FrameModel,
    Geometry,
    get_scene_embeddings,
    get_timestamp_embeddings,
)

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

RATE = 22050
PIECE = 43844  # samples that the network takes: 2 s less one frame
FRAME = 256  # samples between two frames; the first is centred at sample 0
AVERAGED = 4
BEHIND = 445  # samples: a note sounds after it begins; `hear-byola validate` finds 20.2 ms


class BasicPitch(FrameEncoder):
    """The network in onnxruntime, on the CPU."""

    rate = RATE
    size = 88 + 88 + 264
    geometry = Geometry(
        hop=AVERAGED * FRAME,
        centre=(AVERAGED - 1) * FRAME / 2 - BEHIND,
        leading_frames=1,
        window=(AVERAGED - 1) * FRAME + 1,
        max_samples=PIECE,
        margin_frames=4,  # 0.19 s; the package drops 0.17 s
    )

    def __init__(self, weights: str) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )

    def frames(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """Return the averages of four frames."""
        padded = F.pad(audio, (0, PIECE - audio.shape[1])).unsqueeze(2)
        name = self.session.get_inputs()[0].name
        outputs = self.session.run(None, {name: padded.cpu().numpy()})
        values = torch.cat([torch.from_numpy(output) for output in outputs], 2)
        return [values.unflatten(1, (-1, AVERAGED)).mean(2).to(audio.device)]


def load_model(model_file_path: str = "", hop_ms: float = HOP_MS) -> nn.Module:
    """Load Basic Pitch.

    Args:
        model_file_path: the network as an ONNX file; default: the one in the package.
        hop_ms: largest distance of timestamps.
    """
    weights = model_file_path
    if not weights:
        found = importlib.util.find_spec("basic_pitch")  # importing it would need TensorFlow
        if found is None or found.origin is None:
            raise ImportError("pip install --no-deps basic-pitch==0.4.0")
        weights = str(Path(found.origin).parent / "saved_models/icassp_2022/nmp.onnx")
    return FrameModel(BasicPitch(weights), hop_ms=hop_ms).eval()
