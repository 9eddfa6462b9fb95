"""A paper's scores of the arms of a study, read from a CSV."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.core.errors import UserError, did_you_mean


@dataclass(frozen=True)
class PaperRow:
    """The scores that a paper prints for an arm.

    Attributes:
        source: where it is printed ("arXiv 2103.06695, Table II").
        scores: by the paper's column, in percent; one of them is ``mean``.
    """

    source: str
    scores: Mapping[str, float]


def read_paper(table: Path, study: Path, arms: Sequence[str]) -> Mapping[str, PaperRow]:
    """Return a paper's rows by the arm's name.

    Args:
        table: a CSV with the columns ``arm`` and ``source``, the paper's tasks, and ``mean``.
        study: the study's file, for errors.
        arms: names of the study's arms.

    Raises:
        UserError: no such file, not a CSV, a column is missing, an arm that the study lacks or that
            occurs twice, or a score that is no number.
    """
    try:
        read = pd.read_csv(table, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{study}: paper: there is no file '{table}'.") from None
    except OSError as error:
        raise UserError(f"{study}: paper: '{table}' cannot be read: {error.strerror}.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{table} is not a CSV: {error}") from error
    for column in ("arm", "source", "mean"):
        if column not in read.columns:
            raise UserError(f"{table}: the column '{column}' is missing.")
    rows: dict[str, PaperRow] = {}
    for line, entry in enumerate(read.to_dict("records"), start=2):
        arm = entry["arm"]
        if arm not in arms or arm in rows:
            why = "occurs twice" if arm in rows else f"is no arm of {study}"
            raise UserError(f"{table}, line {line}: '{arm}' {why}.{did_you_mean(arm, arms)}")
        rows[arm] = PaperRow(entry["source"], _scores(table, line, entry))
    return rows


def _scores(table: Path, line: int, entry: Mapping[Hashable, str]) -> dict[str, float]:
    """Return the row's numbers; an empty field was not printed."""
    scores = {}
    for column, text in entry.items():
        if column in ("arm", "source") or (not text and column != "mean"):
            continue
        try:
            scores[str(column)] = float(text)
        except ValueError:
            raise UserError(
                f"{table}, line {line}: {column} is '{text}', not a number of percent."
            ) from None
    return scores
