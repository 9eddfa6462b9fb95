"""The main job end to end, on small synthetic tasks with real components."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import task_directories
from support.result_rows import row

from harness.core.calls import WorkerDied
from harness.core.errors import UserError
from harness.embeddings import chunks
from harness.metrics.registry import scene_metric
from harness.models.spec import ModelSpec, parse_model
from harness.probe.partial import Partial
from harness.results import read_csv, write_csv, write_result
from harness.run import jobs
from harness.run.engines import InlineEngine, LocalEngine
from harness.run.execute import execute
from harness.run.listener import Listener
from harness.run.plan import Settings, TaskSource, make_plan

LOGMEL = ModelSpec("harness.baselines.logmel", name="logmel")


class Counting(Listener):
    def __init__(self) -> None:
        self.done = {"embedded": 0, "probed": 0, "scored": 0, "failed": 0}

    def embedded(self, unit):
        self.done["embedded"] += 1

    def probed(self, evaluation):
        self.done["probed"] += 1

    def scored(self, evaluation):
        self.done["scored"] += 1

    def failed(self, name, error):
        self.done["failed"] += 1


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tasks")
    kinds = ("scene", "kfold", "multilabel", "events")
    return {kind: task_directories.make_task(root, kind, n=12, seconds=1.0) for kind in kinds}


def settings(out: Path, *directories: Path, **changes) -> Settings:
    base = Settings(
        models=(LOGMEL,),
        tasks=tuple(TaskSource(directory) for directory in directories),
        protocols=("linear",),
        out=out,
    )
    return dataclasses.replace(base, **changes)


def run(chosen: Settings, listener: Listener | None = None):
    return execute(make_plan(chosen), InlineEngine("cpu"), chosen.out, "test", listener)


def test_every_kind_of_task_ends_in_rows_with_intervals(tasks, tmp_path):
    summary = run(settings(tmp_path, *tasks.values()))
    assert summary.failures == ()
    table = read_csv(tmp_path / "results.csv")
    pd.testing.assert_frame_equal(table, summary.table)
    assert set(table.task) == {path.name for path in tasks.values()}
    assert (table.status == "done").all()
    headline = table[table.is_primary & (table.split == "all")]
    assert (headline.ci_low <= headline.value).all()
    assert (headline.value <= headline.ci_high).all()
    kfold = table[(table.task == tasks["kfold"].name) & table.is_primary].set_index("split").value
    folds = kfold.drop("all")
    assert kfold["all"] == pytest.approx(folds.mean())
    assert len(folds) >= 3


def test_reported_values_follow_from_the_predictions_on_disk(tasks, tmp_path):
    run(settings(tmp_path, tasks["scene"]))
    table = read_csv(tmp_path / "results.csv")
    (path,) = tmp_path.glob("results/*/*/*/test.predictions.npz")
    with np.load(path, allow_pickle=False) as saved:
        probabilities, targets = saved["probabilities"], saved["targets"]
        assert len(saved["clips"]) == len(targets) == probabilities.shape[1]
    for metric, value in zip(table.metric, table.value, strict=True):
        assert value == pytest.approx(scene_metric(metric).score(probabilities[0], targets).value)
    document = json.loads((path.parent / "test.predicted-scores.json").read_text())
    primary = table[table.is_primary].value.item()
    assert document["test"]["test_score"] == pytest.approx(primary)
    assert {"hparams", "postprocessing", "score_mode", "embedding_path"} <= set(document)


def test_what_another_process_finishes_meanwhile_is_in_the_table(tasks, tmp_path, monkeypatch):
    def write_while_another_ends(table, path):
        if "other" not in set(table.model):
            write_result(tmp_path / "results" / "other" / "task" / "knn", [row(model="other")])
        write_csv(table, path)

    monkeypatch.setattr("harness.run.execute.write_csv", write_while_another_ends)
    run(settings(tmp_path, tasks["scene"]))
    assert "other" in set(read_csv(tmp_path / "results.csv").model)


def test_running_again_does_nothing_and_changes_nothing(tasks, tmp_path):
    chosen = settings(tmp_path, tasks["scene"], tasks["kfold"])
    first = Counting()
    run(chosen, first)
    before = (tmp_path / "results.csv").read_bytes()
    again = Counting()
    run(chosen, again)
    assert first.done["scored"] == 2
    assert set(again.done.values()) == {0}
    assert (tmp_path / "results.csv").read_bytes() == before


@pytest.mark.usefixtures("settled")
def test_audio_replaced_under_its_size_and_time_is_embedded_again(tmp_path):
    task = task_directories.make_task(tmp_path, "scene", n=12, seconds=1.0)
    audio = sorted(task.glob("16000/*/*.wav"))
    for path in audio:
        os.utime(path, (1e9, 1e9))
    chosen = settings(tmp_path / "out", task)
    run(chosen)
    before = {path: path.read_bytes() for path in audio}
    for path in (path for path in audio if path.parent.name == "test"):
        path.write_bytes(before[path][:44] + before[path][:43:-1])
        os.utime(path, (1e9, 1e9))
    counting = Counting()
    run(chosen, counting)
    assert counting.done["embedded"] == 1
    assert counting.done["scored"] == 1


def test_a_new_protocol_reuses_embeddings_and_a_new_seed_too(tasks, tmp_path):
    run(settings(tmp_path, tasks["scene"]))
    counting = Counting()
    run(settings(tmp_path, tasks["scene"], protocols=("linear", "knn"), seeds=2), counting)
    assert counting.done["embedded"] == 0
    assert counting.done["scored"] == 3
    table = read_csv(tmp_path / "results.csv")
    assert sorted(set(zip(table.protocol, table.seed, strict=True))) == [
        ("knn", 0), ("knn", 1), ("linear", 0), ("linear", 1),
    ]  # fmt: skip


def test_other_weights_never_meet_the_first_ones_embeddings(tasks, tmp_path, monkeypatch):
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "tiny_random.py").write_text(TINY_MODULE)
    monkeypatch.chdir(folder)
    out = tmp_path / "out"
    values = []
    for seed in (1, 2):
        # The same name and path: only the checkpoint's content differs.
        (folder / "weights.txt").write_text(str(seed))
        spec = parse_model("tiny_random=weights.txt")
        run(settings(out, tasks["scene"], models=(spec,)))
        values.append(read_csv(out / "results.csv"))
    assert len(values[0]) * 2 == len(values[1])
    assert len(list(out.glob("embeddings/*/*/test-*"))) == 2


def test_a_run_shows_its_own_checkpoint_whatever_else_is_there(tasks, tmp_path, monkeypatch):
    folder = tmp_path / "modules"
    folder.mkdir()
    own_rows = TINY_MODULE.replace("model(audio).mean(1)", "model(audio).mean(1) * SCALE")
    (folder / "own_rows.py").write_text(
        own_rows.replace("import torch", "import torch\nSCALE = float(open('scale.txt').read())")
    )
    monkeypatch.chdir(folder)
    shown = []
    for seed in (1, 2, 1):
        (folder / "weights.txt").write_text(str(seed))
        (folder / "scale.txt").write_text("nan" if seed == 2 else "1")
        command = [
            sys.executable, "-m", "harness.cli", "run", "-m", "./own_rows.py=weights.txt", "-t",
            str(tasks["scene"]), "--protocol", "knn", "--jobs", "1", "--out", str(tmp_path / "out"),
        ]  # fmt: skip
        shown.append(subprocess.run(command, capture_output=True, text=True))
    assert [done.returncode for done in shown] == [0, 1, 0]
    assert shown[0].stdout == shown[2].stdout
    assert "failed" in shown[1].stdout
    assert set(read_csv(tmp_path / "out" / "results.csv").status) == {"done", "failed"}


def test_two_tasks_of_one_name_are_refused(tasks, tmp_path):
    twin = shutil.copytree(tasks["scene"], tmp_path / tasks["scene"].name)
    with pytest.raises(UserError, match="two task directories have the same name"):
        make_plan(settings(tmp_path / "out", tasks["scene"], twin))


def test_audio_of_rates_that_no_model_hears_decides_nothing(tmp_path):
    task = task_directories.make_task(tmp_path / "tasks", "scene", n=12, rates=(16000, 48000))
    next((task / "48000" / "test").iterdir()).write_bytes(b"not a wav")
    summary = run(settings(tmp_path / "out", task, skip_bad=True))
    assert set(summary.table.n_skipped) == {0}


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    changed = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "text": b'"a text"',
        "nested": b"[" * 100_000,
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["empty", "cut", "text", "nested"])
def test_damaged_files_of_a_run_are_named_and_made_again(tasks, tmp_path, how):
    chosen = settings(tmp_path, tasks["scene"], protocols=("knn",))
    expected = run(chosen).table
    for pattern in (
        "embeddings/*/*/test-*/test.npy",
        "embeddings/*/*/test-*/test.index.npz",
        "embeddings/*/*/test-*/manifest.json",
        "probes/*/*/*/unit.json",
        "probes/*/*/*/unit.npz",
        "results/*/*/*/result.json",
        "results/*/*/*/evaluation.json",
        "results/*/*/*/test.predictions.npz",
        "models/*.npz",
        "checked-audio.json",
    ):
        (path,) = tmp_path.glob(pattern)
        damage(path, how)
        if pattern.startswith("embeddings"):
            shutil.rmtree(tmp_path / "probes")
        if not pattern.startswith("results"):
            shutil.rmtree(tmp_path / "results")
        said: list[str] = []
        listener = Listener()
        listener.say = said.append  # type: ignore[method-assign]
        summary = run(chosen, listener)
        assert summary.failures == (), pattern
        assert summary.table.value.tolist() == expected.value.tolist()
        if path.parent not in (tmp_path, tmp_path / "models"):
            assert [line for line in said if f"{path.parent} is damaged" in line], pattern


def test_hear2021_says_where_the_original_kit_would_have_ended(tmp_path):
    labels = ["01", "02", "None"]
    task = task_directories.make_task(tmp_path / "tasks", "scene", n=6, seconds=0.2, classes=labels)
    summary = run(settings(tmp_path / "out", task, protocols=("hear2021", "knn")))
    notes = summary.table.groupby("protocol").notes.first()
    assert "labels that the original kit misreads" in notes["hear2021"]
    assert notes["knn"] == ""


def test_a_failing_unit_is_a_row_and_the_others_finish(tasks, tmp_path, monkeypatch):
    folder = tmp_path / "modules"
    folder.mkdir()
    broken = TINY_MODULE.replace("# NAN", "out = out * float('nan')")
    (folder / "nan_on_events.py").write_text(broken)
    monkeypatch.chdir(folder)
    spec = ModelSpec("nan_on_events")
    counting = Counting()
    chosen = settings(tmp_path / "out", tasks["scene"], tasks["events"], models=(spec, LOGMEL))
    summary = run(chosen, counting)
    assert counting.done == counting.done | {"scored": 3, "failed": 1}
    ((name, error),) = summary.failures
    assert "nan_on_events" in name
    assert "NaN" in error
    failed = summary.table[summary.table.status == "failed"]
    assert failed.value.isna().all()
    assert failed.task.tolist() == [tasks["events"].name]
    assert ".wav" in failed.error.item()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("* 25.0", "* 0.025", "these look like seconds"),
        ("return model(audio).mean(1)", "return model(audio).mean(1).numpy()", "a numpy array"),
    ],
)
def test_common_mistakes_of_a_module_are_told(tasks, tmp_path, monkeypatch, old, new, said):
    (tmp_path / "mistaken.py").write_text(TINY_MODULE.replace(old, new))
    monkeypatch.chdir(tmp_path)
    module = ModelSpec("./mistaken.py")
    summary = run(settings(tmp_path / "out", tasks["scene"], tasks["events"], models=(module,)))
    ((_, error),) = summary.failures
    assert said in error


def test_events_in_seconds_fail_at_once_and_warn(tmp_path):
    task = task_directories.make_task(tmp_path / "tasks", "events", n=6)
    for split in ("train", "valid", "test"):
        table = json.loads((task / f"{split}.json").read_text())
        for events in table.values():
            for event in events:
                event["start"], event["end"] = event["start"] / 1e6, event["end"] / 1e6
        (task / f"{split}.json").write_text(json.dumps(table))
    with pytest.warns(UserWarning, match="seconds"):
        summary = run(settings(tmp_path / "out", task))
    ((_, error),) = summary.failures
    assert "lies in an event" in error or "seconds" in error


def test_what_was_left_out_stands_in_the_notes(tmp_path):
    task = task_directories.make_task(tmp_path / "tasks", "scene", n=12, seconds=0.5)
    bad = sorted((task / "16000" / "valid").iterdir())[3]
    bad.write_bytes(b"")
    metadata = json.loads((task / "task_metadata.json").read_text())
    metadata["unlike_card"] = ["unlike the card of it: 36 clips here, 90 on the card"]
    (task / "task_metadata.json").write_text(json.dumps(metadata))
    summary = run(settings(tmp_path / "out", task, skip_bad=True))
    assert set(summary.table.notes) == {
        f"{metadata['unlike_card'][0]}; left out for bad audio: valid: {bad.name}"
    }


def test_a_repaired_failure_replaces_its_row(tasks, tmp_path, monkeypatch):
    folder = tmp_path / "modules"
    folder.mkdir()
    broken = TINY_MODULE.replace("# NAN", "out = out * float(open('scale.txt').read())")
    (folder / "repaired.py").write_text(broken)
    monkeypatch.chdir(folder)
    chosen = settings(tmp_path / "out", tasks["events"], models=(ModelSpec("./repaired.py"),))
    (folder / "scale.txt").write_text("nan")
    assert len(run(chosen).failures) == 1
    (folder / "scale.txt").write_text("1")
    summary = run(chosen)
    assert summary.failures == ()
    assert (summary.table.status == "done").all()


def test_a_module_edited_after_its_import_is_refused(tasks, tmp_path, monkeypatch):
    (tmp_path / "edited.py").write_text(TINY_MODULE)
    monkeypatch.chdir(tmp_path)
    chosen = settings(tmp_path / "out", tasks["scene"], models=(ModelSpec("./edited.py"),))
    make_plan(chosen)
    (tmp_path / "edited.py").write_text(TINY_MODULE + "\n# edited")
    with pytest.raises(UserError, match="has changed since this process imported it"):
        make_plan(chosen)


def test_weights_drawn_at_each_load_are_refused_before_any_work(tasks, tmp_path, monkeypatch):
    drawn = TINY_MODULE.replace(", generator=torch.Generator().manual_seed(seed)", "")
    (tmp_path / "drawn.py").write_text(drawn)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="other weights each time it is called"):
        make_plan(settings(tmp_path / "out", tasks["scene"], models=(ModelSpec("./drawn.py"),)))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_changed_during_the_run_fails_and_embeds_nothing(tasks, tmp_path, monkeypatch):
    (tmp_path / "changing.py").write_text(TINY_MODULE)
    (tmp_path / "weights.txt").write_text("1")
    monkeypatch.chdir(tmp_path)
    spec = parse_model("./changing.py=weights.txt")
    plan = make_plan(settings(tmp_path / "out", tasks["scene"], models=(spec,)))
    (tmp_path / "weights.txt").write_text("2")
    summary = execute(plan, InlineEngine("cpu"), tmp_path / "out")
    ((_, error),) = summary.failures
    assert "not the model that the run began with" in error
    assert not list((tmp_path / "out").glob("embeddings/*/*/*"))


def test_a_unit_that_another_process_claims_is_named(tasks, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.run.scheduler._POLL", 0.01)
    chosen = settings(tmp_path, tasks["scene"], protocols=("knn",))
    (evaluation,) = make_plan(chosen)
    unit = evaluation.directory
    claim = unit.with_name(f"{unit.name}.node17.00000000-99-1.0a1b2c3d.lease")
    claim.parent.mkdir(parents=True)
    claim.touch()
    said = []

    class Releasing(Listener):
        def say(self, text):
            said.append(text)
            claim.unlink()

    assert run(chosen, Releasing()).failures == ()
    (text,) = said
    assert text.startswith(f"waiting for {evaluation.name}, claimed by process 99 on node17, last")


def test_a_unit_that_another_process_holds_is_given_to_no_worker(tasks, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.run.scheduler._POLL", 0.01)
    chosen = settings(tmp_path, tasks["scene"])
    plan = make_plan(chosen)
    unit = plan[0].embeddings.units[0].directory
    claim = unit.with_name(f"{unit.name}.node17.00000000-99-1.0a1b2c3d.lease")
    claim.parent.mkdir(parents=True)
    claim.touch()
    engine = Recording()

    class Releasing(Listener):
        def say(self, text):
            assert engine.units.count("embed") == 2
            claim.unlink()

    assert execute(plan, engine, chosen.out, "test", Releasing()).failures == ()
    assert engine.units.count("embed") == 3


def test_a_model_that_does_not_load_says_that_nothing_was_run(tasks, tmp_path):
    models = (LOGMEL, ModelSpec("harness.baselines.logmell"))
    with pytest.raises(UserError, match="Nothing was run, because all models must load"):
        make_plan(settings(tmp_path, tasks["scene"], models=models))


def test_what_a_protocol_does_not_support_is_left_out_and_told(tasks, tmp_path):
    chosen = settings(tmp_path, tasks["scene"], tasks["events"], protocols=("knn", "linear"))
    said = []
    plan = make_plan(chosen, said.append)
    scene, events = tasks["scene"].name, tasks["events"].name
    assert {(e.protocol, e.task_name) for e in plan} == {
        ("knn", scene), ("linear", scene), ("linear", events),
    }  # fmt: skip
    assert plan.unsupported == {"knn": (events,)}
    assert f"left out, not supported by the protocol knn: {events}" in said


def test_nothing_supported_at_all_is_refused(tasks, tmp_path):
    chosen = settings(tmp_path, tasks["events"], protocols=("knn", "byola"))
    with pytest.raises(UserError) as refused:
        make_plan(chosen)
    assert [line.split("'")[1] for line in str(refused.value).splitlines()] == ["knn", "byola"]
    assert not tmp_path.joinpath("checked-audio.json").exists()


def test_bad_audio_is_named_before_any_work_and_left_out_on_request(tmp_path):
    task = task_directories.make_task(tmp_path / "tasks", "scene", n=12, seconds=0.5)
    bad = sorted((task / "16000" / "train").iterdir())[5]
    bad.write_bytes(b"not a wav")
    chosen = settings(tmp_path / "out", task)
    with pytest.raises(UserError, match=bad.name):
        make_plan(chosen)
    assert not (tmp_path / "out" / "embeddings").exists()
    summary = run(dataclasses.replace(chosen, skip_bad=True))
    assert summary.failures == ()
    assert set(summary.table.n_skipped) == {1}


def test_shards_share_the_work_without_overlap(tasks, tmp_path):
    whole = make_plan(settings(tmp_path, *tasks.values()))
    parts = [make_plan(settings(tmp_path, *tasks.values(), shard=(i, 3))) for i in (1, 2, 3)]
    names = [evaluation.name for part in parts for evaluation in part]
    assert sorted(names) == sorted(evaluation.name for evaluation in whole)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protocols": ("liner",)}, "Unknown protocol 'liner'. Did you mean 'linear'"),
        ({"seeds": 0}, "--seeds must be 1 or more"),
        (
            {"models": (LOGMEL, LOGMEL)},
            "The pair of model 'logmel' and task 'tiny_scene-v1-full' occurs twice",
        ),
        ({"models": (ModelSpec("harness.baselines.logmell"),)}, "logmel"),
    ],
)
def test_mistakes_are_named_before_any_work(tasks, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        make_plan(settings(tmp_path, tasks["scene"], tasks["events"], **changes))


def test_worker_processes_give_the_results_of_one_process(tasks, tmp_path):
    chosen = settings(tmp_path / "inline", tasks["scene"], tasks["events"])
    inline = run(chosen).table
    other = dataclasses.replace(chosen, out=tmp_path / "workers")
    workers = execute(make_plan(other), LocalEngine(["cpu", "cpu"]), other.out).table
    for column in ("task", "metric", "split"):
        assert workers[column].tolist() == inline[column].tolist()
    np.testing.assert_allclose(workers.value, inline.value, rtol=1e-6)


class DyingEngine(InlineEngine):
    """Its workers die so many times at the first job that it gets, or the first of a kind."""

    def __init__(self, deaths: int, code: int, kind=None) -> None:
        super().__init__("cpu")
        self.slots = 2
        self.deaths, self.code, self.kind, self.killer = deaths, code, kind, None

    def submit(self, function, *arguments, **how):
        if self.kind in (None, arguments[0]):
            self.killer = self.killer or arguments
        if self.deaths and arguments == self.killer:
            self.deaths -= 1
            future: Future = Future()
            future.set_exception(WorkerDied(self.code))
            return future
        return super().submit(function, *arguments)


class Recording(InlineEngine):
    def __init__(self) -> None:
        super().__init__("cpu")
        self.units: list[str] = []

    def submit(self, function, *arguments, **options):
        self.units.append(arguments[0].__name__)
        return super().submit(function, *arguments, **options)


def test_workers_share_a_long_split_and_a_stop_loses_a_chunk(tmp_path, monkeypatch):
    task = task_directories.make_task(tmp_path, "scene", n=24, seconds=1.0)

    def stores(out: Path) -> dict[str, bytes]:
        files = sorted((out / "embeddings").rglob("*.np[yz]"))
        return {str(file.relative_to(out)): file.read_bytes() for file in files}

    whole = settings(tmp_path / "whole", task)
    run(whole)
    monkeypatch.setattr(chunks, "SHORTEST_SECONDS", 10.0)
    shared, counting = settings(tmp_path / "shared", task), Counting()
    plan = make_plan(shared)
    assert [len(unit.chunks) for unit in plan[0].embeddings.units] == [2, 2, 2]
    execute(plan, LocalEngine(["cpu"] * 2), shared.out, "test", counting)
    assert counting.done["embedded"] == 3
    assert stores(shared.out) == stores(whole.out)
    # A run that stopped goes on with the chunks that are missing.
    stopped = settings(tmp_path / "stopped", task)
    plan = make_plan(stopped)
    unit = plan[0].embeddings.units[0]
    jobs.embed_part(stopped.out, unit, unit.chunks[0], device="cpu")
    engine = Recording()
    execute(make_plan(stopped), engine, stopped.out, "test", embed_only=True)
    assert (engine.units.count("embed_part"), engine.units.count("embed")) == (5, 3)
    assert stores(stopped.out) == stores(whole.out)
    assert not list(stopped.out.rglob("*-chunks"))


def test_a_death_that_is_not_of_memory_delays_no_other_job(tasks, tmp_path):
    class Overlapping(InlineEngine):
        """The first job ends only after the second one, whose worker dies once."""

        window = 2

        def __init__(self) -> None:
            super().__init__("cpu")
            self.jobs: list[Path] = []

        def submit(self, function, *arguments, **options):
            self.jobs.append(arguments[2].directory)
            if len(self.jobs) == 1:
                self.first, self.call = Future(), (function, arguments)
                return self.first
            if len(self.jobs) == 2:
                died = Future()
                died.set_exception(WorkerDied(3))
                return died
            done = super().submit(function, *arguments, **options)
            if not self.first.done():
                function, arguments = self.call
                self.first.set_result(function(*arguments, device="cpu"))
            return done

    chosen, engine = settings(tmp_path, tasks["scene"]), Overlapping()
    assert execute(make_plan(chosen), engine, chosen.out, embed_only=True).failures == ()
    assert engine.jobs[1] == engine.jobs[2] != engine.jobs[0]


def test_a_job_whose_worker_died_once_is_tried_again(tasks, tmp_path):
    chosen, said = settings(tmp_path, tasks["scene"]), []

    class Hearing(Listener):
        def say(self, text):
            said.append(text)

    summary = execute(make_plan(chosen), DyingEngine(1, -9), chosen.out, "test", Hearing())
    assert summary.failures == ()
    (text,) = said
    assert "its worker process was killed by signal 9 (Killed); the unit is tried once" in text
    assert (summary.table.status == "done").all()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "the last one was killed by signal 9 (Killed). Is memory short? Try fewer --jobs."),
        (-11, "was killed by signal 11 (Segmentation fault)."),
        (3, "the last one ended with exit code 3."),
    ],
)
def test_a_job_whose_worker_dies_twice_fails_alone(tasks, tmp_path, code, said):
    chosen = settings(tmp_path, tasks["scene"], tasks["kfold"])
    summary = execute(make_plan(chosen), DyingEngine(2, code), chosen.out)
    ((_, error),) = summary.failures
    assert said in error
    assert error.startswith("logmel · tiny_kfold-v1-full · embedding of fold00: its worker ")
    assert sorted(set(summary.table.status)) == ["done", "failed"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (jobs.run_probe, r"probe of fold 0 \{.*\}: its worker process died"),
        (jobs.score, "its worker process died"),
    ],
)
def test_an_error_of_an_evaluation_does_not_repeat_its_name(tasks, tmp_path, kind, told):
    chosen = settings(tmp_path, tasks["scene"])
    summary = execute(make_plan(chosen), DyingEngine(2, 3, kind), chosen.out)
    ((name, error),) = summary.failures
    assert name.startswith("logmel · tiny_scene-v1-full · ")
    assert re.match(told, error)


def test_a_run_killed_at_any_moment_goes_on_to_the_same_results(tasks, tmp_path):
    whole = settings(tmp_path / "whole", tasks["kfold"], protocols=("linear", "knn"))
    expected = run(whole).table
    out = tmp_path / "killed"
    command = [
        sys.executable, "-m", "harness.cli", "run", "-m", "harness.baselines.logmel,name=logmel",
        "-t", str(tasks["kfold"]), "--protocol", "linear", "--protocol", "knn", "--out", str(out),
        "--jobs", "1",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(out.glob("embeddings/*/*/fold*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "results.csv").exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = read_csv(out / "results.csv")
    assert table.value.tolist() == expected.value.tolist()
    assert not list(out.rglob("*.lease"))


def test_the_state_of_a_long_probe_is_removed_when_it_is_done(tasks, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Partial, "due", lambda self: seen.append(self._path) or True)
    run(settings(tmp_path / "kept", tasks["scene"], protocols=("byola",)))
    assert len({*seen}) == 10
    assert all(path.suffix == ".partial" and path.with_suffix("").is_dir() for path in seen)
    assert not list(tmp_path.rglob("*.partial"))


FAULTY = {
    "ends": ("os._exit(7)", "tried to end the process (SystemExit: 7) (clip 'train-0000.wav'"),
    "ends_in_c": (
        "__import__('ctypes').CDLL(None)._exit(7)",
        "its worker process died 2 times; the last one ended with exit code 7",
    ),
    "crashes": ("os.kill(os.getpid(), 11)", "killed by signal 11 (Segmentation fault) at clip 't"),
    "odd_text": ("raise RuntimeError('bad \\udcff text')", "RuntimeError: bad \\udcff text (clip"),
    "no_text": ("raise Wordless", "Wordless (clip 'train-0000.wav'"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "leaves_thread": ("threading.Thread(target=time.sleep, args=(1000,)).start()", ""),
    "leaves_child": ("subprocess.Popen(['sleep', '1000'])", ""),
    "changes_state": ("torch.set_default_dtype(torch.float64); os.environ.clear()", ""),
}

FAULTY_TOP = """
import os, subprocess, threading, time
import torch
class Wordless(Exception):
    def __str__(self): raise ValueError
