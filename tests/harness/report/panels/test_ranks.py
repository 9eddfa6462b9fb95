"""The panel of mean ranks."""

from __future__ import annotations

from support.result_rows import row

from harness.report.material import Material
from harness.report.panel import ComparisonScope
from harness.report.panels.ranks import RANKS
from harness.results import frame


def test_ranks_stand_on_tasks_of_one_version_and_say_on_how_many():
    rows = [
        row(model=m, model_fingerprint=m, task=f"t{i}-v1-full", value=v, task_sha256=sha)
        for i, hashes in enumerate(("xx", "xx", "xy"))
        for (m, v), sha in zip((("a", 0.5), ("b", 0.6)), hashes, strict=True)
    ]
    rows = [each for each in rows if (each.task.name, each.model.label) != ("t1-v1-full", "b")]
    ranks = RANKS.make(ComparisonScope(Material(frame(rows), (), {}), "linear"))
    said = "1 of 3 tasks (left out: 1 without a score of some model, 1 tested differently)"
    assert said in ranks.note
    assert [line[:2] for line in ranks.table.rows] == [("b", "1.00"), ("a", "2.00")]
    ranks = RANKS.make(ComparisonScope(Material(frame(rows[-2:]), (), {}), "linear"))
    assert ranks.note.startswith("There are no ranks: all models share 0 of 1 task (left out")
