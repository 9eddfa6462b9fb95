"""Write the copies that a check has found as a CSV file."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path

from harness.core.errors import UserError
from harness.core.files import write_file
from tasks.check.finding import AlikeClips

COLUMNS = ("task", *(field.name for field in dataclasses.fields(AlikeClips)))


def begin_pairs(path: Path) -> None:
    """Write an empty table, in place of an earlier one.

    Raises:
        UserError: the file cannot be written, or is not a table of pairs.
    """
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            if file.readline().rstrip("\r\n") not in ("", ",".join(COLUMNS)):
                raise UserError(
                    f"--pairs {path} exists and is not a table of pairs: name another file."
                )
    write_pairs(path, ())


def write_pairs(path: Path, found: Iterable[tuple[Path, AlikeClips]]) -> None:
    """Write the pairs of clips, each with its task directory.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for directory, pair in found:
        table.writerow((directory.resolve().name, *dataclasses.astuple(pair)))
    try:
        write_file(path, text.getvalue())
    except OSError as error:
        raise UserError(f"--pairs {path} cannot be written ({error.strerror}).") from error
