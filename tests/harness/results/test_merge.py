"""Results of several files and machines in one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd
import pytest
from support import task_directories
from support.result_rows import row

from harness.cli import call
from harness.core.errors import UserError
from harness.results import ResultRow, frame, load, read_csv, write_csv, write_result
from harness.results.merge import check_output, describe_left_out, merge

EARLY = {"started_at": "2026-01-01T00:00:00+00:00", "run_id": "r1"}
LATE = {"started_at": "2026-02-01T00:00:00+00:00", "run_id": "r2"}


def written(path: Path, *rows: ResultRow) -> Path:
    write_csv(frame(rows), path)
    return path


def joined(folder: Path, first: list[ResultRow], second: list[ResultRow]):
    """What comes of two files; also in the other order, which must not matter."""
    paths = [written(folder / "a.csv", *first), written(folder / "b.csv", *second)]
    merged = merge(paths)
    pd.testing.assert_frame_equal(merge(paths[::-1]).table, merged.table)
    return merged


def test_rows_of_all_stand_in_canonical_order_and_nothing_is_left_out(tmp_path):
    rows = [row(model=m, task=t, seed=s) for m in "ba" for t in ("y", "x") for s in (1, 0)]
    merged = joined(tmp_path, rows[::2], rows[1::2])
    pd.testing.assert_frame_equal(merged.table, frame(rows))
    assert (merged.left_out, merged.doubts) == ((), ())


def test_the_newest_of_duplicates_is_kept_and_both_are_named(tmp_path):
    old = [row(metric=m, is_primary=p, **EARLY) for m, p in (("top1_acc", True), ("mAP", False))]
    new = [
        row(value=0.55, **LATE),
        row(metric="mAP", is_primary=False, **LATE),
        row(task="other", **LATE),
    ]
    merged = joined(tmp_path, old, new)
    pd.testing.assert_frame_equal(merged.table, frame(new))
    (line,) = describe_left_out(merged.left_out)
    assert f"{tmp_path / 'a.csv'}, lines 2-3, left out for {tmp_path / 'b.csv'}, lines 3-4" in line
    assert "newer (2026-02-01T00:00:00+00:00 after 2026-01-01T00:00:00+00:00)" in line
    assert "1 of 2 values differs, as top1_acc (all): 0.5 and 0.55." in line
    assert line.startswith("m on t-v1-full by linear, seed 0: ")


def test_lines_that_do_not_follow_each_other_are_named_apart(tmp_path):
    splits = ["all", "f1", "f2", "f3", "f4", "f5"]
    merged = joined(
        tmp_path,
        [row(task="t", split=s, **EARLY) for s in splits],
        [row(task="t", split=s, **LATE) for s in ("all", "f1", "f3", "f5")],
    )
    (line,) = describe_left_out(merged.left_out)
    assert "a.csv, lines 2-3, 5, 7, left out for" in line
    assert "b.csv, lines 2-5" in line
    assert line.endswith("the values are equal.")


def test_rows_of_one_run_given_twice_are_kept_once(tmp_path):
    rows = [row(task="a"), row(task="b")]
    merged = joined(tmp_path, rows, rows)
    assert len(merged.table) == 2
    lines = describe_left_out(merged.left_out)
    assert len(lines) == 2
    assert all("of the same run; the values are equal" in line for line in lines)


def test_a_file_cut_at_a_line_is_refused(tmp_path):
    path = written(tmp_path / "a.csv", row(), row(split="fold00"))
    header, _, fold = path.read_text().splitlines()
    path.write_text(f"{header}\n{fold}\n")
    with pytest.raises(UserError, match=r"a.csv, line 2: .* has no row over all test folds"):
        merge([path])


def test_a_file_named_twice_is_read_once(tmp_path):
    path = written(tmp_path / "a.csv", row())
    assert merge([path, tmp_path / "." / "a.csv"]).left_out == ()


def test_a_failure_never_takes_the_place_of_a_value(tmp_path):
    failed = row(value=None, ci_low=None, ci_high=None, status="failed", **LATE)
    merged = joined(tmp_path, [row(**EARLY)], [failed])
    assert merged.table.status.tolist() == ["done"]
    (line,) = describe_left_out(merged.left_out)
    assert "b.csv, line 2, left out for" in line
    assert "which did not fail; 1 of 1 value differs, as top1_acc (all): none and 0.5" in line


def test_a_failure_on_a_task_that_has_changed_since_is_news(tmp_path):
    failed = row(value=None, status="failed", task_sha256="new", **LATE)
    assert joined(tmp_path, [row(**EARLY)], [failed]).table.status.tolist() == ["failed"]


def test_one_run_that_says_two_things_is_refused(tmp_path):
    one, other = written(tmp_path / "a.csv", row()), written(tmp_path / "b.csv", row(value=0.55))
    said = f"{one}, line 2 and {other}, line 2 are of one run (r1)"
    with pytest.raises(UserError, match=re.escape(said)):
        merge([one, other])


def test_values_on_different_test_clips_are_refused(tmp_path):
    one = written(tmp_path / "a.csv", row(n_test=100))
    other = written(tmp_path / "b.csv", row(model="n", n_test=99))
    said = f"100 test clips in {one}, line 2, and 99 in {other}, line 2"
    with pytest.raises(UserError, match=re.escape(said)):
        merge([one, other])


def test_what_may_not_belong_together_is_told_once(tmp_path):
    first = [row(), row(model="n", seed=1)]
    second = [row(seed=s, task_sha256="other", model_fingerprint="g") for s in (1, 2)]
    merged = joined(tmp_path, first, second)
    assert len(merged.table) == 4
    assert len(merged.doubts) == 2
    assert merged.doubts[0].startswith("t-v1-full is not the same in")
    assert merged.doubts[1].startswith("m is not the same model in")


def test_a_model_fitted_to_each_task_is_one_model(tmp_path):
    first = row(task="a", model_options='{"mean": 1}', model_fingerprint="f")
    second = row(task="b", model_options='{"mean": 2}', model_fingerprint="g")
    assert joined(tmp_path, [first], [second]).doubts == ()


def test_files_and_runs_may_be_mixed(tmp_path):
    path = written(tmp_path / "a.csv", row(**EARLY))
    write_result(tmp_path / "run" / "results" / "m" / "t" / "linear", [row(value=0.55, **LATE)])
    merged = merge([path, tmp_path / "run"])
    assert merged.table.value.tolist() == [0.55]
    (line,) = describe_left_out(merged.left_out)
    assert "linear/result.json, row 1, which is newer" in line


@pytest.mark.parametrize("kind", ["file", "link", "hard link", "run"])
def test_an_input_is_never_written_over(tmp_path, kind):
    path = written(tmp_path / "results.csv", row())
    out = {"file": path, "run": path}.get(kind, tmp_path / "other.csv")
    if kind == "link":
        out.symlink_to(path)
    elif kind == "hard link":
        os.link(path, out)
    with pytest.raises(UserError, match="is one of the inputs"):
        check_output(out, [tmp_path if kind == "run" else path], overwrite=True)


def test_another_file_is_written_over_only_when_told(tmp_path, capsys):
    one, other = written(tmp_path / "a.csv", row()), written(tmp_path / "b.csv", row(task="b"))
    before = other.read_bytes()
    command = ["results", "merge", str(one), "-o", str(other)]
    assert call(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert other.read_bytes() == before
    assert call([*command, "--overwrite"]) == 0
    assert read_csv(other).task.tolist() == ["t-v1-full"]
    assert call(["results", "merge", str(one), "-o", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_a_mistake_is_one_sentence_and_writes_nothing(tmp_path, capsys):
    good = written(tmp_path / "a.csv", row())
    (tmp_path / "bad.csv").write_text("x\n")
    (tmp_path / "empty").mkdir()
    for bad in ("bad.csv", "nowhere.csv", "empty"):
        out = tmp_path / "out.csv"
        assert call(["results", "merge", str(good), str(tmp_path / bad), "-o", str(out)]) == 2
        assert bad in capsys.readouterr().err
        assert not out.exists()


def test_shards_of_two_machines_become_the_table_of_one(tmp_path, capsys):
    tasks = [
        task_directories.make_task(tmp_path, kind, n=12, seconds=0.3) for kind in ("scene", "pitch")
    ]
    run = [
        "run", "-m", "harness.baselines.logmel,name=logmel", "-t", str(tasks[0]), "-t",
        str(tasks[1]), "--protocol", "knn", "--jobs", "1", "--out",
    ]  # fmt: skip
    for shard in ("1/2", "2/2"):
        assert call([*run, str(tmp_path / shard[0]), "--shard", shard]) == 0
    out = tmp_path / "all.csv"
    assert call(["results", "merge", str(tmp_path / "1"), str(tmp_path / "2"), "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert "0 others left out" in shown.out
    assert "Warning" not in shown.err
    # The whole run finds what the first machine has done.
    assert call([*run, str(tmp_path / "1")]) == 0
    whole = capsys.readouterr().out
    assert call(["results", "table", str(out)]) == 0
    assert capsys.readouterr().out in whole
    values = ["task", "split", "metric", "value", "ci_low", "ci_high"]
    pd.testing.assert_frame_equal(load(out)[values], load(tmp_path / "1")[values])
