"""Multilayer perceptrons trained by Adam, and the protocol ``mlp``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.core.errors import UserError
from harness.probe.classifier import Classifier, FittedClassifier, Trial
from harness.probe.protocol import ALL_KINDS, Protocol

if TYPE_CHECKING:
    from harness.probe.folddata import FoldData

# HEAR 2021 (arXiv 2203.03022, appendix on evaluation; heareval 2021.1.3, the "default" grid).
HEAR_GRID: Mapping[str, tuple[Any, ...]] = {
    "batch_size": (1024,),
    "check_val_every_n_epoch": (3,),
    "dropout": (0.1,),
    "hidden_dim": (1024,),
    "hidden_layers": (1, 2),
    "initialization": ("xavier_uniform", "xavier_normal"),
    "lr": (3.2e-3, 1e-3, 3.2e-4, 1e-4),
    "max_epochs": (500,),
    "norm_after_activation": (False,),
    "patience": (20,),
}


# Mean epoch at which training ends on the demo tasks, for the grids of `byola` and `hear2021`. On
# tasks of some dozens of clips `byola` goes on to its end, 200.
_USUAL_EPOCHS = {"without hidden layers": 170, "with hidden layers": 112}


class MLP(Classifier):
    """Hidden layers with batch normalisation, or none for a softmax layer.

    The keys of its grid are the fields of :class:`harness.probe.train.MLPSettings`.
    """

    name = "mlp"

    def fit(self, data: FoldData, trial: Trial) -> FittedClassifier:
        """Train at the unit's grid point; see :class:`harness.probe.train.MLPTraining`."""
        from harness.probe.train import Examples, MLPSettings, MLPTraining

        settings, judge, n_rows = MLPSettings(**dict(trial.point)), trial.judge, len(data.train)
        if settings.hidden_layers and n_rows < 2:
            raise UserError(
                f"{data.task.name}, fold '{data.fold.name}': the train split has a single row, on "
                "which batch normalisation is undefined. It needs two."
            )
        examples = Examples(
            rows=data.train,
            targets=data.train_targets,
            n_outputs=len(data.task.labels),
            valid_rows=data.valid,
        )
        fitted = MLPTraining(settings, examples, trial).run()
        params = dict(trial.point)
        if n_rows % settings.batch_size == 1 and n_rows > 1:
            params["last_row_joined"] = True  # reported, since the original kit fails there
        return FittedClassifier(
            predict=lambda rows: judge.probabilities(fitted.probe.predict(rows)),
            score=fitted.check.score,
            loss=fitted.check.loss,
            choice=fitted.check.choice,
            epoch=fitted.epoch,
            curve=fitted.curve,
            params=params,
        )

    def is_random(self, params: Mapping[str, Any], n_rows: int) -> bool:
        """Return True: initialisation, dropout and the order of rows are drawn."""
        return True

    def usual_rows(self, point: Mapping[str, Any]) -> float:
        """Return about how many validations a training at a grid point has."""
        kind = "with hidden layers" if point["hidden_layers"] else "without hidden layers"
        epochs = min(point["max_epochs"], _USUAL_EPOCHS[kind])
        return epochs / point["check_val_every_n_epoch"]

    def grid_fault(self, grid: Mapping[str, Sequence[Any]]) -> str:
        """Return the first fault of a grid that a task may have changed."""
        for key, values in grid.items():
            for value in values:
                if fault := _fault(key, value):
                    return f"'{key}' has the value {value!r}; it must be {fault}."
        first, epochs = max(grid["check_val_every_n_epoch"]), min(grid["max_epochs"])
        if first > epochs:
            return (
                f"max_epochs {epochs} ends before the first validation, after "
                f"check_val_every_n_epoch {first} epochs."
            )
        return ""


def _fault(key: str, value: Any) -> str:
    """Return what a value must be, or '' if it is that."""
    if key == "initialization":
        known = HEAR_GRID[key]
        return "" if value in known else f"one of {', '.join(known)}"
    if key == "norm_after_activation":
        return "" if isinstance(value, bool) else "true or false"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key == "dropout":
        return "" if number and 0 <= value < 1 else "a number from 0 to below 1"
    if key == "lr":
        return "" if number and value > 0 else "a number above 0"
    least = {"hidden_layers": 0, "batch_size": 2}.get(key, 1)
    whole = number and value == int(value) and value >= least
    return "" if whole else f"a whole number of {least} or more"


mlp = Protocol(
    name="mlp",
    description="an MLP as in hear2021, on standardised and shuffled rows, searched on each fold",
    kinds=ALL_KINDS,
    classifier=MLP(),
    grid=HEAR_GRID,
    n_points=8,
    task_overrides=True,
)
