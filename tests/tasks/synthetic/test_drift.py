"""What a drift loses where validation hears a label only late."""

from __future__ import annotations

import json
from pathlib import Path

from harness.models.spec import ModelSpec
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource, read_task
from tasks.synthetic import make_synthetic

DRIFT = 70.0  # ms each second: what begins after 2.86 s is lost


def test_a_label_that_is_always_lost_in_validation_may_be_told_nowhere(tmp_path: Path) -> None:
    directory = make_synthetic(
        "events", tmp_path, rates=(16000,), clips=10, classes=2, seconds=4.8, seed=3
    )
    task, out = read_task(directory), tmp_path / "runs"

    def kept(split: str, label: str) -> list[bool]:
        events = [e for clip in task.clips[split] for e in clip.events if e.label == label]
        return [event.start * DRIFT / 1000 <= 200 for event in events]

    assert not any(kept("valid", "tone01"))
    assert any(kept("test", "tone01"))
    model = ModelSpec(
        "harness.baselines.oracle", "", {"mode": "shifted", "drift_ms": DRIFT}, "drifting"
    )
    chosen = Settings((model,), (TaskSource(directory),), ("linear",), out=out)
    table = execute(make_plan(chosen), InlineEngine("cpu"), out).table
    (path,) = out.glob("results/drifting/*/*/*.events.json")
    (told,) = json.loads(path.read_text())
    assert {event["label"] for events in told.values() for event in events} == {"tone00"}
    truth, found = kept("test", "tone00") + kept("test", "tone01"), kept("test", "tone00")
    score = table[(table.metric == task.primary_metric) & (table.split == "all")].value.item()
    assert score == 2 * sum(found) / (len(truth) + len(found))