"""


def faulty(name: str, fault: str) -> ModelSpec:
    """Write a module that fails on a batch of the task; the fixed sound is never a batch of 3."""
    code = TINY_MODULE.replace("import torch", FAULTY_TOP).replace(
        "return model(audio).mean(1)",
        f"if len(audio) > 2:\n        {fault}\n    return model(audio).mean(1)",
    )
    Path(f"{name}.py").write_text(code)
    return ModelSpec(f"./{name}.py", name=name)


@pytest.mark.skipif(os.name != "posix", reason="needs worker processes")
def test_a_faulty_model_costs_only_its_own_units(tasks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = (*(faulty(name, fault) for name, (fault, _) in FAULTY.items()), LOGMEL)
    chosen = settings(tmp_path / "out", tasks["scene"], models=models, protocols=("knn",))
    summary = execute(make_plan(chosen), LocalEngine(["cpu"]), chosen.out)
    failed = {name.split(" ")[0]: error for name, error in summary.failures}
    assert failed.keys() == {name for name, (_, said) in FAULTY.items() if said}
    for name, error in failed.items():
        assert FAULTY[name][1] in error
    status = read_csv(chosen.out / "results.csv").groupby("model").status.first()
    assert {model for model in status.index if status[model] == "failed"} == failed.keys()
    left = [path for end in ("lease", "part", "progress") for path in chosen.out.rglob(f"*.{end}")]
    assert left == []


@pytest.mark.skipif(os.name != "posix", reason="needs worker processes")
def test_a_model_that_sleeps_for_ever_fails_its_unit(tasks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = faulty("sleeps", "time.sleep(1000)")
    chosen = settings(tmp_path / "out", tasks["scene"], models=(model,), protocols=("knn",))
    summary = execute(make_plan(chosen), LocalEngine(["cpu"]), chosen.out, unit_timeout=5.0)
    ((_, error),) = summary.failures
    assert "embedding of train: no progress for 5 s" in error
    assert "use --unit-timeout" in error


def test_a_task_that_breaks_during_a_run_fails_alone(tasks, tmp_path):
    task = Path(shutil.copytree(tasks["kfold"], tmp_path / "broken" / tasks["kfold"].name))
    chosen = settings(tmp_path / "out", task, tasks["scene"], protocols=("knn",))
    plan = make_plan(chosen)

    class Breaking(Listener):
        def embedded(self, unit):
            (task / "fold00.json").write_text("{")

    summary = execute(plan, InlineEngine("cpu"), chosen.out, "test", Breaking())
    ((name, error),) = summary.failures
    assert task.name in name
    assert "fold00.json" in error
    assert summary.table.task.unique().tolist() == [tasks["scene"].name]


TINY_MODULE = """
import torch

class Model(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 16000, 8, 8

    def __init__(self, seed):
        super().__init__()
        weights = torch.randn(400, 8, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("weights", weights)

    def forward(self, audio):
        frames = audio.unfold(1, 400, 400)
        return (torch.fft.rfft(frames).abs()[..., :200] @ self.weights[:200])

def load_model(path=""):
    return Model(int(open(path).read()) if path else 0)

def get_scene_embeddings(audio, model):
    return model(audio).mean(1)

def get_timestamp_embeddings(audio, model):
    out = model(audio)
    # NAN
    times = (torch.arange(out.shape[1]) + 0.5) * 25.0
    return out, times.expand(len(audio), -1)
"""
