"""The grid of a protocol on a task, and the points of it that are tried."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

from harness.core.errors import UserError, did_you_mean
from harness.probe.protocol import Protocol, Search
from harness.probe.units import Point
from tasks.format.task import Task

GRID_SEED = 42
"""The original kit seeds Python's random with 42 before it shuffles a task's grid."""

# The original kit's override by task name: its scoring of this task's events is slow.
_TASK_GRIDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "dcase2016_task2": {"check_val_every_n_epoch": (10,)}
}


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
    if protocol.search == Search.WITHIN_UNIT:
        return ((),)
    grid = _grid(protocol, task)
    keys = sorted(grid)
    points = [
        tuple(zip(keys, values, strict=True))
        for values in itertools.product(*(grid[key] for key in keys))
    ]
    random.Random(GRID_SEED).shuffle(points)
    return tuple(points[: protocol.n_points])


def check_task_grid(protocol: Protocol, task: Task) -> None:
    """Refuse a task's own grid that the protocol cannot use.

    Raises:
        UserError: naming the key, and what is allowed.
    """
    if not protocol.task_overrides:
        return
    where = f"{task.name}: task_specific_param_grid in task_metadata.json"
    for key in sorted(task.task_specific_param_grid):
        if key not in protocol.grid:
            raise UserError(
                f"{where} has the key '{key}'.{did_you_mean(key, protocol.grid)} "
                f"It may hold {', '.join(sorted(protocol.grid))}."
            )
        if not task.task_specific_param_grid[key]:
            raise UserError(f"{where}: '{key}' is empty; it needs at least one value.")
    if fault := protocol.classifier.grid_fault(_grid(protocol, task)):
        raise UserError(f"{where}: {fault}")


def _grid(protocol: Protocol, task: Task) -> dict[str, tuple[Any, ...]]:
    grid = dict(protocol.grid)
    if protocol.task_overrides:
        grid.update(_TASK_GRIDS.get(task.task_name, {}))
        grid.update({key: tuple(v) for key, v in task.task_specific_param_grid.items()})
    return grid
