"""Read published boards: scores measured by others, with our task directories as columns.

The files are ``results/published/*.csv``, unchanged copies; the README in that folder gives the
source and the peculiarities of each. The task cards define the task of each column: its name is a
card's ``directory``, or the ``board_name`` of cards of the board's suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from harness.core.errors import UserError, did_you_mean
from tasks.cards.builtin import cards
from tasks.cards.card import Card

# pyproject.toml copies the files there in a wheel.
_IN_PACKAGE = files("harness") / "published_data"
_IN_CHECKOUT = Path(__file__).parents[3] / "results" / "published"


@dataclass(frozen=True)
class _BoardFile:
    """The layout of a file of published scores.

    Attributes:
        title: title of the board.
        name: name of the file.
        suite: suite of the cards whose ``board_name`` can be a column.
        protocol: protocol of the scores.
        label: columns whose cells together are a row's name.
        aside: columns that are not tasks.
        rows: cells that select the rows.
        divisor: number that the scores in the file are divided by: 100 for percent.
    """

    title: str
    name: str
    suite: str
    protocol: str
    label: tuple[str, ...]
    aside: tuple[str, ...]
    rows: Mapping[str, str] = field(default_factory=dict)
    divisor: int = 1


_FILES: Mapping[str, _BoardFile] = MappingProxyType(
    {
        "hear2021": _BoardFile(
            title="HEAR 2021",
            name="hear2021_leaderboard.csv",
            suite="hear2021",
            protocol="hear2021",
            label=("Model",),
            aside=("URL", "Submission Date"),
        ),
        "audiontt": _BoardFile(
            title="published runs of BYOL-A's encoder and others on HEAR's tasks",
            name="audiontt_hear_runs.csv",
            suite="hear2021",
            protocol="hear2021",
            label=("run",),
            aside=("mean16",),
        ),
        "byola-paper": _BoardFile(
            title="Table I of the BYOL-A paper",
            name="byola_tables.csv",
            suite="byola-paper",
            protocol="byola",
            label=("method", "pretraining_data", "d"),
            aside=("table", "mean"),
            rows={"table": "I"},
            divisor=100,
        ),
    }
)

BOARDS = tuple(_FILES)


@dataclass(frozen=True)
class BoardColumn:
    """A task of a board.

    Attributes:
        name: our task directory; several directories whose mean the board has are joined by
            `` + ``.
        title: the column's name in the file.
        directories: the task directories.
        metric: the task's metric.
        clips: number of test clips of each directory; None if not known.
        domain: as on the cards.
    """

    name: str
    title: str
    directories: tuple[str, ...]
    metric: str
    clips: tuple[int | None, ...]
    domain: str

    @property
    def n_test(self) -> int | None:
        """Number of test clips; None if not known, and for a mean of two tasks."""
        return self.clips[0] if len(self.clips) == 1 else None


@dataclass(frozen=True)
class PublishedBoard:
    """A published board.

    Attributes:
        name: one of ``BOARDS``.
        title: its title.
        protocol: protocol of the scores.
        columns: its tasks, in the file's order.
        scores: models × ``BoardColumn.name``; accuracies as fractions, NaN where nothing was
            published.
    """

    name: str
    title: str
    protocol: str
    columns: tuple[BoardColumn, ...]
    scores: pd.DataFrame


@cache
def read_published(name: str) -> PublishedBoard:
    """Return a published board, with the tasks of its columns from the task cards.

    The result is shared by all callers, so do not change it.

    Raises:
        UserError: there is no such board.
    """
    if name not in _FILES:
        raise UserError(
            f"There is no published board '{name}'.{did_you_mean(name, BOARDS)} "
            f"The boards are {', '.join(BOARDS)}."
        )
    of = _FILES[name]
    raw = read_file(of.name)
    for column, wanted in of.rows.items():
        raw = raw[raw[column] == wanted]
    columns = tuple(
        _column(title, of) for title in raw.columns if title not in (*of.label, *of.aside)
    )
    # Divide as decimals: 79.1 / 100 is not 0.791 in floats.
    scores = {
        column.name: [
            float(Decimal(text) / of.divisor) if text else float("nan")
            for text in raw[column.title]
        ]
        for column in columns
    }
    return PublishedBoard(
        name, of.title, of.protocol, columns, pd.DataFrame(scores, _labels(raw[list(of.label)]))
    )


def read_file(name: str) -> pd.DataFrame:
    """Return a file of ``results/published`` with every cell as text."""
    folder = _IN_PACKAGE if _IN_PACKAGE.is_dir() else _IN_CHECKOUT
    with (folder / name).open("r", encoding="utf-8") as stream:
        return pd.read_csv(stream, dtype=str, keep_default_na=False)


def _labels(cells: pd.DataFrame) -> pd.Index:
    """Return names of rows from their cells; a number is preceded by the column's name."""
    labels = [
        ", ".join(
            f"{column} = {text}" if text.isdigit() else text for column, text in row.items() if text
        )
        for row in cells.to_dict("records")
    ]
    return pd.Index(labels, name="model")


def _column(title: str, of: _BoardFile) -> BoardColumn:
    found = [card for card in cards().values() if _counts_to(card, title, of)]
    if not found:
        raise ValueError(f"{of.name}: no task card belongs to the column '{title}'")
    return BoardColumn(
        name=" + ".join(card.directory for card in found),
        title=title,
        directories=tuple(card.directory for card in found),
        metric=found[0].metrics[0],
        clips=tuple(card.n_test for card in found),
        domain=found[0].domain,
    )


def _counts_to(card: Card, title: str, of: _BoardFile) -> bool:
    return title == card.directory or (card.suite == of.suite and card.board_name == title)
