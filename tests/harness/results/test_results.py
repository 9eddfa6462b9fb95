from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.result_rows import row

from harness.cli import call
from harness.core.errors import UserError
from harness.results import (
    COLUMNS,
    ResultRow,
    find_evaluations,
    frame,
    latest,
    load,
    read_csv,
    read_results,
    reading,
    seed_spread,
    write_csv,
    write_result,
)
from harness.results import row as row_module
from harness.results.frames import FITTED

LATER = "2026-02-01T00:00:00+00:00"


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
    assert len(read_results(find_evaluations(tmp_path))) == 3
    assert len(load(tmp_path)) == 3


def test_what_a_killed_process_left_unfinished_is_no_result(tmp_path):
    write_result(tmp_path / "model" / "task" / "linear-seed0", [row()])
    write_result(tmp_path / "model" / "task" / ".knn-seed0.x1", [row(protocol="knn")])
    assert (
        read_results(find_evaluations(tmp_path)).protocol.tolist()
        == load(tmp_path).protocol.tolist()
        == ["linear"]
    )


def test_every_column_of_the_format_is_written(tmp_path):
    write_csv(frame([row()]), tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text().splitlines()[0].split(",") == COLUMNS


def test_every_field_of_a_row_has_a_column():
    fields = [
        f.alias or n for kind in row_module.GROUPS.values() for n, f in kind.model_fields.items()
    ]
    assert sorted(fields) == sorted(COLUMNS)
    assert list(row().flat()) == COLUMNS


def test_missing_results_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="no finished results"):
        load(tmp_path)


def test_latest_keeps_the_newer_of_one_thing():
    old = row(value=0.1, started_at="2026-01-01T00:00:00+00:00")
    new = row(value=0.9, started_at="2026-02-01T00:00:00+00:00")
    assert latest(frame([new, old])).value.tolist() == [0.9]


def test_a_failure_takes_no_value_of_the_same_model_and_task():
    early, late = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
    failed = {"value": None, "ci_low": None, "ci_high": None, "status": "failed"}
    done = row(started_at=early)
    assert latest(frame([done, row(**failed, started_at=late)])).value.tolist() == [0.5]
    # Of another version of the task, or of other weights, it is news.
    for other in ({"task_sha256": "new"}, {"model_fingerprint": "g"}):
        kept = latest(frame([done, row(**failed, **other, started_at=late)]))
        assert "failed" in kept.status.tolist()


def test_two_models_of_one_name_stay_two():
    rows = [row(model_fingerprint=f * 64, value=v) for f, v in (("a", 0.1), ("b", 0.9))]
    rows.append(row(model="other", value=0.5))
    named = latest(frame(rows)).set_index("model").value
    assert named.to_dict() == {"m@aaaaaaaa": 0.1, "m@bbbbbbbb": 0.9, "other": 0.5}


@pytest.mark.parametrize("place", ["seed", "task", "protocol", "split"])
def test_two_models_of_one_name_stay_two_wherever_each_has_its_values(place):
    rows = [row(model_fingerprint=f * 64, **{place: p}) for f, p in zip("ab", (1, 2))]
    assert set(latest(frame(rows)).model) == {"m@aaaaaaaa", "m@bbbbbbbb"}


def test_seeds_of_one_model_are_one_whenever_they_were_run():
    rows = [row(seed=0), row(seed=1, started_at=LATER, run_id="r2")]
    assert set(latest(frame(rows)).model) == {"m"}


def test_one_name_fitted_to_each_task_stays_one():
    fitted = {"notes": f"something; {FITTED}"}
    rows = [row(model_fingerprint=f, model_options=f, task=f"t{f}", **fitted) for f in "ab"]
    assert set(latest(frame(rows)).model) == {"m"}


def test_one_name_for_other_options_on_another_task_is_two_models():
    rows = [row(model_fingerprint=f * 64, model_options=f, task=f"t{f}") for f in "ab"]
    assert set(latest(frame(rows)).model) == {"m@aaaaaaaa", "m@bbbbbbbb"}


