"""What reads the files of a run and of its config, each with valid input."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import torch
from support import result_rows, task_directories
from support.hostile.trial import Reader

from harness.core.errors import UserError


@cache
def _kept() -> Path:
    """Return a folder that is removed at the end of the process."""
    folder = tempfile.mkdtemp(prefix="hostile-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def _run() -> Path:
    """Return the folder of a finished run on a scene task and an event task."""
    from harness.models.spec import ModelSpec
    from harness.run.engines import InlineEngine
    from harness.run.execute import execute
    from harness.run.plan import Settings, TaskSource, make_plan

    tasks = [
        task_directories.make_task(_kept() / "tasks", kind, n=6, seconds=1.0)
        for kind in ("scene", "events")
    ]
    settings = Settings(
        (ModelSpec("harness.baselines.logmel", name="logmel"),),
        tuple(map(TaskSource, tasks)),
        ("linear",),
        out=_kept() / "run",
    )
    execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    return settings.out


def _copy(pattern: str, to: Path) -> None:
    """Copy a folder of the run, as the folder that it has there."""
    for source in sorted(_run().glob(pattern))[:1]:
        shutil.copytree(source, to / source.relative_to(_run()))


def _first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


RUN_CONFIG = """
models: [hear_byola, "logmel"]
tasks: [one, two]
suite: demo
protocols: [linear, hear2021]
seeds: 3
jobs: 2
device: cpu
unit_timeout: 100
dtype: float16
skip_bad: true
cache_audio: 1.5
shard: 1/2
out: runs
"""


def _read_run_config(folder: Path) -> None:
    from harness.commands.run import run

    run.make_context("run", ["--config", str(folder / "run.yaml")])


def _write_results(folder: Path) -> None:
    from harness.results import frame, write_csv

    rows = [result_rows.row(model=model, value=0.5) for model in ("a", "b")]
    write_csv(frame(rows), folder / "results.csv")


def _read_results(folder: Path) -> None:
    from harness.results import latest, load

    latest(load(folder / "results.csv"))


def _read_evaluations(folder: Path) -> None:
    from harness.results import check_evaluation, find_evaluations, load
    from harness.results.record import read_record

    for directory in find_evaluations(folder):
        check_evaluation(directory)
        record = read_record(directory)
        record.read_predictions()
    load(folder)


def _read_predictions(folder: Path) -> None:
    from harness.results.predictions import read_predictions
    from harness.results.record import read_record
    from harness.run.evaluation import evaluate
    from tasks.format.task import read_task

    directory = _first(folder, "results/*/*/*/evaluation.json").parent
    record = read_record(directory)
    for fold in record.folds:
        read_predictions(directory, fold.test)
    evaluate(read_task(record.task_directory), record.read_predictions())


def _read_embeddings(folder: Path) -> None:
    from harness.embeddings.store import read_split

    embedded = read_split(_first(folder, "embeddings/*/*/*"))
    np.isfinite(embedded.embeddings[:10]).all()


def _write_layout(folder: Path) -> None:
    from harness.embeddings.heareval import write_layout
    from harness.embeddings.store import read_split
    from tasks.format.task import read_task

    (directory,) = (_kept() / "tasks").glob("tiny_events*") if _run() else ()
    task = read_task(directory)
    stored = {read_split(path).split: read_split(path) for path in
              _run().glob(f"embeddings/*/{task.name}/*")}  # fmt: skip
    write_layout(task, stored, folder / "logmel" / "task")


def _read_layout(folder: Path) -> None:
    from harness.embeddings.heareval_reader import read_layout

    read_layout(folder / "logmel" / "task")


def _read_unit(folder: Path) -> None:
    from harness.probe.units import UnitResult

    UnitResult.from_files(_first(folder, "probes/*/*/*"))


def _write_partial(folder: Path) -> None:
    from harness.probe.partial import Partial

    Partial(folder / "unit.partial").save(
        {"epoch": 3, "best": 0.5, "curve": [[1, 0.1, 0.2, 0.3]]},
        {"weight": torch.ones(3, 2), "order": torch.arange(4)},
    )


def _read_partial(folder: Path) -> None:
    from harness.probe.partial import Partial

    Partial(folder / "unit.partial").load()


def _write_memory(folder: Path) -> None:
    from harness.core.memory import FileMemory

    memory = FileMemory(folder / "memory.json")
    with patch("hear_byola.core.filestate.SETTLED_NS", 0):  # new files are remembered, too
        for name in ("a.wav", "b.wav"):
            (folder / name).write_text(name)
            memory.recall(folder / name, lambda: "text")
    memory.save()


def _read_memory(folder: Path) -> None:
    from harness.core.memory import FileMemory

    FileMemory(folder / "memory.json").recall(folder / "a.wav", lambda: "text")


def _read_plans(folder: Path) -> None:
    from harness.commands.status import as_object, in_words
    from harness.run.planned import read_plans
    from harness.run.survey import survey

    state = survey(read_plans(folder), folder)
    json.dumps(as_object(state))
    in_words(state)


def _read_reference(folder: Path) -> None:
    from harness.models.reference import difference
    from harness.run import models

    (path,) = folder.glob("models/*.npz")
    (good,) = models._read(_run(), path.name[:16])
    for known in models._read(folder, path.name[:16]):
        difference(known.reference, good.reference)


def _of_run(name: str, pattern: str, files: str, read: Callable[[Path], object]) -> Reader:
    return Reader(name, partial(_copy, pattern), tuple(files.split()), read)


READERS = (
    Reader(
        "run config",
        lambda folder: (folder / "run.yaml").write_text(RUN_CONFIG),
        ("run.yaml",),
        _read_run_config,
        (UserError, click.ClickException),
    ),
    Reader("results CSV", _write_results, ("results.csv",), _read_results),
    _of_run("evaluation", "results/*/tiny_s*/*", "**/result.json **/evaluation.json",
            _read_evaluations),
    _of_run("predictions", "results/*/tiny_s*/*", "**/*.npz", _read_predictions),
    _of_run("predictions of events", "results/*/tiny_e*/*",
            "**/*.npz **/test.events.json **/test.reference.json", _read_predictions),
    _of_run("embeddings", "embeddings/*/tiny_e*/test-*", "**/*.json **/*.npz **/*.npy",
            _read_embeddings),
    Reader("embeddings of the original kit", _write_layout,
           ("**/test.embedding-dimensions.json", "**/test.filename-timestamps.json",
            "**/test.embeddings.npy", "**/task_metadata.json", "**/test.json"), _read_layout),
    _of_run("probe unit", "probes/*/tiny_e*/*", "**/unit.json **/unit.npz", _read_unit),
    Reader("unfinished probe unit", _write_partial, ("unit.partial",), _read_partial),
    _of_run("known model", "models", "models/*.npz", _read_reference),
    _of_run("plan of a run", "plans", "plans/*.json", _read_plans),
    Reader("checked audio", _write_memory, ("memory.json",), _read_memory),
)  # fmt: skip
