"""Loggers of a run: metrics.csv, and further loggers that are allowed to fail."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.core.errors import UserError
from hear_byola.pretraining.state import replacing


class CurveLog(Logger):
    """A logger that appends to a CSV file with the column `step` first.

    A resumed run appends to the same file; Lightning's own CSV logger deletes the older rows.

    Args:
        path: the file; it is created with the first row.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._rows: list[dict[str, str]] = []
        self._columns = ["step"]
        if path.is_file():
            self._columns, self._rows = _read(path)

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.stem

    @property
    def version(self) -> str:
        """There are no versions."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The logger itself."""
        return self

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the run writes its config to another file."""

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drop an incomplete last line, and the rows after a step, which are logged again."""
        self._rows = [row for row in self._rows if int(row["step"]) <= step]
        if self.path.is_file():
            self._write_all()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row, or add to the last row if it has the same step."""
        row = {"step": str(step), **{name: f"{value:.6g}" for name, value in metrics.items()}}
        new = [name for name in row if name not in self._columns]
        self._columns += new
        if self._rows and self._rows[-1]["step"] == row["step"]:
            self._rows[-1] = {**self._rows[-1], **row}
            self._write_all()
            return
        self._rows.append(row)
        if new:
            self._write_all()
            return
        try:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns, restval="").writerow(row)
        except OSError as error:
            raise UserError(
                f"{self.path} could not be written ({error.strerror}). Make room, and repeat the "
                "command to resume."
            ) from error

    def _write_all(self) -> None:
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(self._rows)


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and rows of the file.

    Raises:
        UserError: it is damaged.
    """
    try:
        with path.open(newline="", errors="replace") as file:
            # A killed process may have left a last line without its end.
            reader = csv.DictReader((line for line in file if line.endswith("\n")), strict=True)
            rows = list(reader)
            columns = list(reader.fieldnames or ["step"])
        whole = all(set(row) == set(columns) and None not in row.values() for row in rows)
        if not whole or not all(row["step"].isdecimal() for row in rows):
            raise ValueError("a row does not fit the first line, or its step is not a number")
    except (csv.Error, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Delete it to resume without the older curves."
        ) from error
    return columns, rows


class FurtherLogger(Logger):
    """An optional logger: if it fails, it is dropped with a warning.

    Args:
        logger: a logger of Lightning.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger: Logger | None = logger
        self._kind = type(logger).__name__

    @property
    def name(self) -> str | None:
        """Name of the logger."""
        return None if self._logger is None else self._logger.name

    @property
    def version(self) -> int | str | None:
        """Version of the logger."""
        return None if self._logger is None else self._logger.version

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the run writes its config to another file."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Call the logger."""
        self._try(lambda logger: logger.log_metrics(dict(metrics), step))

    def save(self) -> None:
        """Call the logger."""
        self._try(lambda logger: logger.save())

    def finalize(self, status: str) -> None:
        """Call the logger."""
        self._try(lambda logger: logger.finalize(status))

    def _try(self, call: Callable[[Logger], None]) -> None:
        if self._logger is None:
            return
        try:
            call(self._logger)
        except Exception as error:  # any exception of a service or a library
            self._logger = None
            warnings.warn(
                f"{self._kind} failed and is not used any more ({type(error).__name__}: {error}). "
                "metrics.csv has every value.",
                UserWarning,
                stacklevel=2,
            )
