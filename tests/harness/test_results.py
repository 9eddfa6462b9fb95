from __future__ import annotations

import json

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


def test_a_result_of_another_schema_version_is_refused_by_name(tmp_path):
    write_result(tmp_path, [row()])
    content = json.loads((tmp_path / "result.json").read_text())
    content["rows"][0]["schema_version"] = 99
    (tmp_path / "result.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="schema version 99"):
        collect(tmp_path)


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


def test_latest_keeps_the_newer_of_one_name():
    old = row(model_fingerprint="z", value=0.1, started_at="2026-01-01T00:00:00+00:00")
    new = row(model_fingerprint="a", value=0.9, started_at="2026-02-01T00:00:00+00:00")
    assert latest(frame([new, old])).value.tolist() == [0.9]
