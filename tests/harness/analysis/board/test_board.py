"""Results among published ones. Every row of ours is made up."""

from __future__ import annotations

import io
import itertools
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.preprocessing import StandardScaler
from support.result_rows import row

from harness.analysis.board import NOT_SEPARABLE, UNPAIRED, board, two_proportion_p
from harness.analysis.board.published import BoardColumn, PublishedBoard, read_published
from harness.analysis.board.text import format_board
from harness.cli import call
from harness.core.errors import UserError
from harness.results import frame, write_csv

HEAR = read_published("hear2021")
COLUMNS = {column.title: column for column in HEAR.columns}


def made_up(title, value=0.5, model="made-up", **changes):
    """Rows of a model of ours on a column of the board."""
    column = COLUMNS[title]
    fields = {"protocol": "hear2021", "metric": column.metric, "value": value, "model": model}
    return [
        row(task=directory, **({"n_test": clips} | fields | changes))
        for directory, clips in zip(column.directories, column.clips)
    ]


def placed(rows, title="ESC-50", model="made-up"):
    found = board(frame(rows), HEAR).placements
    return found[(found.model == model) & (found.title == title)].iloc[0]


@pytest.mark.parametrize(
    ("title", "not_told_apart", "adjacent"), [("Gunshot", 32, 33), ("NSynth Pitch 5h", 30, 33)]
)
def test_most_neighbours_on_the_board_cannot_be_told_apart(title, not_told_apart, adjacent):
    column = COLUMNS[title]
    scores = HEAR.scores[column.name].dropna().sort_values()
    p = [two_proportion_p(*pair, column.n_test) for pair in itertools.pairwise(scores)]
    assert len(p) == adjacent
    assert sum(each >= 0.05 for each in p) == not_told_apart


@pytest.mark.parametrize(("right", "other", "n"), [(70, 61, 88), (240, 251, 500), (9, 1, 10)])
def test_the_z_test_is_the_chi_square_test_without_correction(right, other, n):
    table = [[right, n - right], [other, n - other]]
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert two_proportion_p(right / n, other / n, n) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_equal_accuracies_are_not_told_apart(value):
    assert two_proportion_p(value, value, 100) == 1.0


def test_the_test_errs_in_one_of_twenty_where_nothing_differs():
    rng = np.random.default_rng(0)
    drawn = rng.binomial(500, 0.7, (4000, 2)) / 500
    told = np.mean([two_proportion_p(one, other, 500) < 0.05 for one, other in drawn])
    assert 0.04 < told < 0.06


def test_a_published_models_own_scores_get_its_own_rank():
    scores = HEAR.scores.loc["OpenL3"]
    rows = [r for title, c in COLUMNS.items() for r in made_up(title, float(scores[c.name]))]
    found = board(frame(rows), HEAR)
    theirs = found.aggregates[(found.aggregates.model == "OpenL3")].iloc[0]
    ours = found.aggregates[found.aggregates.own].iloc[0]
    assert ours["mean"] == pytest.approx(theirs["mean"])
    assert ours.standardised == pytest.approx(theirs.standardised)
    assert ours.rank_by_mean == theirs.rank_by_mean
    assert (theirs.of_models, ours.of_models) == (13, 14)
    for place in found.placements.itertuples():
        rank = stats.rankdata(-HEAR.scores[place.task].dropna().round(6), "min")
        index = list(HEAR.scores[place.task].dropna().index).index("OpenL3")
        assert place.rank == rank[index], place.title


def test_a_score_between_others_is_ranked_between_them():
    column = COLUMNS["ESC-50"].name
    best, second = HEAR.scores[column].nlargest(2)
    place = placed(made_up("ESC-50", (best + second) / 2))
    assert (place["rank"], place.of) == (2, 35)
    assert placed(made_up("ESC-50", 1.0))["rank"] == 1
    assert placed(made_up("ESC-50", 0.0))["rank"] == 35


def test_what_published_scores_cannot_separate_is_named_and_not_called_equal():
    place = placed(made_up("Gunshot", 0.9), "Gunshot")
    assert place.method == UNPAIRED
    expected = [
        name
        for name, score in HEAR.scores[COLUMNS["Gunshot"].name].items()
        if two_proportion_p(0.9, score, 88) >= 0.05
    ]
    assert set(place.not_separable.split("; ")) == set(expected)
    assert place.n_not_separable == len(expected) > 20
    found = board(frame(made_up("Gunshot", 0.9)), HEAR)
    assert set(found.pairs.verdict) <= {"higher", "lower", NOT_SEPARABLE}
    words = set(format_board(found, tables=["pairs"]).lower().split())
    assert not words & {"equal", "tie", "tied", "same"}


