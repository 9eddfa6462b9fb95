"""Faults around a run: limits of the system, full disks, what vanishes, and other runs."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import task_directories

from harness.core.calls import WorkerDied
from harness.core.errors import Damaged
from harness.models.spec import ModelSpec
from harness.results import read_csv
from harness.run.engines import InlineEngine, LocalEngine
from harness.run.execute import Summary, execute
from harness.run.folder import remove_damaged
from harness.run.listener import Listener
from harness.run.plan import Settings, TaskSource, make_plan
from harness.run.units import EmbeddingUnit

LOGMEL = ModelSpec("harness.baselines.logmel", name="logmel")
LONG = 900.0  # seconds after which a command hangs, also on a busy machine
OF_A_RUN = ["run_id", "command", "started_at", "embed_seconds", "probe_seconds"]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return task_directories.make_task(tmp_path, "scene", n=6, seconds=0.3)


def command(task: Path, out: Path) -> list[str]:
    return [
        "run", "-m", "logmel", "-t", str(task), "--protocol", "knn", "--protocol", "linear",
        "--jobs", "1", "--out", str(out),
    ]  # fmt: skip


def start(words: list[str], before: str = "") -> subprocess.Popen[str]:
    """Start the command line, in a process that first runs some code."""
    code = f"import resource, sys\n{before}\nfrom harness.cli import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(out: Path) -> pd.DataFrame:
    return read_csv(out / "results.csv").drop(columns=OF_A_RUN)


@pytest.mark.parametrize("runs", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_runs_in_one_folder_share_the_work(task: Path, tmp_path: Path, runs: int) -> None:
    alone = start(command(task, tmp_path / "alone"))
    assert alone.wait(LONG) == 0, alone.communicate()
    together = [start(command(task, tmp_path / "out")) for _ in range(runs)]
    said = [run.communicate(timeout=LONG) for run in together]
    assert [run.returncode for run in together] == [0] * runs, said
    printed = "\n".join(err for _, err in said)
    embedded = re.findall(r"(?m)^\s*embedded .* · (\w+):", printed)
    assert sorted(embedded) == ["test", "train", "valid"]
    assert len(re.findall(r"(?m)^\s*scored ", printed)) == 2
    pd.testing.assert_frame_equal(rows(tmp_path / "out"), rows(tmp_path / "alone"))
    assert [path for end in ("lease", "part") for path in tmp_path.rglob(f"*.{end}")] == []


def test_a_run_does_not_report_what_another_run_has_done(task: Path, tmp_path: Path) -> None:
    reported: list[object] = []

    class Noting(Listener):
        embedded = probed = scored = lambda _, unit: reported.append(unit)

    class Late(InlineEngine):
        """Another run does each unit before this one."""

        def submit(self, *call: Any, **options: Any) -> Future:
            super().submit(*call, **options)
            return super().submit(*call, **options)

    settings = Settings((LOGMEL,), (TaskSource(task),), ("knn",), out=tmp_path / "out")
    summary = execute(make_plan(settings), Late("cpu"), settings.out, "test", Noting())
    assert set(summary.table.status) == {"done"}
    assert reported == []


@pytest.mark.parametrize("code", [-9, -11, 3])
def test_a_unit_whose_worker_dies_after_its_work_is_reported_once(
    task: Path, tmp_path: Path, code: int
) -> None:
    events: list[str] = []

    class Noting(Listener):
        def embedded(self, unit: EmbeddingUnit) -> None:
            events.append(unit.split)

        probed = scored = lambda *_: events.append("finished")

    class Dying(InlineEngine):
        def submit(self, *call: Any, **options: Any) -> Future:
            future = super().submit(*call, **options)
            if not events:
                future = Future()
                future.set_exception(WorkerDied(code))
            events.append("submitted")
            return future

    settings = Settings((LOGMEL,), (TaskSource(task),), ("byola",), out=tmp_path / "out")
    summary = execute(make_plan(settings), Dying("cpu"), settings.out, "test", Noting())
    assert set(summary.table.status) == {"done"}
    assert sorted({*events} - {"submitted", "finished"}) == ["test", "train", "valid"]
    assert len([each for each in events if each in ("test", "train", "valid")]) == 3
    assert "finished submitted submitted" in " ".join(events), "the death slowed the run"


def test_runs_that_find_the_same_damage_make_it_again_once(task: Path, tmp_path: Path) -> None:
    settings = Settings((LOGMEL,), (TaskSource(task),), ("knn",), out=tmp_path / "out")
    plan = make_plan(settings)
    execute(plan, InlineEngine("cpu"), settings.out)
    (unit, *_) = (unit for unit in plan[0].embeddings.units if unit.split == "test")
    found: list[Damaged] = []
    for path in unit.directory.glob("*.npz"):
        path.write_bytes(b"")
    for _ in range(3):
        with pytest.raises(Damaged) as raised:
            plan[0].embeddings.load()
        found.append(pickle.loads(pickle.dumps(raised.value)))
    with ThreadPoolExecutor(2) as others:
        assert sorted(others.map(remove_damaged, found[:2])) == [False, True]
    shutil.rmtree(plan[0].directory)
    assert execute(plan, InlineEngine("cpu"), settings.out).failures == ()
    # One that read it before it was made again leaves the new one alone.
    assert not remove_damaged(found[2])
    assert plan[0].embeddings.load()


HUGE = """
from harness.baselines import logmel
from harness.baselines.logmel import get_timestamp_embeddings, load_model

