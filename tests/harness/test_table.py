from __future__ import annotations

import numpy as np
import pytest
from resultrows import row

from harness.errors import UserError
from harness.results import frame
from harness.table import format_table, wide


def results():
    return frame(
        [
            row(model="a", task="t1", value=0.5),
            row(model="a", task="t2", value=0.7),
            row(model="b", task="t1", value=0.9),
            row(model="b", task="t2", value=None, ci_low=None, ci_high=None, status="failed"),
            row(model="b", task="t1", split="fold00", value=0.1),
            row(model="b", task="t1", metric="mAP", is_primary=False, value=0.2),
            row(model="a", task="t1", protocol="knn", value=0.3),
        ]
    )


def test_wide_holds_primary_values_of_one_protocol():
    table = wide(results(), "linear")
    assert table.loc["a", ["t1", "t2"]].tolist() == [0.5, 0.7]
    assert table.loc["b", "t1"] == 0.9
    assert np.isnan(table.loc["b", "t2"])


def test_a_mean_tells_how_many_tasks_it_stands_on():
    table = wide(results(), "linear")
    assert table.loc["a", "mean"] == pytest.approx(0.6)
    assert table.tasks.tolist() == ["2/2", "1/2"]


def test_seeds_are_averaged():
    table = frame([row(seed=s, value=v) for s, v in enumerate([0.2, 0.4])])
    assert wide(table, "linear").loc["m", "t-v1-full"] == pytest.approx(0.3)


def test_a_minimised_metric_stays_out_of_the_mean():
    table = frame([row(task="t1", value=0.5), row(task="t2", value=3.0, higher_is_better=False)])
    assert wide(table, "linear").loc["m", "mean"] == 0.5


def test_a_synthetic_task_is_said_to_be_one_and_stays_out_of_the_mean():
    table = frame([row(task="t1-v1-full", value=0.5), row(task="t2-v1-synthetic", value=1.0)])
    assert wide(table, "linear").loc["m", ["mean", "tasks"]].tolist() == [0.5, "1/1"]
    header = format_table(table).splitlines()[0]
    assert [cell.strip() for cell in header.split("|")[2:5]] == ["t1", "t2 (synthetic)", "mean"]
    alone = format_table(table[table.task == "t2-v1-synthetic"]).splitlines()[-1]
    assert [cell.strip() for cell in alone.split("|")[2:4]] == ["1.000 ±0.100", "-"]


def test_a_failed_cell_reads_failed_and_a_missing_one_a_dash():
    rows = [row(model="c", task="t1", value=0.1)]
    texts = format_table(frame(rows)) + format_table(results())
    line = next(line for line in texts.splitlines() if line.startswith("| b "))
    assert [cell.strip() for cell in line.split("|")[3:5]] == ["failed", "0.900 (1/2)"]


def test_protocols_never_share_a_table():
    knn, linear = format_table(results()).split("\n\n")
    assert knn.startswith("| knn ")
    assert linear.startswith("| linear ")
    assert "0.300" in knn
    assert "0.300" not in linear


def test_a_task_goes_by_its_name_alone_where_that_is_enough():
    rows = [row(task=task) for task in ("pitch-v1-5h", "pitch-v1-50h", "chord-v1-full")]
    header = format_table(frame(rows)).splitlines()[0]
    assert [cell.strip() for cell in header.split("|")[2:5]] == [
        "chord", "pitch-v1-50h", "pitch-v1-5h",
    ]  # fmt: skip


@pytest.mark.parametrize("style", ["markdown", "csv", "latex", "html"])
def test_every_format_shows_every_value(style):
    text = format_table(results(), style)
    for value in ("0.500", "0.700", "0.900", "failed"):
        assert value in text


def test_an_unknown_format_is_refused():
    with pytest.raises(UserError, match="'word'"):
        format_table(results(), "word")


def test_an_undefined_value_is_said_to_be_undefined():
    rows = [row(task="t1", value=None, ci_low=None, ci_high=None), row(task="t2", value=0.25)]
    line = format_table(frame(rows)).splitlines()[-1]
    assert [cell.strip() for cell in line.split("|")[2:5]] == [
        "undefined", "0.250 ±0.100", "0.250 (1/2)",
    ]  # fmt: skip