@pytest.mark.parametrize("title", ["FSD50K", "Beehive", "DCASE 2016", "Maestro 5h"])
def test_other_metrics_claim_nothing(title):
    found = board(frame(made_up(title, 0.5)), HEAR)
    place = found.placements[found.placements.title == title].iloc[0]
    assert place.method == f"no interval known: {COLUMNS[title].metric}"
    assert pd.isna(place.n_not_separable)
    assert set(found.pairs.verdict) == {"no interval known"}
    assert found.pairs.p.isna().all()


def test_an_unknown_number_of_clips_claims_nothing():
    rows = [row(task="voxforge-v1-full", protocol="byola", value=0.8)]
    found = board(frame(rows), read_published("byola-paper"))
    method = found.placements.set_index("title").method["voxforge"]
    assert method == "no interval known: the number of test clips is not known"
    assert set(found.pairs.verdict) == {"no interval known"}


def test_only_the_boards_protocol_may_enter():
    with pytest.raises(UserError, match="these are of linear"):
        board(frame(made_up("ESC-50", protocol="linear")), HEAR)
    mixed = made_up("ESC-50", 0.6) + made_up("ESC-50", 0.9, protocol="linear")
    found = board(frame(mixed), HEAR)
    assert found.placements.value.dropna().tolist() == [0.6]
    assert "linear" in found.left_out[0]
    with pytest.raises(UserError, match="of the protocol byola"):
        board(frame(made_up("ESC-50")), read_published("byola-paper"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"task": "esc50-v3.0.0-full"},
            "another version, mode or part than the board's esc50-v2.0.0",
        ),
        ({"task": "esc50-v2.0.0-small"}, "another version, mode or part"),
        ({"task": "esc50_part-v2.0.0-full"}, "another version, mode or part"),
        ({"task": "mine-v1-full"}, "not on the board"),
        ({"metric": "mAP"}, "scored by mAP, on the board by top1_acc"),
        ({"n_test": 1999}, "tested on 1999 clips, where the task has 2000"),
    ],
)
def test_what_is_not_the_published_task_is_left_out_with_a_sentence(changes, said):
    other = made_up("ESC-50")[0].flat() | changes
    found = board(frame([*made_up("Gunshot"), row(**other)]), HEAR)
    assert found.placements.status.value_counts()["done"] == 1
    (sentence,) = found.left_out
    assert said in sentence
    assert "made-up" in sentence
    with pytest.raises(UserError, match=said):
        board(frame([row(**other)]), HEAR)


def test_one_models_missing_clips_do_not_keep_another_out():
    rows = made_up("ESC-50", 0.5, n_test=1999) + made_up("ESC-50", 0.6, "whole")
    found = board(frame(rows), HEAR)
    assert found.models == ("whole",)
    assert "made-up" in found.left_out[0]


def test_missing_failed_and_undefined_tasks_are_shown_and_not_scored():
    gap = {"value": None, "ci_low": None, "ci_high": None}
    rows = [
        *made_up("ESC-50", 0.5),
        *made_up("Gunshot", **(gap | {"status": "failed"})),
        *made_up("FSD50K", **gap),
    ]
    found = board(frame(rows), HEAR)
    status = found.placements.set_index("title").status
    assert len(status) == 19
    assert status[["ESC-50", "Gunshot", "FSD50K"]].tolist() == ["done", "failed", "undefined"]
    assert set(status.drop(["ESC-50", "Gunshot", "FSD50K"])) == {"missing"}
    ours = found.aggregates[found.aggregates.own].iloc[0]
    assert (ours.n_tasks, ours.of_tasks, ours["mean"]) == (1, 19, 0.5)
    assert pd.isna(ours.rank_by_mean)
    assert "1/19" in format_board(found)
    assert "| failed" in format_board(found)


def printed_rows(text, title):
    """First cells of the rows of one printed table."""
    _, _, after = text.partition(f"| {title} ")
    lines = after.partition("\n\n")[0].splitlines()[2:]
    return [line.split("|")[1].strip().strip("*") for line in lines]


def test_models_that_lack_tasks_stand_below_those_that_lack_fewer():
    rows = [each for title in ("ESC-50", "Gunshot") for each in made_up(title, 0.99)]
    printed = format_board(board(frame(rows), HEAR), tables=["aggregates"])
    models = printed_rows(printed, "hear2021, 19 tasks")
    had = HEAR.scores.notna().sum(axis=1)
    assert models.index("made-up") == sum(had > 2)
    assert [had[model] for model in models if model != "made-up"] == sorted(had, reverse=True)
    assert "\n2 tasks: those that made-up has, ESC-50, Gunshot.\n" in printed


