from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from support import task_directories

import hear_byola
from harness.core.errors import UserError
from harness.embeddings.task_statistics import fit_to_task
from harness.models.loading import load_module
from harness.models.spec import ModelSpec
from harness.results import latest, load
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, TaskSource, make_plan
from tasks.audio import read_audio
from tasks.format.task import read_task

BYOLA = ModelSpec("hear_byola", options={"seed": 0}, name="byola")


def test_a_task_s_own_statistics_normalise_its_training_split(tmp_path):
    task = read_task(task_directories.make_task(tmp_path, "scene", n=6, seconds=0.5))
    fitted = fit_to_task(load_module(BYOLA, "cpu"), task)
    options = fitted.spec.options
    model = hear_byola.load_model(**options)
    paths = sorted((task.directory / "16000" / "train").iterdir())
    bins = torch.cat([model.frontend(torch.from_numpy(read_audio(p, 16000))[None]) for p in paths])
    assert float(bins.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(bins.std(correction=0)) == pytest.approx(1.0, abs=1e-5)
    assert fitted.spec.label == "byola"


def test_only_training_audio_counts(tmp_path):
    directory = task_directories.make_task(tmp_path, "scene", n=6, seconds=0.5)
    module = load_module(BYOLA, "cpu")
    before = fit_to_task(module, read_task(directory)).spec.options
    for split in ("valid", "test"):
        for path in (directory / "16000" / split).iterdir():
            task_directories.write_wav(path, np.zeros(8000, np.float32), 16000)
    assert fit_to_task(module, read_task(directory)).spec.options == before


def test_statistics_are_in_the_plan_and_name_other_embeddings(tmp_path):
    directory = task_directories.make_task(tmp_path, "scene", n=6, seconds=0.5)
    plain = Settings((BYOLA,), (TaskSource(directory),), ("knn",), out=tmp_path / "out")
    fitted = dataclasses.replace(plain, task_statistics=True)
    (before,), (after,) = make_plan(plain), make_plan(fitted)
    assert after.fingerprint != before.fingerprint
    assert after.model.label == before.model.label
    assert set(json.loads(after.model.options)) == {"seed", "mean", "std"}


def test_a_model_fitted_to_each_task_is_one_model_in_results(tmp_path):
    tasks = [
        TaskSource(
            task_directories.make_task(tmp_path, "scene", n=6, seconds=0.5, name=name, seed=seed)
        )
        for seed, name in enumerate(("one", "two"))
    ]
    chosen = Settings((BYOLA,), tuple(tasks), ("knn",), out=tmp_path / "out", task_statistics=True)
    execute(make_plan(chosen), InlineEngine("cpu"), chosen.out)
    found = load(chosen.out)
    assert found.model_fingerprint.nunique() == 2
    assert set(latest(found).model) == {"byola"}
    unfitted = found.assign(notes="")
    assert latest(unfitted).model.nunique() == 2


def test_what_cannot_be_fitted_is_refused_by_name(tmp_path):
    kfold = TaskSource(task_directories.make_task(tmp_path, "kfold", n=6, seconds=0.5))
    settings = Settings((BYOLA,), (kfold,), ("knn",), out=tmp_path / "out", task_statistics=True)
    with pytest.raises(UserError, match="k-fold tasks lack: tiny_kfold-v1-full"):
        make_plan(settings)
    task = read_task(task_directories.make_task(tmp_path, "scene", n=6, seconds=0.5))
    with pytest.raises(UserError, match="no function task_options"):
        fit_to_task(load_module(ModelSpec("harness.baselines.logmel"), "cpu"), task)


def test_silence_has_no_statistics():
    model = hear_byola.load_model(seed=0)
    with pytest.raises(ValueError, match="or all are silent"):
        hear_byola.task_options([torch.zeros(8000)], model)