def get_scene_embeddings(audio, model):
    return logmel.get_scene_embeddings(audio, model) * 1e37
"""


def test_probes_that_diverge_everywhere_are_a_failure_with_advice(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("huge.py").write_text(HUGE)
    models = (ModelSpec("./huge.py", name="huge"),)
    chosen = Settings(models, (TaskSource(task),), ("hear2021",), out=tmp_path / "out")
    summary = execute(make_plan(chosen), InlineEngine("cpu"), chosen.out)
    ((_, error),) = summary.failures
    assert "diverged" in error
    assert "try a protocol that standardises" in error


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs the system's limits")
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("resource.RLIMIT_FSIZE, (2_000, 2_000)", "File too large. The file system or the limit"),
        ("resource.RLIMIT_NOFILE, (10, 10)", "Too many open files. Raise the limit of open files"),
    ],
)
def test_a_limit_of_the_system_is_told(task: Path, tmp_path: Path, limit: str, said: str) -> None:
    limited = start(command(task, tmp_path / "out"), f"resource.setrlimit({limit})")
    out, err = limited.communicate(timeout=LONG)
    assert limited.returncode in (1, 2)
    assert said in out + err
    assert "Traceback" not in out + err
    again = start(command(task, tmp_path / "out"))
    assert again.wait(LONG) == 0, again.communicate()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_run_on_a_full_disk_goes_on_when_there_is_room(task: Path, small_disk: Path) -> None:
    full = start(command(task, small_disk / "out"))
    out, err = full.communicate(timeout=LONG)
    assert full.returncode in (1, 2)
    assert "No space left on device. Make room there" in out + err
    assert "Traceback" not in out + err
    grown = ["mount", "-o", "remount,size=50m", str(small_disk)]
    subprocess.run(grown, check=True, capture_output=True)
    again = start(command(task, small_disk / "out"))
    assert again.wait(LONG) == 0, again.communicate()
    assert len(rows(small_disk / "out")) > 0
    assert [path for end in ("lease", "part") for path in small_disk.rglob(f"*.{end}")] == []


READ_ONLY = """
import subprocess, time
from harness.commands.progress import RunDisplay

def probed(self, evaluation):
    RunDisplay.probed = as_before
    command = ["mount", "-o", "remount,bind,ro", "VIEW"]
    # It fails while the worker writes what it has begun. The worker gets no more meanwhile.
    while subprocess.run(command, capture_output=True).returncode:
        time.sleep(0.05)
    as_before(self, evaluation)

