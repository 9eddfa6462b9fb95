from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hear_byola.pretraining.metrics import CurveLog


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three steps as a first start has written them."""
    log = CurveLog(tmp_path / "metrics.csv")
    for step in (10, 20, 30):
        log.log_metrics({"loss": step / 7, "lr": 3e-4}, step)
    return log.path


def test_rows_have_the_step_first_and_six_digits(path: Path) -> None:
    text = path.read_text().splitlines()
    assert text[:2] == ["step,loss,lr", "10,1.42857,0.0003"]
    assert len(text) == 4


def test_nothing_is_written_before_the_first_row(tmp_path: Path) -> None:
    log = CurveLog(tmp_path / "metrics.csv")
    log.rewind(0)
    assert list(tmp_path.iterdir()) == []


def test_a_second_start_appends(path: Path) -> None:
    log = CurveLog(path)
    log.rewind(30)
    log.log_metrics({"loss": 1, "lr": 0.1}, 40)
    assert [row["step"] for row in rows(path)] == ["10", "20", "30", "40"]
    assert len(path.read_text().splitlines()) == 5


def test_what_was_logged_after_the_saved_state_is_dropped(path: Path) -> None:
    log = CurveLog(path)
    log.rewind(20)
    log.log_metrics({"loss": 9, "lr": 0.1}, 30)
    assert [(row["step"], row["loss"][:3]) for row in rows(path)] == [
        ("10", "1.4"),
        ("20", "2.8"),
        ("30", "9"),
    ]
    log.rewind(0)
    assert rows(path) == []
    log.log_metrics({"loss": 1, "lr": 0.1}, 10)
    assert [row["step"] for row in rows(path)] == ["10"]


def test_a_column_may_come_later(path: Path) -> None:
    log = CurveLog(path)
    log.log_metrics({"embedding_std": 0.5}, 30)
    log.log_metrics({"probe/pitch": 0.25}, 40)
    log.log_metrics({"loss": 2, "probe/pitch": 0.5}, 50)
    found = rows(path)
    assert list(found[0]) == ["step", "loss", "lr", "embedding_std", "probe/pitch"]
    assert [row["embedding_std"] for row in found] == ["", "", "0.5", "", ""]
    assert [row["probe/pitch"] for row in found] == ["", "", "", "0.25", "0.5"]
    assert found[2]["loss"] == "4.28571"


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_last_line_that_was_cut_off_is_dropped(path: Path, cut: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    log = CurveLog(path)
    log.rewind(20)
    log.log_metrics({"loss": 3, "lr": 0.1}, 30)
    assert [(row["step"], row["lr"]) for row in rows(path)] == [
        ("10", "0.0003"),
        ("20", "0.0003"),
        ("30", "0.1"),
    ]


@pytest.mark.parametrize("content", ["", "st", "step,lo", "step,loss\n", "step,loss\n\n"])
def test_a_file_without_rows(tmp_path: Path, content: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    log = CurveLog(path)
    log.rewind(10)
    log.log_metrics({"loss": 1}, 20)
    log.log_metrics({"loss": 2}, 30)
    assert [(row["step"], row["loss"]) for row in rows(path)] == [("20", "1"), ("30", "2")]


def test_a_figure_that_is_no_number_is_kept_as_such(tmp_path: Path) -> None:
    log = CurveLog(tmp_path / "metrics.csv")
    log.log_metrics({"embedding_std": float("nan")}, 1)
    assert rows(log.path) == [{"step": "1", "embedding_std": "nan"}]
