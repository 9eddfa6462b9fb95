"""The order of units, and the choice among them by validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.core.errors import UserError
from harness.probe.grid import grid_points
from harness.probe.perfect import perfect_score
from harness.probe.protocol import Protocol, Search, criterion
from harness.probe.units import Judged, Point, ProbeUnit
from tasks.format.task import Task


def next_units(protocol: Protocol, task: Task, done: Mapping[ProbeUnit, Judged]) -> list[ProbeUnit]:
    """Return the units that may run now; none when the protocol is finished."""
    folds, runs = len(task.folds), range(protocol.runs)
    searched = 1 if protocol.search == Search.FIRST_FOLD else folds
    units = [
        ProbeUnit(fold, point, run)
        for fold in range(searched)
        for point in _candidates(protocol, task, done, fold)
        for run in runs
    ]
    missing = [unit for unit in units if unit not in done]
    if missing or searched == folds:
        return missing
    winner = _winner(protocol, task, done, 0)
    units = [ProbeUnit(fold, winner, run) for fold in range(1, folds) for run in runs]
    return [unit for unit in units if unit not in done]


def number_of_units(protocol: Protocol, task: Task) -> int:
    """Return how many units the protocol has on a task at most."""
    points, folds = len(grid_points(protocol, task)), len(task.folds)
    trainings = points + folds - 1 if protocol.search == Search.FIRST_FOLD else points * folds
    return trainings * protocol.runs


def possible_units(protocol: Protocol, task: Task) -> list[ProbeUnit]:
    """Return all units that the protocol can have on a task.

    At most :func:`number_of_units` of them are trained.
    """
    points, runs = grid_points(protocol, task), range(protocol.runs)
    folds = range(len(task.folds))
    return [ProbeUnit(fold, point, run) for fold in folds for point in points for run in runs]


def selected_units(
    protocol: Protocol, task: Task, done: Mapping[ProbeUnit, Judged]
) -> list[list[ProbeUnit]]:
    """Return, for each fold, the runs of the winning point: their predictions are scored.

    Raises:
        UserError: the winner's predictions are not numbers, since training diverged everywhere.
    """
    selected = []
    for fold in range(len(task.folds)):
        searched = 0 if protocol.search == Search.FIRST_FOLD else fold
        winner = _winner(protocol, task, done, searched)
        units = [ProbeUnit(fold, winner, run) for run in range(protocol.runs)]
        if not all(done[unit].is_finite for unit in units):
            raise UserError(
                f"{task.name}: every probe of protocol '{protocol.name}' diverged on fold "
                f"'{task.folds[fold].name}'. The embeddings' values are probably very large: "
                "try a protocol that standardises them."
            )
        selected.append(units)
    return selected


def _winner(protocol: Protocol, task: Task, done: Mapping[ProbeUnit, Judged], fold: int) -> Point:
    """Return the best point on a fold's validation split, the first tried among equals."""
    _, higher = criterion(protocol, task)

    def value(point: Point) -> float:
        mean = float(np.mean(_scores(protocol, done, fold, point)))
        return mean if higher else -mean

    return max(_candidates(protocol, task, done, fold), key=value)


def _candidates(
    protocol: Protocol, task: Task, done: Mapping[ProbeUnit, Judged], fold: int
) -> Sequence[Point]:
    """Return the points that can win on a fold, in the order in which they are tried.

    The points after one with a perfect score cannot: at best they tie, and the first of equals
    wins.
    """
    points, perfect = grid_points(protocol, task), perfect_score(criterion(protocol, task))
    for number, point in enumerate(points):
        if _scores(protocol, done, fold, point) == [perfect] * protocol.runs:
            return points[: number + 1]
    return points


def _scores(
    protocol: Protocol, done: Mapping[ProbeUnit, Judged], fold: int, point: Point
) -> list[float]:
    units = [ProbeUnit(fold, point, run) for run in range(protocol.runs)]
    return [done[unit].valid_score for unit in units if unit in done]
