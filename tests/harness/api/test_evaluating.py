"""``harness.evaluate`` with models of a notebook: modules and models in memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from support import task_directories
from support.hear_modules import write_module

import harness


class Net(torch.nn.Module):
    """Log energies of random bands, by weights that a seed draws; dropout shows the mode."""

    sample_rate = 16000
    scene_embedding_size = 6
    timestamp_embedding_size = 6

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.filters = torch.nn.Parameter(torch.randn(6, 1, 64, generator=generator))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        bands = torch.nn.functional.conv1d(audio[:, None], self.filters, stride=32)
        return self.dropout(bands.square().mean(2).add(1e-6).log())


def scenes(audio, model):
    return model(audio)


def frames(audio, model):
    pieces = audio.unfold(1, 1600, 1600)
    times = (torch.arange(pieces.shape[1]) * 100.0 + 50.0).expand(len(audio), -1)
    return model(pieces.reshape(-1, 1600)).reshape(*pieces.shape[:2], -1), times


FUNCTIONS = SimpleNamespace(get_scene_embeddings=scenes, get_timestamp_embeddings=frames)


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Path:
    return task_directories.make_task(tmp_path_factory.mktemp("tasks"), "scene", n=8, seconds=0.3)


def evaluate(models, task, out, **more) -> harness.Results:
    return harness.evaluate(models, task, protocols="knn", out=out, progress=False, **more)


def embeddings(out: Path) -> dict[str, np.ndarray]:
    """The embeddings of the test split by their folder's name."""
    found = out.glob("embeddings/*/*/test-*/test.npy")
    return {f"{path.parents[2].name}/{path.parent.name}": np.load(path) for path in found}


def files(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("*.np[yz]")}


def test_a_model_in_memory_is_evaluated_and_left_as_it_was(task, tmp_path):
    model = Net(0)
    model.train()
    model.dropout.eval()
    results = evaluate({"mine": (FUNCTIONS, model)}, task, tmp_path)
    table = harness.table(results)
    assert list(table.index) == ["mine"]
    assert 0 <= table.loc["mine", "tiny_scene-v1-full"] <= 1
    assert results.failures.empty
    assert model.training
    assert not model.dropout.training
    row = results.table.iloc[0]
    assert (row.module, row.checkpoint) == ("(in memory)", "")
    (stored,) = embeddings(tmp_path).values()
    assert np.isfinite(stored).all()


def test_embeddings_are_those_of_eval_mode(task, tmp_path):
    evaluate({"mine": (FUNCTIONS, Net(0).train())}, task, tmp_path / "train")
    evaluate({"mine": (FUNCTIONS, Net(0).eval())}, task, tmp_path / "eval")
    (one,), (other,) = (embeddings(tmp_path / each).values() for each in ("train", "eval"))
    np.testing.assert_array_equal(one, other)


def test_a_second_call_resumes(task, tmp_path):
    first = evaluate({"mine": (FUNCTIONS, Net(0))}, task, tmp_path)
    before = files(tmp_path)
    again = evaluate({"mine": (FUNCTIONS, Net(0))}, task, tmp_path)
    assert files(tmp_path) == before
    assert harness.table(first).equals(harness.table(again))


def test_a_call_that_was_stopped_goes_on(task, tmp_path, monkeypatch):
    from harness.run import jobs

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "run_probe", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate({"mine": (FUNCTIONS, Net(0))}, task, tmp_path)
    embedded = files(tmp_path / "embeddings")
    assert embedded
    results = evaluate({"mine": (FUNCTIONS, Net(0))}, task, tmp_path)
    assert results.failures.empty
    assert files(tmp_path / "embeddings") == embedded


def test_two_models_of_one_name_share_nothing(task, tmp_path):
    first = evaluate({"mine": (FUNCTIONS, Net(0))}, task, tmp_path)
    second = evaluate({"mine": (FUNCTIONS, Net(1))}, task, tmp_path)
    one, other = embeddings(tmp_path).values()
    assert not np.allclose(one, other)
    prints = {each.table.model_fingerprint.iloc[0] for each in (first, second)}
    assert len(prints) == 2
    # Each result is of its own call, although both are in one folder.
    assert [list(harness.table(each).index) for each in (first, second)] == [["mine"], ["mine"]]
    assert harness.load(tmp_path).table.model.nunique() == 2


def test_changed_weights_are_embedded_again(task, tmp_path):
    model = Net(0)
    evaluate({"mine": (FUNCTIONS, model)}, task, tmp_path)
    with torch.no_grad():
        model.filters += 0.1
    evaluate({"mine": (FUNCTIONS, model)}, task, tmp_path)
    assert len(embeddings(tmp_path)) == 2
    # The first weights once more, in another object, on another task.
    other = task_directories.make_task(tmp_path / "more", "multilabel", n=8, seconds=0.3)
    evaluate({"mine": (FUNCTIONS, Net(0))}, other, tmp_path)
    evaluate({"fresh": (FUNCTIONS, Net(0))}, other, tmp_path / "fresh")
    (expected,) = embeddings(tmp_path / "fresh").values()
    assert any(np.array_equal(each, expected) for each in embeddings(tmp_path).values())


def test_weights_outside_the_state_dict_count(task, tmp_path):
    model = Net(0)
    model.gain = 1.0
    functions = SimpleNamespace(
        get_scene_embeddings=lambda audio, model: model(audio) * model.gain,
        get_timestamp_embeddings=frames,
    )
    evaluate({"mine": (functions, model)}, task, tmp_path)
    model.gain = 2.0
    evaluate({"mine": (functions, model)}, task, tmp_path)
    one, other = embeddings(tmp_path).values()
    assert not np.allclose(one, other)