def test_placements_have_the_tasks_that_there_are_and_count_the_others():
    gap = {"value": None, "ci_low": None, "ci_high": None, "status": "failed"}
    printed = format_board(board(frame([*made_up("ESC-50"), *made_up("Gunshot", **gap)]), HEAR))
    assert set(printed_rows(printed, "made-up on hear2021, 1 of 19 tasks")) == {"ESC-50", "Gunshot"}
    assert "\nmade-up has no result on 17 of 19 tasks.\n" in printed
    assert " tasks: those" not in printed


def test_beehive_takes_both_directories_and_their_mean():
    one, other = made_up("Beehive")
    both = [row(**(one.flat() | {"value": 0.4})), row(**(other.flat() | {"value": 0.6}))]
    assert placed(both, "Beehive").value == pytest.approx(0.5)
    assert placed([*made_up("ESC-50"), both[0]], "Beehive").status == "missing"


def test_another_version_of_the_task_moves_no_other_models_place():
    alone = placed(made_up("ESC-50", 0.6))
    others = made_up("ESC-50", 0.9, "other", task_sha256="f" * 64)
    beside = placed(made_up("ESC-50", 0.6) + others)
    assert (beside.value, beside["rank"], beside.status) == (0.6, alone["rank"], "done")
    assert placed(made_up("ESC-50", 0.6) + others, model="other").value == 0.9


def test_seeds_on_two_versions_of_a_task_have_no_place():
    rows = [r for s in (0, 1) for r in made_up("ESC-50", 0.5, seed=s, task_sha256=str(s))]
    place = placed([*made_up("Gunshot"), *rows])
    assert place.status == "mixed"
    assert pd.isna(place["rank"])
    assert "| mixed" in format_board(board(frame(rows), HEAR))


def test_seeds_are_averaged_and_their_spread_shown():
    rows = [r for seed, v in enumerate([0.5, 0.6]) for r in made_up("ESC-50", v, seed=seed)]
    place = placed(rows)
    assert place.value == pytest.approx(0.55)
    assert place.seed_sd == pytest.approx(np.std([0.5, 0.6], ddof=1))
    assert "0.550 [0.450, 0.650] (sd 0.071)" in format_board(board(frame(rows), HEAR))


def test_the_published_order_depends_on_the_aggregate():
    found = board(frame(made_up("ESC-50")), HEAR).aggregates
    everything = found[(found.of_tasks == 19) & ~found.own].set_index("model")
    assert everything["mean"].idxmax() == "GURA Fuse Cat H+w+C"
    assert (everything["mean"] * everything.n_tasks).idxmax() == "RedRice ced_base"
    assert everything.rank_by_mean.notna().sum() == 13
    assert everything.rank_by_mean.idxmin() == "RedRice ced_base"


def test_ours_move_neither_published_numbers_nor_each_other():
    alone = board(frame(made_up("ESC-50", 0.5)), HEAR)
    beside = board(frame(made_up("ESC-50", 0.5) + made_up("ESC-50", 0.99, "better")), HEAR)
    published = [b.aggregates[~b.aggregates.own].reset_index(drop=True) for b in (alone, beside)]
    pd.testing.assert_frame_equal(*published)
    first = [b.placements[b.placements.model == "made-up"] for b in (alone, beside)]
    pd.testing.assert_frame_equal(*(each.reset_index(drop=True) for each in first))


def whole_board(scores):
    """A board without gaps, of made-up tasks."""
    columns = tuple(BoardColumn(t, t, (t,), "top1_acc", (100,), "speech") for t in scores)
    return PublishedBoard("made-up", "made up", "hear2021", columns, scores)


def test_aggregates_are_those_of_other_implementations_on_a_board_without_gaps():
    rng = np.random.default_rng(3)
    names = [f"t{i}-v1-full" for i in range(5)]
    scores = pd.DataFrame(rng.random((9, 5)).round(1), [f"m{i}" for i in range(9)], names)
    rows = [row(task=t, protocol="hear2021", value=0.5, n_test=100) for t in names]
    found = board(frame(rows), whole_board(scores)).aggregates.set_index("model")
    standard = np.clip(StandardScaler().fit_transform(scores), -1, 1).mean(axis=1)
    np.testing.assert_allclose(found.standardised[scores.index], standard)
    ranks = stats.rankdata(-scores.to_numpy(), axis=0)
    np.testing.assert_allclose(found.mean_rank[scores.index], ranks.mean(axis=1))
    joined = stats.rankdata(-np.vstack([scores, np.full(5, 0.5)]), axis=0)
    assert found.mean_rank["m"] == pytest.approx(joined[-1].mean())
    expected = stats.rankdata(found.mean_rank[scores.index], "min")
    assert found.rank_by_mean_rank[scores.index].tolist() == expected.tolist()


