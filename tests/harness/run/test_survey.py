"""What is seen of a run before, during and after its work, by processes that only look."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest
from support import task_directories

from harness.core.errors import UserError
from harness.core.lease import claims_in, lease
from harness.models.spec import ModelSpec
from harness.run import jobs
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.listener import Listener
from harness.run.plan import Settings, make_plan
from harness.run.planned import FOLDER, announced, describe, read_plans
from harness.run.survey import survey
from tasks.format.task import TaskSource

LOGMEL = ModelSpec("harness.baselines.logmel", name="logmel")
RANDOM = ModelSpec("hear_byola", options={"seed": 1}, name="random")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> dict[str, TaskSource]:
    root = tmp_path_factory.mktemp("tasks")
    return {
        "scene": TaskSource(task_directories.make_task(root, "scene", n=24, seconds=0.5)),
        "kfold": TaskSource(task_directories.make_task(root, "kfold", n=24, seconds=0.5)),
        "events": TaskSource(task_directories.make_task(root, "events", n=4, seconds=4.0)),
    }


@pytest.fixture
def chosen(tasks, tmp_path) -> Settings:
    return Settings((LOGMEL,), (tasks["scene"],), ("linear", "knn"), out=tmp_path / "out")


def run(chosen: Settings, listener: Listener | None = None, **options):
    plan = make_plan(chosen)
    return execute(plan, InlineEngine("cpu"), chosen.out, "test", listener, **options)


def states(chosen: Settings) -> list[tuple[dict[str, int], dict[str, int]]]:
    found = survey(read_plans(chosen.out), chosen.out)
    return [(vars(pair.splits), vars(pair.evaluations)) for pair in found.pairs]


def counts(**numbers: int) -> dict[str, int]:
    return {"done": 0, "claimed": 0, "failed": 0, "to_do": 0} | numbers


def test_a_look_at_a_plan_writes_nothing(chosen):
    plan = make_plan(dataclasses.replace(chosen, read_only=True))
    found = survey([describe(plan, chosen.out, "")], chosen.out, slots=2)
    (pair,) = found.pairs
    assert (pair.model, pair.task) == ("logmel", "tiny_scene-v1-full")
    assert vars(pair.splits) == counts(to_do=3)
    assert vars(pair.evaluations) == counts(to_do=2)
    assert (pair.complete, found.left) == (False, "")  # no unit was timed
    assert found.rough_left.startswith("very roughly ")
    # three splits of 24 clips of 0.5 s, and two evaluations of one probe on 24 embeddings
    assert pair.rough == pytest.approx(3 * 24 * 0.5 * 0.006 + 2 * 24 * 0.02)
    assert pair.bytes > 0
    assert not chosen.out.exists()


def test_a_look_sees_the_plan_that_a_run_makes(chosen):
    seen = describe(make_plan(dataclasses.replace(chosen, read_only=True)), chosen.out, "")
    run(chosen)
    (planned,) = read_plans(chosen.out)
    assert planned.name == seen.name
    assert {each.folder for each in planned.evaluations} == {
        each.folder for each in seen.evaluations
    }


def test_what_is_done_and_claimed_is_counted(chosen):
    seen = []

    class Looking(Listener):
        def embedded(self, unit):
            seen.append(states(chosen))

        def scored(self, evaluation):
            seen.append(states(chosen))

    run(chosen, Looking())
    totals = [(splits["done"], evaluations["done"]) for ((splits, evaluations),) in seen]
    assert totals == sorted(totals)
    assert totals[0][1] == 0
    assert seen[-1] == [(counts(done=3), counts(done=2))]
    assert all(sum(each[0].values()) == 3 for (each,) in seen)
    found = survey(read_plans(chosen.out), chosen.out)
    assert (found.workers, found.holders, found.idle, found.others) == ((), (), (), 0)
    # A later command adds seeds: what it left open is open, and rates are known.
    more = dataclasses.replace(chosen, seeds=2)
    with announced(describe(make_plan(more), chosen.out, "more"), chosen.out, 3):
        evaluation = next(e for e in make_plan(more) if not e.directory.is_dir())
        with lease(evaluation.directory):
            found = survey(read_plans(chosen.out), chosen.out)
    (pair,) = found.pairs
    assert vars(pair.evaluations) == counts(done=2, claimed=1, to_do=1)
    assert pair.complete
    assert pair.seconds > 0
    assert found.left.startswith("about")
    assert found.slots == 3
    (worker,), (holder,) = found.workers, found.holders
    assert worker.unit == "more"
    assert holder.unit == f"{evaluation.name} · scores"
    assert (holder.process, holder.alive, holder.expired) == (os.getpid(), True, False)
    assert 0 <= time.time() - holder.since < 60
    assert 0 <= holder.heartbeat < 60
    after = survey(read_plans(chosen.out), chosen.out)
    assert after.idle == ("more",)
    assert after.workers == ()


def test_failures_are_named_until_they_are_repaired(chosen, tmp_path):
    broken, whole = tmp_path / "broken.py", tmp_path / "whole.py"
    text = (
        "from harness.baselines.logmel import *\n"
        "from harness.baselines import logmel\n"
        "def load_model(*a, **k): return logmel.load_model()\n"
        "def get_timestamp_embeddings(a, m): return logmel.get_timestamp_embeddings(a, m)\n"
        "def get_scene_embeddings(a, m):\n"
        "    if len(a) > 2: raise ValueError('out of tune')\n"
        "    return logmel.get_scene_embeddings(a, m)\n"
    )
    broken.write_text(text)
    bad = dataclasses.replace(chosen, models=(LOGMEL, ModelSpec(str(broken), name="broken")))
    assert run(bad, embed_only=True).failures
    found = survey(read_plans(bad.out), bad.out)
    by_model = {pair.model: vars(pair.splits) for pair in found.pairs}
    assert by_model == {"logmel": counts(done=3), "broken": counts(failed=3)}
    (failure,) = found.failures
    assert failure.name == "broken · tiny_scene-v1-full · embeddings"
    assert "out of tune" in failure.error
    assert len(run(bad).failures) == 2
    found = survey(read_plans(bad.out), bad.out)
    by_model = {pair.model: vars(pair.evaluations) for pair in found.pairs}
    assert by_model == {"logmel": counts(done=2), "broken": counts(failed=2)}
    assert vars(found.pairs[1].splits) == counts(failed=3)
    assert {failure.name for failure in found.failures} == {
        f"broken · tiny_scene-v1-full · {protocol} · seed 0" for protocol in ("linear", "knn")
    }
    assert all("out of tune" in failure.error for failure in found.failures)
    whole.write_text(text.replace("len(a) > 2", "False"))
    run(dataclasses.replace(chosen, models=(ModelSpec(str(whole), name="broken"),)))
    found = survey(read_plans(bad.out), bad.out)
    # The repaired module has other fingerprints. The failures of the old one do not count.
    assert found.failures == ()
    assert all(vars(pair.evaluations) == counts(done=2) for pair in found.pairs)


def test_plans_of_several_processes_are_joined(chosen, tasks):
    other = dataclasses.replace(chosen, tasks=(tasks["kfold"],), protocols=("knn",))
    run(dataclasses.replace(chosen, protocols=("knn",)), embed_only=True)
    run(other)
    run(other)
    found = survey(read_plans(chosen.out), chosen.out)
    assert {pair.task: (pair.splits.done, pair.evaluations.all) for pair in found.pairs} == {
        "tiny_scene-v1-full": (3, 0),
        "tiny_kfold-v1-full": (3, 1),
    }
    assert len(list((chosen.out / FOLDER).iterdir())) == 2
    assert claims_in(chosen.out / FOLDER) == []


def test_a_long_split_is_claimed_by_its_chunks(chosen, tasks, monkeypatch):
    monkeypatch.setattr("harness.embeddings.chunks.SHORTEST_SECONDS", 4.0)
    plan = make_plan(chosen)
    (train, *_) = plan[0].embeddings.units
    assert len(train.chunks) >= 2
    planned = describe(plan, chosen.out, "test")
    with announced(planned, chosen.out, 1), lease(train.chunks[0].directory):
        found = survey(read_plans(chosen.out), chosen.out)
    assert vars(found.pairs[0].splits) == counts(claimed=1, to_do=2)
    assert found.holders[0].unit == "logmel · tiny_scene-v1-full · embedding of train"


@pytest.mark.parametrize(
    "protocols", [("linear",), pytest.param(("hear2021", "knn"), marks=pytest.mark.slow)]
)
def test_the_expected_size_is_that_of_the_run(tasks, tmp_path, protocols):
    out = tmp_path / "out"
    chosen = Settings((LOGMEL, RANDOM), tuple(tasks.values()), protocols, out=out)
    planned = describe(make_plan(dataclasses.replace(chosen, read_only=True)), out, "")
    expected = sum(pair.bytes for pair in survey([planned], out).pairs)
    run(chosen)
    left = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    left -= sum(p.stat().st_size for p in (out / FOLDER).iterdir())
    assert expected == pytest.approx(left, rel=0.1)


def test_a_folder_without_a_plan_and_a_damaged_plan_are_named(chosen, tmp_path):
    with pytest.raises(UserError, match="contains no plan of a run"):
        read_plans(tmp_path)
    with announced(describe(make_plan(chosen), chosen.out, "test"), chosen.out, 1):
        pass
    (file,) = (chosen.out / FOLDER).glob("*.json")
    content = json.loads(file.read_text())
    for text, said in (
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        (json.dumps(content | {"format_version": 9}), "its format version is not 1"),
        (json.dumps(content | {"splits": [{"folder": "/etc"}]}), "a folder in that of the run"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=said):
            read_plans(chosen.out)


def folders(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.glob("*/*/*/*")}


def test_the_longest_work_comes_first_and_changes_no_result(tmp_path, monkeypatch):
    root = tmp_path / "tasks"
    made = [
        TaskSource(task_directories.make_task(root, kind, n=n, seconds=0.5, name=name))
        for kind, n, name in (("kfold", 6, "short"), ("scene", 36, "long"))
    ]
    chosen = Settings((LOGMEL,), tuple(made), ("knn",), out=tmp_path / "out")
    order: list[str] = []

    class Noting(InlineEngine):
        def submit(self, function, *arguments, **options):
            if function == jobs.timed and arguments[0] == jobs.embed:
                order.append(arguments[2].source.directory.name)
            return super().submit(function, *arguments, **options)

    summary = execute(make_plan(chosen), Noting("cpu"), chosen.out)
    assert order == ["long-v1-full"] * 3 + ["short-v1-full"] * 3
    monkeypatch.setattr(
        "harness.run.scheduler.longest_first", lambda planned, *_: planned.evaluations
    )
    order.clear()
    other = dataclasses.replace(chosen, out=tmp_path / "plain")
    plain = execute(make_plan(other), Noting("cpu"), other.out)
    assert order == ["short-v1-full"] * 3 + ["long-v1-full"] * 3
    own = ["run_id", "started_at", "embed_seconds", "probe_seconds"]
    assert summary.table.drop(columns=own).equals(plain.table.drop(columns=own))
    assert folders(chosen.out) == folders(other.out)


def test_a_failed_embedding_is_known_until_it_succeeds(chosen, tmp_path):
    """The module fails while a file exists, so its fingerprint stays the same."""
    switch = tmp_path / "switch"
    module = tmp_path / "moody.py"
    module.write_text(
        "import pathlib\n"
        "from harness.baselines.logmel import *\n"
        "from harness.baselines import logmel\n"
        "def load_model(*a, **k): return logmel.load_model()\n"
        "def get_scene_embeddings(a, m):\n"
        f"    if len(a) > 2 and pathlib.Path({str(switch)!r}).exists(): raise ValueError('flat')\n"
        "    return logmel.get_scene_embeddings(a, m)\n"
    )
    chosen = dataclasses.replace(chosen, models=(ModelSpec(str(module), name="moody"),))
    switch.touch()
    run(chosen, embed_only=True)
    assert [splits for splits, _ in states(chosen)] == [counts(failed=3)]
    switch.unlink()
    run(chosen, embed_only=True)
    assert [splits for splits, _ in states(chosen)] == [counts(done=3)]
    assert survey(read_plans(chosen.out), chosen.out).failures == ()
    assert list(chosen.out.rglob("*.failed")) == []
