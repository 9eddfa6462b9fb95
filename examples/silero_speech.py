"""Silero VAD, a detector of speech, as a HEAR module: the state of its recurrent layer.

    pip install --no-deps silero-vad==6.2.3      # MIT; the weights are in the package
    pip install onnxruntime
    hear-byola validate examples/silero_speech.py

A frame is the 128 values of the LSTM's output after each 32 ms, from which the package computes
the probability of speech. The state depends on all audio before the frame: audio is encoded from
its beginning, and a chunk of long audio from 1 s before its first frame.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from harness.encoders import (
    HOP_MS,
    FrameEncoder,
    FrameModel,
    Geometry,
    get_scene_embeddings,
    get_timestamp_embeddings,
)

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

HOP, BEFORE = 512, 64  # samples of a frame, and of audio before it that the network sees
BEHIND = 232  # samples: `hear-byola validate` finds that the state answers to a click 14.5 ms late


class SileroVad(FrameEncoder):
    """The network for 16 kHz in onnxruntime, on the CPU."""

    rate = 16000
    size = 128
    geometry = Geometry(
        hop=HOP,
        centre=BEFORE + (HOP - 1) / 2 - BEHIND,
        window=BEFORE + HOP,
        min_samples=BEFORE + HOP,
        margin_frames=32,
    )

    def __init__(self, weights: str) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )

    def frames(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """Return the LSTM's output for each 32 ms."""
        state = np.zeros((2, len(audio), self.size), np.float32)
        rate = np.array(self.rate, np.int64)
        outputs = []
        for frame in audio.cpu().unfold(1, BEFORE + HOP, HOP).unbind(1):
            given = {"input": frame.contiguous().numpy(), "state": state, "sr": rate}
            _, state = self.session.run(["output", "stateN"], given)
            outputs.append(torch.from_numpy(state[0]))
        return [torch.stack(outputs, 1).to(audio.device)]


def load_model(model_file_path: str = "", hop_ms: float = HOP_MS) -> nn.Module:
    """Load Silero VAD.

    Args:
        model_file_path: the network as an ONNX file; default: the one in the package.
        hop_ms: largest distance of timestamps.
    """
    weights = model_file_path
    if not weights:
        found = importlib.util.find_spec("silero_vad")  # importing it would set torch's threads
        if found is None or found.origin is None:
            raise ImportError("pip install --no-deps silero-vad==6.2.3")
        weights = str(Path(found.origin).parent / "data/silero_vad.onnx")
    return FrameModel(SileroVad(weights), hop_ms=hop_ms).eval()
