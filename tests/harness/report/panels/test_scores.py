"""The panel of a task's scores."""

from __future__ import annotations

from support.result_rows import row

from harness.analysis.board.published import read_published
from harness.report.material import Material
from harness.report.panel import TaskScope
from harness.report.panels.scores import SCORES
from harness.results import frame


def test_scores_stand_beside_the_published_board():
    task = "esc50-v2.0.0-full"
    rows = [
        row(model=m, task=task, protocol="hear2021", value=v) for m, v in (("a", 0.9), ("b", 0.8))
    ]
    material = Material(frame(rows), (), {})
    panel = SCORES.make(TaskScope(material, "hear2021", task, {}))
    board = read_published("hear2021").scores[task].dropna()
    assert "published scores (HEAR 2021)" in panel.note
    published = [each for each in panel.table.rows if str(each[0]).startswith("HEAR 2021: ")]
    assert len(published) == len(board) > 20
    assert [line[1] for line in panel.table.rows[:2]] == ["0.9000", "0.8000"]
    assert published[0][1] == f"{board.max():.4f}"
    marks = next(line for line in panel.draw(4).axes[0].lines if len(line.get_xdata()) > 20)
    assert sorted(marks.get_xdata()) == sorted(board)


def test_the_board_is_of_one_protocol_alone():
    task = "esc50-v2.0.0-full"
    material = Material(frame([row(task=task, protocol="linear")]), (), {})
    panel = SCORES.make(TaskScope(material, "linear", task, {}))
    assert "board" not in panel.note
    assert len(panel.table.rows) == 1
