"""The curves of a run: as CSV, and in further loggers, which may fail."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.errors import UserError
from hear_byola.pretraining.state import replacing


class CurveLog(Logger):
    """Appends what is logged to a CSV file with the column `step` first.

    A resumed run goes on in the same file; Lightning's own CSV logger deletes what an earlier
    start has written.

    Args:
        path: the file; it is made with the first row.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._rows: list[dict[str, str]] = []
        self._columns = ["step"]
        if path.is_file():
            with path.open(newline="", errors="replace") as file:
                # Of a process that was cut off in the middle of a line, the line has no end.
                reader = csv.DictReader(line for line in file if line.endswith("\n"))
                self._rows = list(reader)
                self._columns = list(reader.fieldnames or ["step"])

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.stem

    @property
    def version(self) -> str:
        """None is told apart."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """There is nothing to reach through."""
        return self

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """A run writes its config to a file of its own."""

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drop the rows after a step, which a resumed run computes again, and a torn last line."""
        self._rows = [row for row in self._rows if int(row["step"]) <= step]
        if self.path.is_file():
            self._write_all()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row, or complete the last one if it is of the same step."""
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
                f"{self.path} could not be written ({error.strerror}). Make room, and give the "
                "same command to go on."
            ) from error

    def _write_all(self) -> None:
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(self._rows)


class FurtherLogger(Logger):
    """A logger that a run can do without: where it fails, it is told once and left out.

    Args:
        logger: one of Lightning's.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger: Logger | None = logger
        self._kind = type(logger).__name__

    @property
    def name(self) -> str | None:
        """Of the logger."""
        return None if self._logger is None else self._logger.name

    @property
    def version(self) -> int | str | None:
        """Of the logger."""
        return None if self._logger is None else self._logger.version

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """A run writes its config to a file of its own."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hand over."""
        self._try(lambda logger: logger.log_metrics(dict(metrics), step))

    def save(self) -> None:
        """Hand over."""
        self._try(lambda logger: logger.save())

    def finalize(self, status: str) -> None:
        """Hand over."""
        self._try(lambda logger: logger.finalize(status))

    def _try(self, call: Callable[[Logger], None]) -> None:
        if self._logger is None:
            return
        try:
            call(self._logger)
        except Exception as error:  # a service's or a library's own
            self._logger = None
            warnings.warn(
                f"{self._kind} failed and is left out from here on "
                f"({type(error).__name__}: {error}). metrics.csv has every value.",
                UserWarning,
                stacklevel=2,
            )
