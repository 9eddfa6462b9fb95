"""The order of units, and the choice among them by validation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.core.errors import UserError
from harness.probe.grid import grid_points
from harness.probe.protocol import Protocol, criterion
from harness.probe.units import Point, ProbeUnit, UnitResult
from tasks.format.task import Task


def next_units(
    protocol: Protocol, task: Task, done: Mapping[ProbeUnit, UnitResult]
) -> list[ProbeUnit]:
    """Return the units that may run now; none when the protocol is finished."""
    points, folds, runs = grid_points(protocol, task), len(task.folds), range(protocol.runs)
    searched = 1 if protocol.search == "first_fold" else folds
    units = [ProbeUnit(fold, p, run) for fold in range(searched) for p in points for run in runs]
    missing = [unit for unit in units if unit not in done]
    if missing or searched == folds:
        return missing
    winner = _winner(protocol, task, done, 0)
    units = [ProbeUnit(fold, winner, run) for fold in range(1, folds) for run in runs]
    return [unit for unit in units if unit not in done]


def number_of_units(protocol: Protocol, task: Task) -> int:
    """Return how many units the protocol has on a task."""
    points, folds = len(grid_points(protocol, task)), len(task.folds)
    trainings = points + folds - 1 if protocol.search == "first_fold" else points * folds
    return trainings * protocol.runs


def selected_units(
    protocol: Protocol, task: Task, done: Mapping[ProbeUnit, UnitResult]
) -> list[list[ProbeUnit]]:
    """Return, for each fold, the runs of the winning point: their predictions are scored.

    Raises:
        UserError: the winner's predictions are not numbers, since training diverged everywhere.
    """
    selected = []
    for fold in range(len(task.folds)):
        winner = _winner(protocol, task, done, 0 if protocol.search == "first_fold" else fold)
        units = [ProbeUnit(fold, winner, run) for run in range(protocol.runs)]
        if not all(np.isfinite(done[unit].probabilities).all() for unit in units):
            raise UserError(
                f"{task.name}: every probe of protocol '{protocol.name}' diverged on fold "
                f"'{task.folds[fold].name}'. The embeddings' values are probably very large: "
                "try a protocol that standardises them."
            )
        selected.append(units)
    return selected


def _winner(
    protocol: Protocol, task: Task, done: Mapping[ProbeUnit, UnitResult], fold: int
) -> Point:
    """Return the best point on a fold's validation split, the first tried among equals."""
    _, higher = criterion(protocol, task)
    points = grid_points(protocol, task)

    def value(point: Point) -> float:
        runs = [done[ProbeUnit(fold, point, run)].valid_score for run in range(protocol.runs)]
        mean = float(np.mean(runs))
        return mean if higher else -mean

    return max(points, key=value)
