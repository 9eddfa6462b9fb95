"""The time left of a run, in words, and what it is working on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from support import task_directories

from harness.commands import progress as progress_module
from harness.commands.progress import RunDisplay
from harness.models.spec import ModelSpec
from harness.run import pulse as pulse_module
from harness.run.engines import InlineEngine
from harness.run.estimate import Estimate, Rates, WorkPart
from harness.run.execute import execute
from harness.run.forecast import forecast
from harness.run.listener import Listener
from harness.run.plan import Settings, make_plan
from harness.run.planned import PlannedEvaluation, describe
from harness.run.pulse import pulse, pulse_of
from tasks.format.task import TaskSource

LOGMEL = ModelSpec("harness.baselines.logmel", name="logmel")


@pytest.fixture
def chosen(tmp_path) -> Settings:
    tasks = [
        TaskSource(task_directories.make_task(tmp_path / "tasks", kind, n=9, seconds=0.5))
        for kind in ("scene", "kfold")
    ]
    return Settings((LOGMEL,), tuple(tasks), ("linear", "knn"), out=tmp_path / "out")


def test_the_time_left_follows_from_what_was_done(chosen):
    plan = make_plan(chosen)
    units = [unit for e in plan if e.protocol == "linear" for unit in e.embeddings.units]
    planned = describe(plan, chosen.out, "")
    estimate = forecast(planned.splits, planned.evaluations, chosen.out, slots=1)
    assert estimate.left() == ""
    # All splits have as many seconds of audio: one took 10 s, five are left.
    estimate.took(units[0].directory, 10.0, whole=True, share=units[0].seconds)
    assert estimate.left() == "more than 50 s left"
    for unit in units[1:]:
        estimate.took(unit.directory, 10.0, whole=True, share=unit.seconds)
    scene, _ = (e for e in plan if e.protocol == "linear")
    estimate.took(scene.directory, 20.0, whole=False, share=1.0)
    assert estimate.left() == "more than 60 s left"  # three folds of the other task
    estimate.took(scene.directory, 0.0, whole=True)
    for evaluation in plan:
        if evaluation.protocol == "knn":
            estimate.took(evaluation.directory, 1.0, whole=False, share=1.0)
    assert estimate.left() == "about 62 s left"
    several = forecast(planned.splits, planned.evaluations, chosen.out, slots=2)
    several.took(units[0].directory, 10.0, whole=True, share=units[0].seconds)
    assert several.left() == "more than 25 s left"


def test_probes_of_another_task_take_as_long_as_its_size_tells():
    large, small = (Path(name) for name in ("large", "small"))
    parts = {
        large: WorkPart(("probe", "hear2021", "large"), 4.0, 3.0),
        small: WorkPart(("probe", "hear2021", "small"), 40.0, 0.1),
    }
    estimate = Estimate(parts, slots=1)
    estimate.took(large, 24.0, whole=True, share=4.0)  # twice as long as usual
    assert estimate.seconds([small]) == (8.0, True)
    stored = Rates()
    stored.add(("probe", "hear2021", "other"), 10.0, 20.0)
    assert Estimate({small: parts[small]}, 1, stored).seconds([small]) == (2.0, True)


def test_stored_probes_are_compared_with_the_size_of_their_own_model(tmp_path):
    planned = [
        PlannedEvaluation(
            model=model, task="t", protocol="linear", seed=0, folder=f"results/{model}/t/0",
            failure=f"results/{model}/t/0-failed", splits=(),
            probes=(f"probes/{model}/t/linear-seed0-0",), most=1, rows=rows, bytes=0,
        )
        for model, rows in [("fine", 1000), ("coarse", 10)]
    ]  # fmt: skip
    stored = tmp_path / planned[0].probes[0]
    stored.mkdir(parents=True)
    (stored / "unit.json").write_text('{"seconds": 50}')
    for order in (planned, planned[::-1]):
        estimate = forecast((), order, tmp_path, slots=1)
        assert estimate.seconds([tmp_path / "results/coarse/t/0"]) == (pytest.approx(0.5), True)


def test_what_a_worker_tells_of_a_unit_is_gone_with_its_work(tmp_path, monkeypatch):
    monkeypatch.setattr(pulse_module, "_EVERY", 0.0)
    unit = tmp_path / "unit"
    assert pulse_of(unit) == ""
    with pulse(unit) as tell:
        tell("epoch 3")
        assert pulse_of(unit) == "epoch 3"
    assert list(tmp_path.iterdir()) == []
    with pulse(tmp_path / "no folder" / "unit") as tell:
        tell("nowhere to write")


def test_a_run_tells_what_it_is_working_on_and_leaves_no_trace_of_it(chosen, monkeypatch):
    monkeypatch.setattr(pulse_module, "_EVERY", 0.0)
    told: list[tuple[str, str]] = []
    extents: set[str] = set()
    stop = threading.Event()

    class Telling(Listener):
        def __init__(self) -> None:
            self.now: list[tuple[str, Path]] = []

        def working(self, units, left):
            self.now = list(units)
            told.extend((name, left) for name, _ in units)

    listener = Telling()

    def look() -> None:
        while not stop.is_set():
            extents.update(pulse_of(unit) for _, unit in listener.now)
            time.sleep(0.0005)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        execute(make_plan(chosen), InlineEngine("cpu"), chosen.out, listener=listener)
    finally:
        stop.set()
        watch.join()
    names = {name for name, _ in told}
    assert {e.name for e in make_plan(chosen)} <= names
    assert any("embedding of" in name for name in names)
    assert any(left.startswith("about") for _, left in told)
    assert any(text.startswith(("clip ", "strength ")) for text in extents)
    assert not list(chosen.out.rglob("*.progress"))


def test_a_log_file_gets_a_line_where_a_unit_takes_long(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr(progress_module, "_LINE_EVERY", 0.05)
    unit = tmp_path / "unit"
    unit.with_name("unit.progress").write_text("epoch 7 of at most 500")
    with RunDisplay() as listener:
        listener.working(
            [("logmel · t · mlp · seed 0", unit), ("another", unit)], "about 4 min left"
        )
        time.sleep(0.5)
    said = capsys.readouterr().err.splitlines()
    assert 1 <= len(said) <= 12
    expected = "logmel · t · mlp · seed 0 (epoch 7 of at most 500) and 1 more; about 4 min left"
    assert set(said) == {f"working on {expected}"}
