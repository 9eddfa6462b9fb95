"""Protocols: how a probe is searched, fed and stopped, as records.

A record says everything by which two protocols differ; the code that trains a probe reads its
fields and never its name. Nothing in any protocol is chosen on a test split.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.counts import plural
from harness.core.errors import UserError, did_you_mean
from harness.core.kinds import EmbeddingType, PredictionType
from harness.embeddings.heareval import permutations
from harness.metrics.registry import find_metric
from tasks.format.task import Task

Point = tuple[tuple[str, Any], ...]
"""A grid point: (key, value) pairs, sorted by key. Hashable."""

GRID_SEED = 42
"""The original kit seeds Python's random with 42 before it shuffles a task's grid."""


@dataclass(frozen=True)
class Protocol:
    """How probes are trained and selected.

    Attributes:
        name: as on the command line and in every result row.
        kinds: what it can probe: ``multiclass``, ``multilabel`` (scenes), ``event``.
        classifier: ``mlp`` (hidden layers, none of them for a softmax layer), ``logistic``
            (regularised logistic regression to convergence) or ``knn``.
        standardise: whether columns get mean 0 and variance 1, by the statistics of train.
        shuffle: whether an ``mlp`` sees the rows in a new order each epoch. If not, it sees them
            in the one order in which the original kit stores its embeddings.
        grid: values by key; keys of an ``mlp`` are those of :class:`Settings`.
        n_points: how many points of the shuffled grid are tried.
        search: ``first_fold`` (the winner on the first fold is trained anew on the others),
            ``each_fold`` (every fold chooses on its own validation split) or ``within_unit`` (each
            fold too, and one unit tries points in order; a logistic path may end early).
        thresholds: event thresholds tried on validation with each post-processing; where there are
            none, the task's post-processing says it (0.5 by default).
        runs: how often each fold is trained, with other seeds; scores are averaged.
        select_by: what stops training and selects, on validation: the task's first ``metric``, or
            the ``loss``.
        task_overrides: whether a task's own grid keys, and its wish to select by loss, are obeyed.
        undefined_score_ends: whether a validation score that is NaN or infinite ends the training
            of a grid point. If not, NaN is no gain and training goes on.
    """

    name: str
    kinds: tuple[str, ...]
    classifier: str
    grid: Mapping[str, tuple[Any, ...]]
    standardise: bool = True
    shuffle: bool = True
    n_points: int = 1
    search: str = "each_fold"
    runs: int = 1
    thresholds: tuple[float, ...] = ()
    select_by: str = "metric"
    task_overrides: bool = False
    undefined_score_ends: bool = False

    def is_random(self, *, event: bool) -> bool:
        """Whether another seed gives another probe: trained by steps, or on sampled frames."""
        return self.classifier == "mlp" or event


@dataclass(frozen=True)
class Settings:
    """One grid point of an MLP probe; names are the keys of the original kit's grid.

    ``max_epochs``, ``patience`` and ``check_val_every_n_epoch`` are explained at
    :func:`harness.probe.train.fit`.
    ``norm_after_activation`` moves the BatchNorm behind the ReLU.
    """

    hidden_layers: int
    hidden_dim: int
    dropout: float
    initialization: str
    norm_after_activation: bool
    lr: float
    batch_size: int
    max_epochs: int
    check_val_every_n_epoch: int
    patience: int


# HEAR 2021 (arXiv 2203.03022, appendix on evaluation; heareval 2021.1.3, the "default" grid).
_HEAR_GRID: Mapping[str, tuple[Any, ...]] = {
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
# BYOL-A (arXiv 2103.06695, section IV-A): one layer, Adam, up to 200 epochs, patience 10.
_BYOLA_GRID: Mapping[str, tuple[Any, ...]] = {
    "batch_size": (256,),
    "check_val_every_n_epoch": (1,),
    "dropout": (0.0,),
    "hidden_dim": (0,),
    "hidden_layers": (0,),
    "initialization": ("xavier_uniform",),
    "lr": (1e-3,),
    "max_epochs": (200,),
    "norm_after_activation": (False,),
    "patience": (10,),
}
# The original kit's override by task name: its scoring of this task's events is slow.
_TASK_GRIDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "dcase2016_task2": {"check_val_every_n_epoch": (10,)}
}
# Of the mean loss; scikit-learn's C = 1 / (rows * l2). Strongest first, so that it wins ties.
_L2 = tuple(10.0 ** (1 - 7 * i / 11) for i in range(12))
_ALL = ("multiclass", "multilabel", "event")

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "hear2021",
            _ALL,
            "mlp",
            _HEAR_GRID,
            standardise=False,
            shuffle=False,
            n_points=8,
            search="first_fold",
            task_overrides=True,
            undefined_score_ends=True,
        ),
        Protocol("mlp", _ALL, "mlp", _HEAR_GRID, n_points=8, task_overrides=True),
        Protocol(
            "linear",
            _ALL,
            "logistic",
            {"l2": _L2},
            n_points=12,
            search="within_unit",
            thresholds=(0.05, *(i / 10 for i in range(1, 10))),
        ),
        # The paper does not say what must gain on validation. By loss: on small tasks, where an
        # epoch is one step, accuracy can stand still for longer than the patience.
        Protocol("byola", ("multiclass",), "mlp", _BYOLA_GRID, runs=10, select_by="loss"),
        Protocol(
            "knn",
            ("multiclass", "multilabel"),
            "knn",
            {"k": (1, 5, 20, 50)},
            n_points=4,
            search="within_unit",
        ),
    )
}


def task_kind(task: Task) -> str:
    """Return ``event``, or the prediction type of a scene task."""
    event = task.embedding_type == EmbeddingType.EVENT
    return "event" if event else task.prediction_type.value


def supports(protocol: Protocol, task: Task) -> bool:
    """Return whether the protocol can probe tasks of this kind."""
    return task_kind(task) in protocol.kinds


def check_supported(protocol: Protocol, task: Task) -> None:
    """Refuse a task that the protocol cannot probe; reads no audio and no embeddings.

    Raises:
        UserError: naming the task, the protocol and the protocols that can, or the key of the
            task's own grid that cannot be used.
    """
    kind = task_kind(task)
    if kind == "event" and task.prediction_type != PredictionType.MULTILABEL:
        raise UserError(
            f"{task.name}: an event task must have prediction_type 'multilabel', not "
            f"'{task.prediction_type}': no protocol supports it."
        )
    if not supports(protocol, task):
        able = [other.name for other in PROTOCOLS.values() if kind in other.kinds]
        raise UserError(
            f"{task.name}: protocol '{protocol.name}' does not support {kind} tasks. "
            f"These do: {', '.join(able)}."
        )
    if len(task.folds) > 1 and not task.folds[0].train:
        raise UserError(
            f"{task.name}: {plural(len(task.splits), 'fold leaves', 'folds leave')} none to train "
            "on, since one tests and one validates. Cross-validation needs 3 folds or more."
        )
    if protocol.task_overrides:
        _check_task_grid(task)


def grid_points(protocol: Protocol, task: Task) -> tuple[Point, ...]:
    """Return the grid points that are units of their own, in the order in which they are tried.

    The order is that of the original kit: all combinations, keys in alphabetical order, the last
    key fastest, shuffled by ``random.Random(42)``; the first ``n_points`` are taken. (The kit
    shuffles with Python's global generator after seeding it, and nothing draws from it in
    between, so this gives its very points: for its default grid (layers, lr, init)
    (1, 1e-4, n) (2, 1e-3, u) (1, 1e-3, n) (1, 3.2e-4, n) (2, 3.2e-4, n) (2, 3.2e-4, u)
    (2, 3.2e-3, n) (2, 3.2e-3, u).) A task whose own grid has another number of points gets
    another draw, as there.
    """
    if protocol.search == "within_unit":
        return ((),)
    grid = dict(protocol.grid)
    if protocol.task_overrides:
        grid.update(_TASK_GRIDS.get(task.task_name, {}))
        grid.update({key: tuple(task.task_specific_param_grid[key]) for key in _own_keys(task)})
    keys = sorted(grid)
    points = [
        tuple(zip(keys, values, strict=True))
        for values in itertools.product(*(grid[key] for key in keys))
    ]
    random.Random(GRID_SEED).shuffle(points)
    return tuple(points[: protocol.n_points])


def heareval_order(task: Task) -> dict[str, list[int]]:
    """Return each split's clips as indices in the order in which the original kit stores them.

    One ``random.Random(0)`` shuffles the files of one split after the other, in the order of the
    metadata. Training reads rows in this order, every epoch: the kit never shuffles again.
    """
    sizes = [len(task.clips[split]) for split in task.splits]
    return dict(zip(task.splits, permutations(sizes), strict=True))


def _own_keys(task: Task) -> list[str]:
    return sorted(task.task_specific_param_grid)


def _check_task_grid(task: Task) -> None:
    where = f"{task.name}: task_specific_param_grid in task_metadata.json"
    for key in _own_keys(task):
        values: Sequence[Any] = task.task_specific_param_grid[key]
        if key not in _HEAR_GRID:
            raise UserError(
                f"{where} has the key '{key}'.{did_you_mean(key, _HEAR_GRID)} "
                f"It may hold {', '.join(sorted(_HEAR_GRID))}."
            )
        if not values:
            raise UserError(f"{where}: '{key}' is empty; it needs at least one value.")
        for value in values:
            fault = _fault(key, value)
            if fault:
                raise UserError(f"{where}: '{key}' has the value {value!r}; it must be {fault}.")
    merged = {**_HEAR_GRID, **_TASK_GRIDS.get(task.task_name, {}), **task.task_specific_param_grid}
    if max(merged["check_val_every_n_epoch"]) > min(merged["max_epochs"]):
        raise UserError(
            f"{where}: max_epochs {min(merged['max_epochs'])} ends before the first validation, "
            f"after check_val_every_n_epoch {max(merged['check_val_every_n_epoch'])} epochs."
        )


def _fault(key: str, value: Any) -> str:
    """Say what a value of a task's own grid must be, or '' when it is that."""
    if key == "initialization":
        known = _HEAR_GRID[key]
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


def criterion(protocol: Protocol, task: Task) -> tuple[str, bool]:
    """Return what selects, "loss" or a metric, and whether more of it is better."""
    by_task = protocol.task_overrides and not task.use_scoring_for_early_stopping
    if by_task or protocol.select_by == "loss":
        return "loss", False
    metric = find_metric(task.primary_metric)
    return metric.name, metric.higher_is_better


def settings(point: Point) -> Settings:
    """Return an ``mlp`` grid point as the trainer's settings."""
    return Settings(**dict(point))
