"""Make small runs of real evaluations for reports, and synthetic rows for large tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from support import task_directories
from support.result_rows import row

from harness.models.spec import ModelSpec
from harness.report.material import Material, TaskFacts
from harness.report.panel import Panel
from harness.results import frame, load
from harness.results.record import Record
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, TaskSource, make_plan

MEAN = '<b>"mean"</b> & $x$'
"""A model's name with characters that break unescaped HTML."""
TASKS = {"scene": 16, "multilabel": 12, "events": 6}
SCENE, MIX, EVENTS = (f"tiny_{kind}-v1-full" for kind in TASKS)
"""Names of the tasks of :func:`make_run`."""
_WEAKER = """
import torch
from harness.baselines.logmel import *
from harness.baselines import logmel


def few(embeddings):
    return embeddings * (torch.arange(embeddings.shape[-1]) < 6)


def get_scene_embeddings(audio, model):
    return few(logmel.get_scene_embeddings(audio, model))


def get_timestamp_embeddings(audio, model):
    embeddings, times = logmel.get_timestamp_embeddings(audio, model)
    return few(embeddings), times
"""


def records(material: Material, task: str, model: str = "logmel") -> tuple[Record, ...]:
    """Return the evaluations of a model on a task of :func:`make_run`."""
    return material.records["linear", task, model]


def cells(panel: Panel, column: int) -> dict[str, str]:
    """Return a column of a panel's table, by the first."""
    assert panel.table is not None
    return {str(row[0]): str(row[column]) for row in panel.table.rows}


def make_run(root: Path) -> Path:
    """Run two models on three tasks; the weaker has only six columns of the other's embeddings."""
    tasks = [
        task_directories.make_task(
            root / "tasks", kind, n=n, seconds=2.0 if kind == "events" else 0.5
        )
        for kind, n in TASKS.items()
    ]
    (root / "weaker.py").write_text(_WEAKER)
    settings = Settings(
        models=(
            ModelSpec("harness.baselines.logmel", name="logmel"),
            ModelSpec(str(root / "weaker.py"), name=MEAN),
        ),
        tasks=tuple(TaskSource(directory, "tiny") for directory in tasks),
        protocols=("linear",),
        out=root / "run",
    )
    execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    assert set(load(settings.out).status) == {"done"}
    return settings.out


def with_facts(material: Material) -> Material:
    """Return the material with facts as on cards for the tasks of :func:`make_run`."""
    facts = {
        "tiny_scene-v1-full": TaskFacts("Tiny scenes", "music", "tiny", ("It is <tiny>.",)),
        "tiny_multilabel-v1-full": TaskFacts("Tiny mixes", "speech", "tiny"),
        "tiny_events-v1-full": TaskFacts("Tiny events", "environment", "other"),
    }
    return dataclasses.replace(material, facts=facts)


def made_up_rows(n_models: int, n_tasks: int) -> pd.DataFrame:
    """Return rows of synthetic scores; some have failed and some are missing."""
    rng = np.random.default_rng(0)
    skill = rng.normal(0, 0.08, n_models)
    rows = []
    for task in range(n_tasks):
        level = rng.uniform(0.3, 0.85)
        for model in range(n_models):
            name = f"model_{model:02d}" + "-with-quite-a-long-name" * (model % 7 == 0)
            changes = {
                "model": name,
                "model_fingerprint": f"{model:064x}",
                "model_options": "",
                "checkpoint": f"{name}.safetensors",
                "checkpoint_sha256": f"{model + 1000:064x}",
                "task": f"made_up_{task:02d}-v1-full",
                "task_sha256": f"{task:064x}",
                "suite": "made-up",
                "n_test": 200,
            }
            chance = rng.uniform()
            if chance < 0.02:
                continue
            if chance < 0.03:
                failed = {"value": None, "ci_low": None, "ci_high": None, "error": "out of memory"}
                rows.append(row(**changes, **failed, status="failed"))
                continue
            value = float(np.clip(level + skill[model] + rng.normal(0, 0.03), 0.01, 0.99))
            half = 1.96 * float(np.sqrt(value * (1 - value) / 200))
            rows.append(
                row(
                    **changes,
                    value=value,
                    ci_low=max(0, value - half),
                    ci_high=min(1, value + half),
                )
            )
    return frame(rows)
