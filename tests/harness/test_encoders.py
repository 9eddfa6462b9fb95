"""Modules of users make HEAR modules of frame encoders by public names alone."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from harness.models.loading import load_module
from harness.models.spec import parse_model

EXAMPLES = Path(__file__).parents[2] / "examples"

LOUDNESS = '''
from harness.encoders import (
    FrameEncoder, FrameModel, Geometry, get_layer_embeddings, get_scene_embeddings,
    get_timestamp_embeddings,
)


class Loudness(FrameEncoder):
    """Root mean square of frames of 20 ms, and its double as a layer."""

    rate = 16000
    size = 1
    sizes = (1, 1)
    geometry = Geometry(hop=320, centre=159.5, window=320)

    def frames(self, audio, layers):
        loud = audio.unfold(1, 320, 320).square().mean(2, keepdim=True).sqrt()
        return [loud * (1 + layer) for layer in layers or [0]]


def load_model(path=""):
    return FrameModel(Loudness()).eval()
'''


def test_a_frame_encoder_of_public_names_is_a_module(tmp_path: Path) -> None:
    (tmp_path / "loudness.py").write_text(LOUDNESS)
    audio = np.full((2, 16000), 0.5, np.float32)
    module = load_module(parse_model(str(tmp_path / "loudness.py")), "cpu")
    np.testing.assert_allclose(module.scene(audio), 0.5, rtol=1e-6)
    embeddings, times = module.timestamps(audio)
    np.testing.assert_allclose(embeddings, 0.5, rtol=1e-6)
    np.testing.assert_allclose(np.diff(times), 20, rtol=1e-4)
    layers = load_module(parse_model(f"{tmp_path / 'loudness.py'},layer=all"), "cpu")
    np.testing.assert_allclose(layers.scene(audio), [[0.5, 1.0]] * 2, rtol=1e-6)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_import_public_modules_alone(path: Path) -> None:
    imported = {
        name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name and name.partition(".")[0] in ("harness", "hear_byola", "tasks")
    }
    assert imported <= {"harness", "harness.encoders"}
