"""The table of models × tasks as a page shows it."""

from __future__ import annotations

import pytest
from resultrows import row

from harness.report.material import gather
from harness.report.overview import overview
from harness.results import frame, write_csv
from harness.table.cells import Noise


@pytest.fixture
def table(tmp_path):
    """Make the overview of rows."""

    def make(*rows, noise=None):
        write_csv(frame(rows), tmp_path / "results.csv")
        return overview(gather([tmp_path / "results.csv"]), "linear", noise)

    return make


def test_a_task_that_not_all_were_tested_on_alike_has_no_best_and_no_part_in_the_mean(table):
    rows = [row(model="a", n_test=9), row(model="b", n_test=9, metric="mAP", value=0.6)]
    rows += [row(model=m, task="o-v1-full", value=0.1) for m in "ab"]
    found = table(*rows)
    metrics = {column.name: (column.metric, column.averaged) for column in found.columns}
    assert metrics == {"t": ("mixed", False), "o": ("top1_acc", True)}
    assert found.n_averaged == 1
    mixed = {each.model: each.cells[-1] for each in found.rows}
    assert [mixed[m].rest for m in "ab"] == ["top1_acc ±0.100", "mAP ±0.100"]
    assert not any(cell.best or cell.near for cell in mixed.values())
    assert [(each.mean, each.n_tasks) for each in found.rows] == [(0.1, 1), (0.1, 1)]
    assert any("in no mean: t-v1-full (a: top1_acc; b: mAP)." in note for note in found.notes)


def test_what_was_not_compared_is_named_as_far_as_it_can_be_read(table):
    noise = Noise(unpaired=[f"m{i} on t by linear (gone)" for i in range(9)])
    *_, note = table(row(model="a"), row(model="b", value=0.6), noise=noise).notes
    assert note.startswith("Not compared, so without a mark: m0 on t by linear (gone); m1")
    assert note.endswith("m2 on t by linear (gone); and 6 more.")
