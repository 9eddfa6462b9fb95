"""Write small HEAR-API modules into a folder, as a user would."""

from __future__ import annotations

from pathlib import Path

SOURCE = """
import torch


class Toy(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 3
    timestamp_embedding_size = 2

    def __init__(self, scale):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(float(scale)))
        self.dropout = torch.nn.Dropout(0.5)


def load_model(model_file_path="", scale=1.0):
    if model_file_path:
        scale = float(open(model_file_path).read())
    return Toy(scale)


def get_scene_embeddings(audio, model):
    length = torch.full((len(audio),), audio.shape[1] / 16000, device=audio.device)
    values = torch.stack([audio.abs().mean(1), audio.std(1), length], 1)
    return model.dropout(values * model.scale)


def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, 800, 800)
    times = (torch.arange(frames.shape[1]) * 50.0 + 25.0).expand(len(audio), -1)
    return torch.stack([frames.abs().mean(2), frames.std(2)], 2) * model.scale, times
"""


def write_module(folder: Path, name: str, more: str = "", source: str = SOURCE) -> Path:
    """Write a toy module; the definitions in ``more`` replace its own."""
    path = folder / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source + more)
    return path
