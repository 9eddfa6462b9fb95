from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.analysis.board.published import BOARDS, read_file, read_published
from harness.core.errors import UserError
from tasks.cards.builtin import cards, suites

RESULTS = Path(__file__).parents[4] / "results"

SHA256 = {
    "hear2021_leaderboard.csv": "caf6938fc9734a062ac0689ee28ecba4ed97e4b8c874e87c3f591b7cd35b1f2b",
    "audiontt_hear_runs.csv": "8b5ebf16802fb3178a69d67407195f92c7a011dbdd09e755f1cc5047b735bc39",
    "byola_tables.csv": "176896155d7ffb0509b4dd7e195c67cdd3d5b335d36c019de568dd86425711b8",
}


@pytest.mark.parametrize("name", SHA256)
def test_a_file_is_what_its_source_was(name):
    content = (RESULTS / "published" / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256[name]
    assert SHA256[name] in (RESULTS / "published" / "README.md").read_text()


def test_every_file_has_its_provenance():
    readme = (RESULTS / "published" / "README.md").read_text()
    sections = {part.splitlines()[0]: part for part in readme.split("\n## ")[1:]}
    assert {path.name for path in (RESULTS / "published").glob("*.csv")} == set(sections)
    for section in sections.values():
        assert all(f"| {fact} |" in section for fact in ("source", "date", "licence", "made by"))
        assert "Known to be odd" in section


@pytest.mark.parametrize(
    ("name", "models", "tasks"),
    [("hear2021", 34, 19), ("audiontt", 81, 18), ("byola-paper", 10, 6)],
)
def test_a_board_holds_every_model_and_task(name, models, tasks):
    scores = read_published(name).scores
    assert scores.shape == (models, tasks)
    assert scores.index.is_unique
    assert scores.index.name == "model"


def test_cells_are_the_files_and_an_empty_one_stays_empty():
    raw = pd.read_csv(RESULTS / "published" / "hear2021_leaderboard.csv").set_index("Model")
    raw = raw.drop(columns=["URL", "Submission Date"])
    scores = read_published("hear2021").scores
    titles = [column.title for column in read_published("hear2021").columns]
    pd.testing.assert_frame_equal(
        scores.set_axis(titles, axis=1), raw, check_names=False, check_exact=False, rtol=1e-15
    )
    assert scores.isna().sum().sum() == (read_file("hear2021_leaderboard.csv") == "").sum().sum()


def test_percent_become_fractions():
    scores = read_published("byola-paper").scores
    assert scores.loc["BYOL-A, AudioSet, d = 2048", "urbansound8k-v1.0-full"] == 0.791
    assert np.isnan(scores.loc["COLA", "urbansound8k-v1.0-full"])


@pytest.mark.parametrize(("name", "suite"), [("hear2021", "hear2021"), ("byola-paper",) * 2])
def test_a_boards_columns_are_its_suites_directories(name, suite):
    of_columns = [d for column in read_published(name).columns for d in column.directories]
    assert sorted(of_columns) == sorted(card.directory for card in suites()[suite])


def test_a_column_of_two_directories_is_called_by_both():
    columns = {column.title: column for column in read_published("hear2021").columns}
    beehive = columns.pop("Beehive")
    assert beehive.name == "beehive_states_fold0-v2-full + beehive_states_fold1-v2-full"
    assert beehive.n_test is None
    assert all(column.name == column.directories[0] for column in columns.values())
    # spec/hear.md, section 7 of the facts that the cards were written from
    assert {columns[title].n_test for title in ("Gunshot", "NSynth Pitch 5h")} == {88, 500}


def _scored_cards():
    return [card for card in cards().values() if card.published_scores]


@pytest.mark.parametrize("card", _scored_cards(), ids=lambda card: card.name)
def test_a_cards_published_scores_are_the_boards(card):
    published = read_published(card.suite)
    (column,) = (c for c in published.columns if card.directory in c.directories)
    scores = published.scores[column.name]
    assert card.published_scores == (round(scores.min(), 4), round(scores.max(), 4))
    assert card.metrics[0] == column.metric


def test_means_that_the_files_print_are_those_of_their_cells():
    runs = read_file("audiontt_hear_runs.csv").set_index("run")
    scenes = read_published("audiontt").scores.drop(
        columns=["dcase2016_task2-hear2021-full", "maestro-v3.0.0-5h"]
    )
    printed = pd.to_numeric(runs.mean16, errors="coerce")
    assert (scenes.mean(axis=1) - printed).abs().max() < 1e-4
    assert scenes.loc["audiontt_random"].mean() == pytest.approx(0.670, abs=5e-4)
    tables = read_file("byola_tables.csv")
    means = pd.to_numeric(tables["mean"])[tables.table == "I"].to_numpy() / 100
    assert np.nanmax(np.abs(read_published("byola-paper").scores.mean(axis=1) - means)) < 0.00071


def test_an_unknown_board_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'hear2021'"):
        read_published("hear2020")
    assert set(BOARDS) == {"hear2021", "audiontt", "byola-paper"}


@pytest.mark.parametrize("study", ["table2", "table3"])
def test_a_studys_paper_numbers_are_those_of_the_papers_tables(study):
    tables = read_file("byola_tables.csv")
    study_rows = pd.read_csv(RESULTS / "studies" / f"{study}.paper.csv", dtype=str)
    assert len(study_rows)
    for row in study_rows.to_dict("records"):
        of_table = tables[tables.table == row["source"].rpartition(" ")[2]]
        assert row["source"].startswith("arXiv 2103.06695, Table ")
        names = of_table.method.map(lambda method: method.removesuffix(" (BYOL-A)"))
        dashed = {"+".join(name.split(" + ")).replace(" ", "-"): i for i, name in names.items()}
        printed = of_table.loc[dashed[row["arm"]]]
        for column in set(row) - {"arm", "source"}:
            assert printed[column.lower().replace("/", "_")] == row[column], (row["arm"], column)


def test_the_files_hold_nothing_but_text_and_numbers():
    for name in SHA256:
        content = (RESULTS / "published" / name).read_text("utf-8")
        assert len(pd.read_csv(io.StringIO(content))) > 20