as_before, RunDisplay.probed = RunDisplay.probed, probed
"""


@pytest.mark.slow
def test_a_folder_that_becomes_read_only_loses_nothing_finished(
    task: Path, small_disk: Path, tmp_path: Path
) -> None:
    view = tmp_path / "view"
    view.mkdir()
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    subprocess.run(["mount", "--bind", str(small_disk), str(view)], check=True)
    words = [*command(task, view / "out"), "--protocol", "byola"]
    try:
        process = start(words, READ_ONLY.replace("VIEW", str(view)))
        said = "".join(process.communicate(timeout=LONG))
        assert process.returncode == 1, said
        assert "Read-only file system. Name a place that can be written." in said
        assert "Traceback" not in said
        done = {path: path.stat().st_ino for path in small_disk.glob("out/*/*/*/*/*.json")}
        assert done
        subprocess.run(["mount", "-o", "remount,bind,rw", str(view)], check=True)
        again = start(words)
        assert again.wait(LONG) == 0, again.communicate()
        assert done.items() <= {path: path.stat().st_ino for path in done}.items()
        assert set(rows(view / "out").status) == {"done"}
        assert [path for end in ("lease", "part") for path in small_disk.rglob(f"*.{end}")] == []
    finally:
        subprocess.run(["umount", str(view)], check=True)


def run(out: Path, *tasks: Path, listener: Listener) -> Summary:
    settings = Settings((LOGMEL,), tuple(map(TaskSource, tasks)), ("knn",), out=out)
    return execute(make_plan(settings), InlineEngine("cpu"), out, "test", listener)


def test_audio_that_vanishes_during_a_run_fails_its_task_alone(task: Path, tmp_path: Path) -> None:
    other = task_directories.make_task(tmp_path, "kfold", n=5, seconds=0.3)

    class Removing(Listener):
        def planned(self, embeddings: int, evaluations: int) -> None:
            (other / "16000" / "fold01" / "fold01-0002.wav").unlink()

    summary = run(tmp_path / "out", task, other, listener=Removing())
    ((name, error),) = summary.failures
    assert other.name in name
    assert re.search(r"fold01-0002\.wav.*(is missing|No such file)", error)
    status = read_csv(tmp_path / "out" / "results.csv").groupby("task").status.first()
    assert status.to_dict() == {task.name: "done", other.name: "failed"}


def test_a_folder_that_vanishes_during_a_run_loses_only_what_it_held(
    task: Path, tmp_path: Path
) -> None:
    out, removed = tmp_path / "out", []

    class Removing(Listener):
        def embedded(self, unit: object) -> None:
            if not removed:
                removed.append(unit)
                shutil.rmtree(out)

    run(out, task, listener=Removing())
    summary = run(out, task, listener=Listener())
    assert summary.failures == ()
    assert set(rows(out).status) == {"done"}


MODULE = """
import os, sys, torch
from harness.baselines import logmel
from harness.baselines.logmel import get_timestamp_embeddings, load_model

def get_scene_embeddings(audio, model):
    if len(audio) > 2:
        FAULT
    return logmel.get_scene_embeddings(audio, model)