def test_a_failure_counts_until_it_is_mended():
    early, late = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"
    failed = {"model_fingerprint": "a", "value": None, "status": "failed"}
    mended = [row(**failed, started_at=early), row(model_fingerprint="b", started_at=late)]
    assert latest(frame(mended)).status.tolist() == ["done"]
    broken = [row(**failed, started_at=late), row(model_fingerprint="b", started_at=early)]
    assert sorted(latest(frame(broken)).status) == ["done", "failed"]


def written(path: Path, *rows: ResultRow) -> Path:
    write_csv(frame(rows or [row(), row(split="fold00")]), path)
    return path


def edited(path: Path, **cells: str) -> Path:
    """A results CSV of two rows, with cells of the first one replaced."""
    table = pd.read_csv(written(path), dtype=str, keep_default_na=False)
    for column, text in cells.items():
        table.loc[0, column] = text
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is empty"),
        (b"model,task\nx,y\n", "lacks the columns schema_version"),
        (b"\x89PNG\n\0\0", "line 2: there are zero bytes"),
        (b"model\n\xe9\n", "line 2: not UTF-8 text"),
        ("model,task\n".encode("utf-16"), "UTF-16"),
        (b"model,model\nx,y\n", "line 1: the column 'model' occurs twice"),
    ],
)
def test_what_is_no_results_csv_is_refused(tmp_path, text, said):
    (tmp_path / "r.csv").write_bytes(text)
    with pytest.raises(UserError, match=said):
        read_csv(tmp_path / "r.csv")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"value": "high"}, "value is 'high': it must be a number, or null"),
        ({"value": "0,75"}, "value is '0,75': it must be a number, or null. Decimals need a point"),
        ({"value": "inf"}, "value is 'inf': it must be a finite number"),
        ({"n_test": "3.5"}, "n_test is '3.5': it must be a whole number"),
        ({"n_test": "-3"}, "n_test is '-3': it must be a whole number, 0 to"),
        (
            {"n_test": "9" * 23},
            "n_test is '9{23}': it must be a whole number, 0 to 9007199254740992",
        ),
        ({"embed_seconds": "-1"}, "embed_seconds is '-1': it must be a number, 0 to"),
        ({"seed": ""}, "seed is '': it must be a whole number"),
        ({"model": ""}, "model is '': it must be a name, not empty"),
        ({"is_primary": "maybe"}, "is_primary is 'maybe': it must be true or false"),
        ({"higher_is_better": "False"}, "higher_is_better is False, but for top1_acc it is True"),
        ({"value": "75.2"}, "value is 75.2, but top1_acc ranges from 0 to 1 .is it in percent"),
        ({"value": "-0.1"}, "value is -0.1, but top1_acc ranges from 0 to 1"),
        ({"ci_low": "0.7"}, "ci_low 0.7 is above ci_high 0.6"),
        (
            {"value": "0.65"},
            "value is 0.65, but its interval, from 0.4 to 0.6, does not contain it",
        ),
        ({"ci_low": ""}, "one of ci_low and ci_high is empty"),
        ({"status": "don"}, "status is 'don': it must be one of 'done', 'failed'"),
        ({"status": "failed"}, "status is failed, but the value is 0.5"),
        ({"started_at": "23.11.2026 03:15"}, "started_at is '.*': it must be a time in UTC"),
        (
            {"started_at": "2026-01-01T00:00:00+01:00"},
            "started_at is '.*': it must be a time in UTC",
        ),
        ({"task": "mean"}, "task is 'mean': it must be another name, because tables"),
        ({"task": "mean speech"}, "task is 'mean speech': it must be another name"),
        ({"model": "a\nb"}, r"model is 'a\\nb', but a name has no control characters"),
        ({"metric": "\x1b[1m"}, r"metric is '\\x1b\[1m', but a name has no control characters"),
        ({"schema_version": "0"}, "schema_version is 0"),
        ({"schema_version": "99"}, "schema version 99 is from a newer harness.* update hear-byola"),
    ],
)
def test_a_cell_that_cannot_be_is_named_with_its_line(tmp_path, cells, said):
    with pytest.raises(UserError, match=f"r.csv, line 2: {said}"):
        read_csv(edited(tmp_path / "r.csv", **cells))