def test_code_that_the_reference_sound_does_not_show_counts(task, tmp_path):
    """Only clips of 0.3 s reach the code that changes; the fixed sound is longer."""

    def halved(audio, model):
        return model(audio) * (0.5 if audio.shape[1] < 8000 else 1.0)

    for function in (scenes, halved):
        functions = SimpleNamespace(get_scene_embeddings=function, get_timestamp_embeddings=frames)
        evaluate({"mine": (functions, Net(0))}, task, tmp_path)
    one, other = embeddings(tmp_path).values()
    assert not np.allclose(one, other)


def test_modules_pairs_and_texts_stand_beside_each_other(task, tmp_path):
    file = write_module(tmp_path, "toy")
    module = ModuleType("my_package.toy_module")
    exec(file.read_text(), module.__dict__)
    results = evaluate([module, (FUNCTIONS, Net(0)), f"{file},scale=2"], task, tmp_path / "runs")
    assert sorted(harness.table(results).index) == ["Net", "toy(scale=2)", "toy_module"]


def test_a_task_is_named_given_by_its_folder_or_as_an_object(task, tmp_path):
    model = {"mine": (FUNCTIONS, Net(0))}
    found = [
        evaluate(model, each, tmp_path, tasks_dir=task.parent)
        for each in ("tiny_scene", task.name, task, harness.read_task(task), [str(task)])
    ]
    assert {tuple(each.rows.task) for each in found} == {(task.name,)}


def test_a_task_of_the_package_by_its_name(tmp_path):
    results = evaluate({"mine": (FUNCTIONS, Net(0))}, "demo_guitar_chord", tmp_path)
    assert list(results.rows.suite) == ["demo"]
    assert results.rows.n_groups.notna().all()


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([], "No model is given"),
        (3, "A value of type int is not a model"),
        ((SimpleNamespace(get_scene_embeddings=scenes), Net(0)), "lacks get_timestamp_embeddings"),
        (FUNCTIONS, "lacks load_model"),
        ([(FUNCTIONS, Net(0)), (FUNCTIONS, Net(1))], "Two models are called 'Net'.*mapping"),
        ({"a\nb": (FUNCTIONS, Net(0))}, "must be printable"),
        ("hear_byol", "Did you mean 'hear_byola'"),
        ((FUNCTIONS, torch.nn.Linear(2, 2)), "attribute 'sample_rate' is missing"),
        ((FUNCTIONS, object()), "requires a torch.nn.Module"),
    ],
)
def test_what_is_no_model_is_refused(task, tmp_path, models, said):
    with pytest.raises(harness.UserError, match=said):
        evaluate(models, task, tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


def test_worker_processes_and_task_statistics_cannot_use_a_model_in_memory(task, tmp_path):
    models = {"mine": (FUNCTIONS, Net(0))}
    with pytest.raises(harness.UserError, match=r"'mine' is in the memory.*jobs=1"):
        evaluate(models, task, tmp_path, jobs=2)
    with pytest.raises(harness.UserError, match="'mine' is loaded already"):
        evaluate(models, task, tmp_path, task_statistics=True)


@pytest.mark.slow
def test_a_script_without_a_guard_may_use_worker_processes(task, tmp_path):
    toy = write_module(tmp_path, "toy")
    script = tmp_path / "script.py"
    script.write_text(
        "import harness\n"
        f"results = harness.evaluate({str(toy)!r}, {str(task)!r}, protocols='knn', jobs=2)\n"
        "print(len(results.rows), len(results.failures))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(harness.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 0\n"


def test_unknown_names_are_refused_with_the_nearest(tmp_path, task):
    with pytest.raises(harness.UserError, match="Did you mean 'linear'"):
        harness.evaluate("hear_byola", task, protocols="liner", out=tmp_path)
    with pytest.raises(harness.UserError, match="No task is named"):
        harness.evaluate("hear_byola", out=tmp_path)
    with pytest.raises(harness.UserError, match="Did you mean 'demo_pipe_pitch'"):
        harness.evaluate("hear_byola", "demo_pipe_pich", out=tmp_path)
    with pytest.raises(harness.UserError, match="is a file"):
        harness.evaluate("hear_byola", task, out=task / "train.json")


def test_a_model_that_fails_is_warned_of_and_listed(task, tmp_path):
    def failing(audio, model):
        if audio.shape[1] < 8000:
            raise RuntimeError("too short")
        return model(audio)

    functions = SimpleNamespace(get_scene_embeddings=failing, get_timestamp_embeddings=frames)
    with pytest.warns(UserWarning, match="1 evaluation failed: mine.*too short"):
        results = evaluate({"mine": (functions, Net(0))}, task, tmp_path)
    assert results.failures.model.tolist() == ["mine"]
    assert "too short" in results.failures.error[0]
    assert repr(results) == "<Results: 1 model, 1 task, 1 protocol, 1 failed>"


def test_progress_goes_to_standard_error(task, tmp_path, capsys):
    harness.evaluate({"mine": (FUNCTIONS, Net(0))}, task, protocols="knn", out=tmp_path)
    told = capsys.readouterr()
    assert told.out == ""
    assert re.search(r"embedded mine .*\n.*scored   mine", told.err, re.DOTALL)