def test_a_second_ranking_is_over_the_tasks_that_all_of_ours_have():
    rows = [r for title in ("ESC-50", "Gunshot", "FSD50K") for r in made_up(title, 0.5)]
    rows += [r for title in ("ESC-50", "Gunshot") for r in made_up(title, 0.6, "other")]
    found = board(frame(rows), HEAR).aggregates
    assert list(dict.fromkeys(found.over)) == ["19 tasks", "2 tasks"]
    ours = found[found.own & (found.of_tasks == 2)].set_index("model")
    assert ours.rank_by_mean.notna().all()
    assert ours.of_models.tolist() == [35, 35]
    assert set(board(frame(made_up("ESC-50")), HEAR).aggregates.over) == {"19 tasks"}


def test_equal_published_scores_share_their_rank_whatever_float32_made_of_them():
    rows = [r for title in ("Gunshot", "NSynth Pitch 5h") for r in made_up(title)]
    one, other = (0.932, 0.9320000001)
    names = [COLUMNS[title].name for title in ("Gunshot", "NSynth Pitch 5h")]
    scores = pd.DataFrame([[one, one], [other, other], [0.1, 0.1]], list("abc"), names)
    columns = tuple(c for c in HEAR.columns if c.name in names)
    ranks = board(frame(rows), PublishedBoard("b", "b", "hear2021", columns, scores)).aggregates
    ranks = ranks.set_index("model")
    for column in ("rank_by_mean", "rank_by_mean_rank", "rank_by_standardised"):
        assert ranks.loc[["a", "b"], column].tolist() == [1, 1]


def test_csv_holds_the_frames_with_numbers_in_columns():
    found = board(frame(made_up("ESC-50", 0.6)), HEAR)
    for name in ("placements", "aggregates", "pairs"):
        read = pd.read_csv(io.StringIO(format_board(found, "csv", [name])))
        frame_of = getattr(found, name)
        assert list(read) == list(frame_of)
        for column in ("value", "mean", "other_value"):
            if column in read:
                np.testing.assert_allclose(read[column], frame_of[column])
    with pytest.raises(UserError, match="one table"):
        format_board(found, "csv", ["pairs", "aggregates"])


def test_html_is_well_formed_and_latex_keeps_its_columns():
    rows = made_up("ESC-50", 0.6, "a&b <_%$#>")
    found = board(frame(rows), HEAR)
    tree = ElementTree.fromstring(format_board(found, "html"))
    assert any("a&b <_%$#>" in "".join(cell.itertext()) for cell in tree.iter("caption"))
    for line in format_board(found, "latex").splitlines():
        if line.endswith(r" \\") and "ESC-50" in line:
            assert line.replace(r"\&", "").count("&") == 5


def test_an_unknown_format_or_table_is_refused():
    found = board(frame(made_up("ESC-50")), HEAR)
    with pytest.raises(UserError, match="'word'"):
        format_board(found, "word")
    with pytest.raises(UserError, match="'ranks'"):
        format_board(found, tables=["ranks"])


def test_the_command_prints_the_board(tmp_path, capsys):
    path = tmp_path / "results.csv"
    write_csv(frame(made_up("ESC-50", 0.8) + made_up("Gunshot", 0.9)), path)
    assert call(["results", "board", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "2 of 19 tasks" in printed
    assert f"{placed(made_up('ESC-50', 0.8))['rank']} of 35" in printed
    assert call(["results", "board", str(path), "--show", "pairs", "--format", "csv"]) == 0
    read = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(read) == 68
    assert call(["results", "board", str(path), "--board", "hear2020"]) == 2
    assert "Did you mean 'hear2021'" in capsys.readouterr().err


def test_ours_are_paired_with_each_other_where_predictions_are_and_else_that_is_said(
    tmp_path, capsys
):
    path = tmp_path / "results.csv"
    rows = made_up("ESC-50", 0.8) + made_up("ESC-50", 0.7, "other")
    write_csv(frame(rows), path)
    assert call(["results", "board", str(path), "--show", "paired"]) == 0
    printed = capsys.readouterr().out
    assert "hear2021: made-up and other" in printed
    assert "cannot be paired" in printed
    assert call(["results", "board", str(path)]) == 0  # no predictions: not shown unasked
    assert "made-up and other" not in capsys.readouterr().out


def test_a_published_board_has_no_row_that_is_ours():
    assert "made-up" not in read_published("hear2021").scores.index