@pytest.mark.parametrize(
    ("metric", "higher_is_better", "value"),
    [("segment_1s_er", False, 3.5), ("d_prime", True, -4.0), ("event_onset_50ms_fms", True, 1.0)],
)
def test_values_within_their_metrics_range_are_read(tmp_path, metric, higher_is_better, value):
    one = row(metric=metric, higher_is_better=higher_is_better, value=value)
    assert read_csv(written(tmp_path / "r.csv", one)).value.tolist() == [value]


def test_a_part_of_a_metric_has_its_range(tmp_path):
    wrong = row(metric="event_onset_50ms_fms_recall", value=1.5)
    with pytest.raises(UserError, match="event_onset_50ms_fms_recall ranges from 0 to 1"):
        read_csv(written(tmp_path / "r.csv", wrong))


def test_lines_are_counted_where_cells_hold_line_breaks(tmp_path):
    rows = [row(task="a", notes="one\ntwo\nthree"), row(task="b", value=7.0)]
    with pytest.raises(UserError, match=r"line 5: value is 7.0"):
        read_csv(written(tmp_path / "r.csv", *rows))


def test_a_long_cell_is_read(tmp_path):
    notes = "clip, " * 40_000
    assert read_csv(written(tmp_path / "r.csv", row(notes=notes))).notes.tolist() == [notes]


def spreadsheet(table: pd.DataFrame) -> bytes:
    flags = {True: "TRUE", False: "FALSE"}
    table = table.assign(is_primary=table.is_primary.map(flags), n_test=table.n_test.astype(float))
    text = table.to_csv(index=False, sep=";", lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    return text.encode("utf-8-sig")


@pytest.mark.parametrize(
    "save",
    [
        spreadsheet,
        lambda table: table[table.columns[::-1]].to_csv(index=False).encode(),
        lambda table: table.to_csv(index=False, sep="\t").encode(),
        lambda table: table.to_csv(index=False).replace("\n", "\n\n").encode() + b",,,\n",
    ],
    ids=["spreadsheet", "reordered", "tabs", "blank lines"],
)
def test_what_says_the_same_is_read_the_same(tmp_path, save):
    table = frame([row(n_test=12, notes='a "b"; c, d'), row(split="fold00", value=None)])
    (tmp_path / "r.csv").write_bytes(save(table))
    pd.testing.assert_frame_equal(read_csv(tmp_path / "r.csv"), table)


@pytest.mark.parametrize("share", [0.45, 0.75, 0.97])
def test_a_half_written_file_is_told(tmp_path, share):
    whole = written(tmp_path / "r.csv", *(row(task=f"t{i}") for i in range(9)))
    data = whole.read_bytes()
    whole.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"r.csv, line \d+: .* half-written: copy it again"):
        read_csv(whole)


def test_a_file_cut_between_two_letters_of_its_last_word_is_told(tmp_path):
    path = written(tmp_path / "r.csv")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"line 3: started_at is '.*half-written"):
        read_csv(path)


def test_a_missing_last_line_break_is_told(tmp_path):
    path = written(tmp_path / "r.csv")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="does not end with a line break"):
        assert len(read_csv(path)) == 2


def test_a_file_without_rows_is_told(tmp_path):
    (tmp_path / "r.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(UserError, match="contains no rows"):
        read_csv(tmp_path / "r.csv")


def test_an_added_column_is_passed_over_and_told(tmp_path):
    path = written(tmp_path / "r.csv")
    expected = read_csv(path)
    pd.read_csv(path).assign(remark="?").to_csv(path, index=False)
    with pytest.warns(UserWarning, match="ignored: remark"):
        pd.testing.assert_frame_equal(read_csv(path), expected)


def test_a_missing_column_is_refused_where_rows_need_it_and_told_else(tmp_path):
    table = pd.read_csv(written(tmp_path / "r.csv"))
    table.drop(columns=["notes", "n_boot"]).to_csv(tmp_path / "r.csv", index=False)
    with pytest.warns(UserWarning, match="lacks the columns n_boot, notes: they count as empty"):
        found = read_csv(tmp_path / "r.csv")
    assert found.n_boot.isna().all()
    assert set(found.notes) == {""}
    table.rename(columns={"value": "values"}).to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(
        UserError, match=r"line 1, lacks the columns value: .* It has the unknown column 'values'"
    ):
        read_csv(tmp_path / "r.csv")


def test_a_row_that_stands_there_twice_is_read_once_and_told(tmp_path):
    path = written(tmp_path / "r.csv")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1]]))
    with pytest.warns(UserWarning, match="lines 4 and 2, both contain top1_acc .* the same value"):
        assert len(read_csv(path)) == 2


