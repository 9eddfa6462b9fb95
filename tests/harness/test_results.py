from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from resultrows import row

from harness.errors import UserError
from harness.results import (
    COLUMNS,
    collect,
    frame,
    latest,
    load,
    read_csv,
    write_csv,
    write_result,
)


def test_csv_round_trip_keeps_types_values_and_gaps(tmp_path):
    table = frame([row(), row(metric="mAP", is_primary=False, value=None, status="failed")])
    write_csv(table, tmp_path / "results.csv")
    back = read_csv(tmp_path / "results.csv")
    pd.testing.assert_frame_equal(back, table)
    assert back.resampled_from.isna().all()
    assert back.n_boot.tolist() == [1000, 1000]
    assert np.isnan(back.value[0])


def test_rows_stand_in_one_order_whatever_order_they_came_in(tmp_path):
    rows = [row(model=m, task=t, seed=s) for m in "ba" for t in ("y", "x") for s in (1, 0)]
    write_csv(frame(rows), tmp_path / "one.csv")
    write_csv(frame(rows[::-1]), tmp_path / "two.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_collect_gathers_results_below_a_folder(tmp_path):
    write_result(tmp_path / "a" / "b", [row(), row(split="fold00")])
    write_result(tmp_path / "c", [row(task="other")])
    assert len(collect(tmp_path)) == 3
    assert len(load(tmp_path)) == 3


def test_every_column_of_the_format_is_written(tmp_path):
    write_csv(frame([row()]), tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text().splitlines()[0].split(",") == COLUMNS


@pytest.mark.parametrize("damage", ["version", "half", "alien"])
def test_a_result_that_cannot_be_used_is_left_out_by_name(tmp_path, damage):
    write_result(tmp_path / "good", [row()])
    write_result(tmp_path / "bad", [row(task="other")])
    path = tmp_path / "bad" / "result.json"
    content = json.loads(path.read_text())
    content["rows"][0]["schema_version"] = 99
    path.write_text({"version": json.dumps(content), "half": "{", "alien": "[]"}[damage])
    with pytest.warns(UserWarning, match=re.escape(f"{path} is left out")):
        assert collect(tmp_path).task.tolist() == ["t-v1-full"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a results CSV"),
        ("model,task\nx,y\n", "lacks the columns schema_version"),
    ],
)
def test_what_is_no_results_csv_is_refused(tmp_path, text, said):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        read_csv(tmp_path / "r.csv")


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("value", "high", "line 2: value is 'high', not a number"),
        ("is_primary", "maybe", "line 2: is_primary must be True or False"),
        ("schema_version", "0", "schema version 0"),
    ],
)
def test_a_wrong_cell_is_named_with_its_line(tmp_path, column, text, said):
    table = frame([row()]).astype(object)
    table.loc[0, column] = text
    table.to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(UserError, match=said):
        read_csv(tmp_path / "r.csv")


def test_missing_results_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="no finished results"):
        load(tmp_path)


def test_latest_keeps_the_newer_of_one_thing():
    old = row(value=0.1, started_at="2026-01-01T00:00:00+00:00")
    new = row(value=0.9, started_at="2026-02-01T00:00:00+00:00")
    assert latest(frame([new, old])).value.tolist() == [0.9]


def test_two_models_of_one_name_stay_two():
    rows = [row(model_fingerprint=f * 64, value=v) for f, v in (("a", 0.1), ("b", 0.9))]
    rows.append(row(model="other", value=0.5))
    named = latest(frame(rows)).set_index("model").value
    assert named.to_dict() == {"m@aaaaaaaa": 0.1, "m@bbbbbbbb": 0.9, "other": 0.5}


def test_one_name_fitted_to_each_task_stays_one():
    rows = [row(model_fingerprint=f, task=t) for f, t in (("a", "t1"), ("b", "t2"))]
    assert set(latest(frame(rows)).model) == {"m"}


def test_a_failure_counts_until_it_is_mended():
    early, late = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
    failed = {"model_fingerprint": "a", "value": None, "status": "failed"}
    mended = [row(**failed, started_at=early), row(model_fingerprint="b", started_at=late)]
    assert latest(frame(mended)).status.tolist() == ["done"]
    broken = [row(**failed, started_at=late), row(model_fingerprint="b", started_at=early)]
    assert sorted(latest(frame(broken)).status) == ["done", "failed"]
