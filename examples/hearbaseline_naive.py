"""The naive baseline of the HEAR challenge, from its own package, under today's librosa.

    pip install --no-deps --ignore-requires-python hearbaseline==2021.1.1
    hear-byola validate examples/hearbaseline_naive.py

hearbaseline 2021.1.1 passes the sample rate to ``librosa.filters.mel`` by position, which librosa
allows by name only since 0.10. The name ``librosa`` is replaced inside ``hearbaseline.naive``
alone; librosa itself stays as it is.
"""

from __future__ import annotations

from types import SimpleNamespace

import librosa
import numpy as np
import torch
from hearbaseline import naive
from hearbaseline.naive import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def _mel(sr: float, **options: float) -> np.ndarray:
    return librosa.filters.mel(sr=sr, **options)


naive.librosa = SimpleNamespace(filters=SimpleNamespace(mel=_mel))


def load_model(model_file_path: str = "") -> torch.nn.Module:
    """Make the baseline: a random projection (its own seed 0), or the state dict at a path."""
    # The baseline seeds the global generator: leave it as it was found.
    with torch.random.fork_rng(devices=[]):
        return naive.load_model(model_file_path).eval()