def test_files_put_one_after_the_other_are_read(tmp_path, recwarn):
    one, other = (written(tmp_path / f"{t}.csv", row(task=t)) for t in "ab")
    one.write_bytes(one.read_bytes() + other.read_bytes())
    assert read_csv(one).task.tolist() == ["a", "b"]
    assert not recwarn.list


def test_two_values_of_one_thing_are_told_with_both(tmp_path):
    rows = [row(started_at="2026-01-01T00:00:00+00:00"), row(value=0.55, started_at=LATER)]
    path = written(tmp_path / "r.csv", *rows)
    with pytest.warns(UserWarning, match=r"lines 2 and 3, .* 0.5 and 0.55. .* results merge"):
        assert latest(read_csv(path)).value.tolist() == [0.55]


def test_values_of_a_task_that_has_changed_since_are_no_contradiction(tmp_path, recwarn):
    path = written(tmp_path / "r.csv", row(), row(value=0.55, started_at=LATER, task_sha256="new"))
    assert len(read_csv(path)) == 2
    assert not recwarn.list


@pytest.mark.parametrize("changes", [{"split": "fold00"}, {"is_primary": False}])
def test_an_evaluation_without_what_tables_show_is_refused(tmp_path, capsys, changes):
    path = written(tmp_path / "r.csv", row(), row(task="x", **changes))
    said = f"{path}, line 3: m on x by linear, seed 0, has no row over all test folds"
    with pytest.raises(UserError, match=re.escape(said)):
        load(path)
    assert call(["results", "table", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_seeds_that_were_not_tested_alike_have_no_spread():
    spread = seed_spread(frame([row(seed=s, n_test=s + 9) for s in (0, 1)]))
    assert spread[["value", "seed_sd", "ci_low", "ci_high"]].isna().all(axis=None)


def test_one_run_that_says_two_things_is_refused(tmp_path):
    path = written(tmp_path / "r.csv", row(), row(value=0.55))
    with pytest.raises(UserError, match=r"line 2 and .*line 3 are of one run.* 0.5 and 0.55"):
        read_csv(path)


def test_two_primary_metrics_are_refused(tmp_path):
    path = written(tmp_path / "r.csv", row(), row(metric="mAP"))
    with pytest.raises(UserError, match=r"line 2 and .*line 3: is_primary is True for mAP and for"):
        read_csv(path)


NEXT = row_module.SCHEMA_VERSION + 1


@pytest.fixture
def next_schema(monkeypatch) -> None:
    """A harness whose schema has come to its next version, with the columns notes and n_boot."""
    monkeypatch.setattr(reading, "ADDED", {"notes": NEXT, "n_boot": NEXT})
    monkeypatch.setattr(reading, "SCHEMA_VERSION", NEXT)


@pytest.mark.usefixtures("next_schema")
def test_rows_of_an_older_schema_take_the_defaults_of_later_columns(tmp_path, recwarn):
    old = pd.DataFrame([row().flat()]).drop(columns=["notes", "n_boot"])
    old.to_csv(tmp_path / "old.csv", index=False)
    (tmp_path / "run").mkdir()
    entry = {k: v for k, v in row().flat().items() if k not in ("notes", "n_boot")}
    (tmp_path / "run" / "result.json").write_text(json.dumps({"rows": [entry]}))
    for path in (tmp_path / "old.csv", tmp_path / "run"):
        (found,) = load(path).to_dict("records")
        assert (found["schema_version"], found["notes"]) == (NEXT, "")
        assert pd.isna(found["n_boot"])
        assert found["value"] == 0.5
    assert not recwarn.list


def test_rows_of_the_first_schema_name_no_module(tmp_path, recwarn):
    old = pd.DataFrame([row(schema_version=1).flat()]).drop(columns=list(row_module.ADDED))
    old.to_csv(tmp_path / "old.csv", index=False)
    (found,) = load(tmp_path / "old.csv").to_dict("records")
    assert (found["module"], found["task_kind"]) == ("", "")
    assert not recwarn.list


@pytest.mark.usefixtures("next_schema")
def test_rows_of_the_newest_schema_without_its_columns_are_told(tmp_path):
    table = pd.DataFrame([row(schema_version=NEXT).flat()]).drop(columns="notes")
    table.to_csv(tmp_path / "r.csv", index=False)
    with pytest.warns(UserWarning, match="lacks the columns notes"):
        read_csv(tmp_path / "r.csv")


DAMAGES = {
    "newer": lambda rows: rows[0].update(schema_version=99),
    "none": lambda rows: rows.clear(),
    "word": lambda rows: rows[0].update(value="high"),
    "flag": lambda rows: rows[0].update(is_primary=1),
    "no number": lambda rows: rows[0].update(value=float("nan")),
    "no seed": lambda rows: rows[0].update(seed=None),
    "lacking": lambda rows: rows[0].pop("notes"),
    "alien": lambda rows: rows[0].update(colour="red"),
    "range": lambda rows: rows[0].update(value=-1.0),
    "text": lambda rows: rows.append("row"),
    "list": lambda rows: rows[0].update(model=["m"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_result_that_cannot_be_used_is_left_out_by_name(tmp_path, damage):
    write_result(tmp_path / "good", [row()])
    write_result(tmp_path / "bad", [row(task="other")])
    path = tmp_path / "bad" / "result.json"
    content = json.loads(path.read_text())
    DAMAGES[damage](content["rows"])
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=re.escape(f"{path} is left out: ")):
        assert read_results(find_evaluations(tmp_path)).task.tolist() == ["t-v1-full"]


def test_a_result_of_a_newer_harness_is_not_to_be_deleted(tmp_path):
    write_result(tmp_path, [row(schema_version=99)])
    with pytest.warns(UserWarning, match=r"update hear-byola\.$"):
        assert read_results(find_evaluations(tmp_path)).empty


@pytest.mark.parametrize("text", [b"{", b"[]", b"\0\0\0", b"\xff", b"[" * 100_000, b""])
def test_a_result_file_that_is_damaged_is_left_out_by_name(tmp_path, text):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "result.json").write_bytes(text)
    with pytest.warns(UserWarning, match=r"result.json is left out: .*Run again"):
        assert read_results(find_evaluations(tmp_path)).empty


def test_a_run_of_which_only_the_csv_was_copied_is_read(tmp_path):
    written(tmp_path / "results.csv")
    assert len(load(str(tmp_path))) == 2


def test_the_command_shows_warnings_and_still_prints_the_table(tmp_path, capsys):
    path = edited(tmp_path / "r.csv", remark="?")
    assert call(["results", "table", str(path)]) == 0
    shown = capsys.readouterr()
    assert "Warning: " in shown.err
    assert "remark" in shown.err
    assert "| m " in shown.out


def test_runs_of_one_folder_that_differ_are_named(tmp_path, recwarn):
    evaluation = Path("results", "m", "t-v1-full", "linear")
    write_result(tmp_path / "old" / evaluation, [row(value=0.5, ci_low=0.4, ci_high=0.6)])
    write_result(
        tmp_path / "new" / evaluation,
        [row(value=0.7, ci_low=0.6, ci_high=0.8, started_at=LATER, run_id="r2")],
    )
    with pytest.warns(UserWarning, match="have different values of") as caught:
        assert latest(load(tmp_path)).value.tolist() == [0.7]
    (said,) = (str(each.message) for each in caught)
    assert f"0.5 in {tmp_path / 'old'}" in said
    assert f"0.7 in {tmp_path / 'new'}, which is used" in said
    recwarn.clear()
    assert latest(load(tmp_path / "old")).value.tolist() == [0.5]
    assert not recwarn.list