"""
FAULTS = {
    "prints": ("print('x' * 5_000_000); os.write(2, b'y' * 100)", ""),
    "takes_memory": ("torch.empty(1 << 55, dtype=torch.uint8)", "clip 'train-0000.wav'"),
    "takes_all": ("bytearray(1 << 55)", "MemoryError"),
    "gives_nan": ("return logmel.get_scene_embeddings(audio, model) * float('nan')", "NaN"),
    "changes_seeds": ("torch.manual_seed(1); torch.set_grad_enabled(False)", ""),
    "changes_threads": ("torch.set_num_threads(3); os.chdir('/')", ""),
}


@pytest.mark.skipif(os.name != "posix", reason="needs worker processes")
def test_a_faulty_module_is_named_with_its_clip_and_tried_again(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, (fault, _) in FAULTS.items():
        Path(f"{name}.py").write_text(MODULE.replace("FAULT", fault))
    models = (LOGMEL, *(ModelSpec(f"./{name}.py", name=name) for name in FAULTS))
    chosen = Settings(models, (TaskSource(task),), ("knn",), out=tmp_path / "out")
    summary = execute(make_plan(chosen), LocalEngine(["cpu"]), chosen.out)
    failed = {name.split(" ")[0]: error for name, error in summary.failures}
    assert failed.keys() == {name for name, (_, said) in FAULTS.items() if said}
    for name, error in failed.items():
        assert FAULTS[name][1] in error
    done = summary.table[(summary.table.split == "all") & (summary.table.status == "done")]
    assert done.model.nunique() == 1 + len(FAULTS) - len(failed)
    assert set(done.groupby("metric").value.nunique()) == {1}, "these faults change no score"
    again = execute(make_plan(chosen), LocalEngine(["cpu"]), chosen.out)
    assert [name for name, _ in again.failures] == [name for name, _ in summary.failures]


PRINTING = {
    "prints_and_raises": "print('loud'); os.write(2, b'louder'); raise ValueError('no ears')",
    "prints_and_dies": "os.system('echo loud'); print('louder'); sys.stdout.flush(); os.abort()",
    "prints_much_and_raises": "print('x' * 3_000_000, 'loud louder'); raise ValueError('no ears')",
    "prints_and_works": "print('quiet')",
    "raises": "raise ValueError('no ears')",
}


@pytest.mark.skipif(os.name != "posix", reason="needs worker processes")
def test_what_a_failing_module_printed_is_kept_and_named(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, fault in PRINTING.items():
        Path(f"{name}.py").write_text(MODULE.replace("FAULT", fault))
    models = tuple(ModelSpec(f"./{name}.py", name=name) for name in PRINTING)
    chosen = Settings(models, (TaskSource(task),), ("knn",), out=tmp_path / "out")
    summary = execute(make_plan(chosen), LocalEngine(["cpu"]), chosen.out)
    failed = {name.split(" ")[0]: error for name, error in summary.failures}
    assert failed.keys() == PRINTING.keys() - {"prints_and_works"}
    assert "printed" not in failed.pop("raises")
    for error in failed.values():
        text = Path(re.findall(r"What it printed is in (.*)\.$", error)[0]).read_text()
        assert "loud" in text
        assert "louder" in text
        assert len(text) <= 1_000_000
    assert "quiet" in capfd.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs worker processes")
def test_a_rerun_that_works_removes_what_was_kept(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = Settings(
        (ModelSpec("./own.py", name="own"),), (TaskSource(task),), ("knn",), out=tmp_path / "out"
    )
    Path("own.py").write_text(MODULE.replace("FAULT", "print('loud'); open('needed')"))
    assert execute(make_plan(chosen), LocalEngine(["cpu"]), chosen.out).failures
    assert list(chosen.out.rglob("*.log"))
    Path("needed").touch()
    assert not execute(make_plan(chosen), LocalEngine(["cpu"]), chosen.out).failures
    assert not list(chosen.out.rglob("*.log"))


SLOW_TO_FAIL = """
import time
from harness.baselines import logmel
from harness.baselines.logmel import get_timestamp_embeddings, load_model

def get_scene_embeddings(audio, model):
    if len(audio) > 2:
        time.sleep(0.5 * (len(audio) == 9))
        raise ValueError("no ears")
    return logmel.get_scene_embeddings(audio, model)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs worker processes")
def test_failures_are_the_same_whichever_split_fails_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("slow.py").write_text(SLOW_TO_FAIL)
    sizes = {"train": 9, "valid": 4, "test": 4}
    uneven = task_directories.make_task(tmp_path, "scene", n=sizes, seconds=0.3)
    models = (ModelSpec("./slow.py", name="slow"),)
    chosen = Settings(models, (TaskSource(uneven),), ("knn", "linear"), out=tmp_path / "out")
    summary = execute(make_plan(chosen), LocalEngine(["cpu", "cpu"]), chosen.out)
    assert [name.split(" · ")[2] for name, _ in summary.failures] == ["knn", "linear"]
    assert ["train-0000.wav" in error for _, error in summary.failures] == [True, True]
