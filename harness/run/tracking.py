"""Log scores to an experiment tracker while a run proceeds.

Trackio and Weights & Biases have the same function ``init``, whose run has ``log`` and ``finish``.
:class:`_MlflowRun` gives MLflow this form, so that one listener serves all. Trackio writes to a
folder of this machine (``TRACKIO_DIR``), MLflow to a database in the working directory
(``MLFLOW_TRACKING_URI``), unless they are told otherwise.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.core.errors import UserError
from harness.run.listener import Listener
from harness.run.units import EmbeddingUnit, Evaluation

TRACKERS = ("trackio", "mlflow", "wandb")

PROJECT = "hear-byola"
"""The tracker's project, if none is named."""


class Both(Listener):
    """Passes the events of a run to two listeners."""

    def __init__(self, one: Listener, other: Listener) -> None:
        self._all = (one, other)

    def say(self, text: str) -> None:
        """See :class:`Listener`."""
        for each in self._all:
            each.say(text)

    def planned(self, embeddings: int, evaluations: int) -> None:
        """See :class:`Listener`."""
        for each in self._all:
            each.planned(embeddings, evaluations)

    def working(self, units: Sequence[tuple[str, Path]], left: str) -> None:
        """See :class:`Listener`."""
        for each in self._all:
            each.working(units, left)

    def embedded(self, unit: EmbeddingUnit) -> None:
        """See :class:`Listener`."""
        for each in self._all:
            each.embedded(unit)

    def probed(self, evaluation: Evaluation) -> None:
        """See :class:`Listener`."""
        for each in self._all:
            each.probed(evaluation)

    def scored(self, evaluation: Evaluation) -> None:
        """See :class:`Listener`."""
        for each in self._all:
            each.scored(evaluation)

    def failed(self, name: str, error: str) -> None:
        """See :class:`Listener`."""
        for each in self._all:
            each.failed(name, error)


class Tracker(Listener):
    """Logs each score when it is computed, as ``MODEL/TASK/PROTOCOL``, with its interval.

    If the tracker fails, a warning is printed and the run continues without it.

    Args:
        package: one of ``TRACKERS``.
        project: the tracker's project.
        config: what the tracker shows about the run.
        display: receives the warning.

    Raises:
        UserError: the package is not installed, or refuses to begin.
    """

    def __init__(
        self, package: str, project: str, config: Mapping[str, Any], display: Listener
    ) -> None:
        self._package = package
        self._display = display
        self._failures = 0
        self._run: _TrackedRun | None = None
        try:
            module = importlib.import_module(package)
        except ImportError as error:
            raise UserError(
                f"--log-to {package}: {error.name} is not installed: pip install {package}."
            ) from error
        try:
            with _printing_to_stderr():
                if package == "mlflow":
                    self._run = _MlflowRun(module, project, config)
                else:
                    self._run = module.init(project=project, config=dict(config))
        except Exception as error:  # trackers raise all kinds, for example without a network
            raise UserError(f"--log-to {package}: it refuses to begin ({error}).") from error

    def scored(self, evaluation: Evaluation) -> None:
        """Log the values of primary metrics over all test folds."""
        rows = json.loads((evaluation.directory / "result.json").read_text())["rows"]
        row = next(row for row in rows if row["is_primary"] and row["split"] == "all")
        if row["value"] is None:
            return
        name = f"{row['model']}/{row['task']}/{row['protocol']}"
        values = {name: row["value"]}
        if row["ci_low"] is not None:
            values |= {f"{name}/low": row["ci_low"], f"{name}/high": row["ci_high"]}
        self._log(values)

    def failed(self, name: str, error: str) -> None:
        """Count a failed evaluation."""
        self._failures += 1
        self._log({"failed": self._failures})

    def finish(self) -> None:
        """End the tracker's run."""
        with self._noted(), _printing_to_stderr():
            run, self._run = self._run, None
            if run is not None:
                run.finish()

    def _log(self, values: Mapping[str, float]) -> None:
        with self._noted(), _printing_to_stderr():
            if self._run is not None:
                self._run.log(dict(values))

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Give up on a tracker that fails; the run does not depend on it."""
        try:
            yield
        except Exception as error:  # trackers raise all kinds
            self._run = None
            self._display.say(
                f"{self._package} failed ({error}): the run continues, and logs nothing more to it"
            )


class _TrackedRun(Protocol):
    """What the listener needs of a tracker's run."""

    def log(self, data: dict[str, float], /) -> None:
        """Log values by name, as one step."""

    def finish(self) -> None:
        """End the run."""


class _MlflowRun:
    """A run of MLflow with the functions of the other trackers."""

    def __init__(self, mlflow: Any, project: str, config: Mapping[str, Any]) -> None:
        self._mlflow = mlflow
        self._steps = 0
        mlflow.set_experiment(project)
        mlflow.start_run()
        mlflow.log_params(config)

    def log(self, data: dict[str, float], /) -> None:
        """Log values; MLflow allows fewer characters in names than a model's name may have."""
        allowed = {re.sub(r"[^A-Za-z0-9_\-./ ]", "_", name): data[name] for name in data}
        self._mlflow.log_metrics(allowed, step=self._steps)
        self._steps += 1

    def finish(self) -> None:
        """End the run."""
        self._mlflow.end_run()


@contextlib.contextmanager
def _printing_to_stderr() -> Iterator[None]:
    """Send what a tracker prints to standard error; tables go to standard output."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
