"""Make a run on a task with a minimised metric, on which one model is clearly better."""

from __future__ import annotations

from pathlib import Path

from support import task_directories

from harness.models.spec import parse_model
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource

DEAF = """
from harness.baselines import logmel
from harness.baselines.logmel import get_scene_embeddings, load_model

def get_timestamp_embeddings(audio, model):
    embeddings, timestamps = logmel.get_timestamp_embeddings(audio, model)
    return 0 * embeddings, timestamps
"""


def make_errors_run(root: Path) -> Path:
    """Run ``logmel`` and ``deaf``, whose frame embeddings are zero, on the error rate of events."""
    sizes = {"train": 12, "valid": 6, "test": 24}
    task = task_directories.make_task(
        root / "tasks", "events", n=sizes, seconds=1.0, name="errors", evaluation=["segment_1s_er"]
    )
    (root / "deaf.py").write_text(DEAF)
    models = ("harness.baselines.logmel,name=logmel", f"{root / 'deaf.py'}")
    settings = Settings(
        tuple(map(parse_model, models)), (TaskSource(task),), ("linear",), out=root / "run"
    )
    execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    return settings.out
