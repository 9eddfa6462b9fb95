"""Embeddings on which a probe that does not normalise its inputs fails, and that this is said."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from support import task_directories

from harness.cli import call
from harness.embeddings.store import SplitEmbeddings
from harness.probe.scale import scale_fault
from harness.results import load


def embeddings(scale: float, offset: float, rows: int = 500) -> SplitEmbeddings:
    values = np.random.default_rng(0).standard_normal((rows, 16)) * scale + offset
    names = tuple(map(str, range(rows)))
    return SplitEmbeddings("train", names, values.astype(np.float32), np.arange(rows + 1), None, {})


@pytest.mark.parametrize(
    ("scale", "offset", "fault"),
    [
        (1.0, 0.0, ""),
        (1e-3, 0.0, ""),
        (1e4, 1e4, ""),
        (1.0, 100.0, ""),
        (0.01, 2.0, "an offset of 200 standard deviations, above 150"),
        (1e-5, 0.0, "a standard deviation of 1.0e-05, below 0.0001"),
    ],
)
def test_scale_and_offset_are_judged_by_the_measured_thresholds(scale, offset, fault):
    found = scale_fault([embeddings(scale, offset)])
    assert found == fault or found.replace("199", "200").replace("201", "200") == fault


def test_embeddings_that_are_all_alike_are_out_of_scale_and_large_splits_are_sampled():
    assert "standard deviation of 0.0e+00" in scale_fault([embeddings(0.0, 1.0)])
    assert scale_fault([embeddings(1.0, 0.0, 20_000), embeddings(1.0, 0.0)]) == ""


MODULE = """
import torch

class Model(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = timestamp_embedding_size = 4

def load_model(model_file_path="", offset=0.0):
    model = Model()
    model.offset = offset
    return model.eval()

def get_scene_embeddings(audio, model):
    parts = audio[:, : audio.shape[1] // 4 * 4].reshape(len(audio), 4, -1)
    return parts.square().mean(2).sqrt() + model.offset

def get_timestamp_embeddings(audio, model):
    raise NotImplementedError
"""


def test_the_table_says_where_a_protocol_cannot_learn(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "offset.py").write_text(MODULE)
    task = task_directories.make_task(tmp_path / "tasks", "scene", n=8, seconds=0.1)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = call(
            ["run", "-m", "./offset.py,offset=1000,name=far", "-t", str(task), "--protocol",
             "hear2021", "--protocol", "linear", "--jobs", "1", "--out", "r"]
        )  # fmt: skip
    assert code == 0, out.getvalue()
    (note,) = (line for line in out.getvalue().splitlines() if "does not normalise" in line)
    assert note.startswith(
        "hear2021 does not normalise its inputs and fails on embeddings of this scale: far on "
        "tiny_scene-v1-full (an offset of "
    )
    rows = load("r")
    told = rows[rows.notes.str.contains("out of scale")]
    assert set(zip(told.model, told.protocol)) == {("far", "hear2021")}
