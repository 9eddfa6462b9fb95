"""Probing inside a training process, with a real checkpoint and real tasks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support import task_directories

from harness.core.errors import UserError
from harness.models import process_state
from harness.models.spec import ModelSpec
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from harness.run.training_probe import TrainingProbe
from hear_byola.checkpoint import Checkpoint, save_checkpoint
from hear_byola.random_weights import random_encoder
from tasks.format.task import TaskSource


def write_checkpoint(path: Path, factor: float = 1.0) -> Path:
    """Random weights times a factor."""
    state = {
        name: value * factor if value.is_floating_point() else value
        for name, value in random_encoder("2020", 512, seed=3).state_dict().items()
    }
    save_checkpoint(path, Checkpoint("2020", 512, state, "slaney", -9.0, 4.0))
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "step100.safetensors")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return task_directories.make_task(tmp_path / "tasks", "scene", n=12, seconds=0.3)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return task_directories.make_task(tmp_path / "tasks", "events", n=4, seconds=2.0)


@pytest.mark.parametrize("protocol", ["linear", "knn"])
def test_a_score_is_that_of_a_run(tmp_path, scene, checkpoint, protocol):
    spec = ModelSpec("hear_byola", str(checkpoint))
    settings = Settings((spec,), (TaskSource(scene),), (protocol,), out=tmp_path / "run")
    table = execute(make_plan(settings), InlineEngine("cpu"), settings.out).table
    expected = table[table.is_primary & (table.split == "all")].value.item()
    probe = TrainingProbe([scene], tmp_path / "probe", protocol=protocol, device="cpu")
    assert probe(checkpoint) == {"tiny_scene": expected}


def test_every_checkpoint_is_scored_anew_and_nothing_of_it_is_kept(tmp_path, scene, checkpoint):
    out = tmp_path / "probe"
    probe = TrainingProbe([scene], out, device="cpu")
    first = probe(checkpoint)
    assert probe(checkpoint) == first
    assert first["tiny_scene"] > 0.5
    # Under the same name a network to which all clips are alike.
    write_checkpoint(checkpoint, factor=0.0)
    assert probe(checkpoint) == {"tiny_scene": 0.25}
    left = {path.name for path in out.rglob("*") if path.is_file()}
    assert left <= {"audio-hashes.json", "checked-audio.json", "results.csv"}


def test_events_and_scenes_side_by_side(tmp_path, scene, events, checkpoint):
    probe = TrainingProbe([scene, events], tmp_path / "probe", device="cpu")
    scores = probe(checkpoint)
    assert list(scores) == ["tiny_scene", "tiny_events"]
    assert all(0 <= value <= 1 for value in scores.values())


def test_tasks_of_one_name_are_told_apart_by_version(tmp_path, scene, checkpoint):
    other = task_directories.make_task(tmp_path / "tasks", "scene", n=12, seconds=0.3, version="v2")
    probe = TrainingProbe([scene, other], tmp_path / "probe", protocol="knn", device="cpu")
    assert list(probe(checkpoint)) == ["tiny_scene-v1-full", "tiny_scene-v2-full"]


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_process_is_left_as_it_was(tmp_path, scene, events, checkpoint, mode):
    probe = TrainingProbe([scene, events], tmp_path / "probe", device="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with mode():
            settings = process_state.settings()
            random = process_state.random_states()
            assert len(probe(checkpoint)) == 2
            assert process_state.changed_settings(settings) == []
            assert process_state.random_states() == random
            TrainingProbe([scene], tmp_path / "probe", device="cpu")
            assert process_state.changed_settings(settings) == []
            assert process_state.random_states() == random
    finally:
        torch.set_num_threads(threads)


def test_training_goes_on_where_it_was(tmp_path, scene, checkpoint):
    """A step of an optimiser with dropout gives the same with a probe before it as without."""
    probe = TrainingProbe([scene], tmp_path / "probe", protocol="knn", device="cpu")

    def weights(between) -> torch.Tensor:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5))
        optimizer = torch.optim.Adam(network.parameters())
        for step in range(2):
            if step:
                between()
            optimizer.zero_grad()
            network(torch.randn(4, 8)).square().sum().backward()
            optimizer.step()
        return network[0].weight.detach().clone()

    assert torch.equal(weights(lambda: probe(checkpoint)), weights(lambda: None))


def test_a_task_that_fails_is_told_and_the_others_are_scored(tmp_path, scene, checkpoint):
    doomed = task_directories.make_task(tmp_path / "tasks", "kfold", n=6, seconds=0.3)
    said = []
    probe = TrainingProbe(
        [doomed, scene], tmp_path / "probe", protocol="knn", device="cpu", say=said.append
    )
    said.clear()
    shutil.rmtree(doomed)
    assert list(probe(checkpoint)) == ["tiny_scene"]
    assert len(said) == 1
    assert "tiny_kfold" in said[0]


def test_a_checkpoint_that_gives_no_numbers_is_told(tmp_path, scene, checkpoint):
    said = []
    probe = TrainingProbe([scene], tmp_path / "probe", device="cpu", say=said.append)
    assert probe(write_checkpoint(checkpoint, factor=float("nan"))) == {}
    assert "NaN" in said[-1]
    assert probe(tmp_path / "absent.safetensors") == {}
    assert "does not exist" in said[-1]


def test_what_cannot_be_probed_is_refused_before_training(tmp_path, scene, events):
    with pytest.raises(UserError, match="needs at least one task"):
        TrainingProbe([], tmp_path / "probe")
    with pytest.raises(UserError, match=r"'linaer'.*'linear'"):
        TrainingProbe([scene], tmp_path / "probe", protocol="linaer")
    with pytest.raises(UserError, match="knn"):
        TrainingProbe([scene, events], tmp_path / "probe", protocol="knn")
    with pytest.raises(UserError, match="nowhere"):
        TrainingProbe([tmp_path / "nowhere"], tmp_path / "probe")
    next((scene / "16000" / "train").iterdir()).write_bytes(b"")
    with pytest.raises(UserError, match=r"tiny_scene.*train"):
        TrainingProbe([scene], tmp_path / "probe")
