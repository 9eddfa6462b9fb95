"""L-BFGS for smooth convex problems, many of them side by side, with a preconditioner.

The unknowns are a matrix (C, size). All its rows are one problem, or each row is a problem of its
own. A problem is called a group of rows. Each group has its own step length and curvature pairs,
and leaves when it has converged.

The large arrays are tensors on any device. Numbers of groups are float64 in numpy, where small
operations cost least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

_HISTORY = 10
_MAX_STEPS = 500
_LEAST_LENGTH = 1e-6
_TINY = 1e-30


class Objective(Protocol):
    """What is minimised: a function of the unknowns and of an image that is linear in them."""

    @property
    def groups(self) -> int:
        """Number of groups."""

    def image(self, unknowns: Tensor) -> Tensor:
        """Return the image (C, n) of the unknowns (C, size)."""

    def value(self, unknowns: Tensor, image: Tensor) -> tuple[np.ndarray, Tensor]:
        """Return the value of each group, and the residual (C, n) for :meth:`gradient`."""

    def gradient(self, unknowns: Tensor, residual: Tensor) -> Tensor:
        """Return the gradient (C, size)."""

    def precondition(self, gradient: Tensor) -> Tensor:
        """Return the gradient times an approximate inverse Hessian."""

    def scale(self, unknowns: Tensor) -> np.ndarray:
        """Return what the squared Newton decrement of each group is compared with."""

    def only(self, groups: np.ndarray) -> Objective:
        """Return the objective of some of the groups, by their indices."""


@dataclass(frozen=True)
class Minimum:
    """The result of L-BFGS: ``unknowns`` (C, size) after ``steps`` steps.

    ``error`` is the largest over groups of the Newton decrement, by the preconditioner, over the
    root of ``Objective.scale``.
    """

    unknowns: Tensor
    steps: int
    error: float


@dataclass
class _State:
    """The groups that have not converged, by ``index`` among all."""

    index: np.ndarray
    objective: Objective
    unknowns: Tensor
    image: Tensor
    value: np.ndarray
    gradient: Tensor
    conditioned: Tensor
    pairs: _Pairs

    def only(self, kept: np.ndarray) -> _State:
        """Return the state of some groups, by their place here."""
        groups, where = len(self.index), torch.from_numpy(kept).to(self.unknowns.device)

        def rows(tensor: Tensor) -> Tensor:
            return tensor.view(groups, -1, tensor.shape[1])[where].flatten(0, 1)

        return _State(
            index=self.index[kept],
            objective=self.objective.only(kept),
            unknowns=rows(self.unknowns),
            image=rows(self.image),
            value=self.value[kept],
            gradient=rows(self.gradient),
            conditioned=rows(self.conditioned),
            pairs=self.pairs.only(kept, where),
        )


def minimise(objective: Objective, unknowns: Tensor, image: Tensor, tolerance: float) -> Minimum:
    """Minimise from a start, of which the image is given.

    L-BFGS (Nocedal and Wright, Numerical Optimization, section 7.2), halving steps that are too
    long. A group stops when its Newton decrement, by the preconditioner, is at most ``tolerance``
    times the root of its scale, or when rounding leaves no step that lowers its value.
    """
    groups = objective.groups
    found = unknowns.clone()
    errors = np.zeros(groups)
    stuck = np.zeros(groups, dtype=bool)
    value, residual = objective.value(unknowns, image)
    gradient = objective.gradient(unknowns, residual)
    state = _State(
        index=np.arange(groups),
        objective=objective,
        unknowns=unknowns,
        image=image,
        value=value,
        gradient=gradient,
        conditioned=objective.precondition(gradient),
        pairs=_Pairs(groups, unknowns),
    )
    step = 0
    while True:
        decrement = _dots(state.gradient, state.conditioned, len(state.index))
        scale = state.objective.scale(state.unknowns)
        error = np.sqrt(np.maximum(decrement, 0) / np.maximum(scale, _TINY))
        leaves = (error <= tolerance) | stuck | (step == _MAX_STEPS)
        if leaves.any():
            errors[state.index[leaves]] = error[leaves]
            ours = state.unknowns.view(len(state.index), -1)
            found.view(groups, -1)[state.index[leaves]] = ours[np.flatnonzero(leaves)]
            if leaves.all():
                return Minimum(found, step, float(errors.max()))
            state = state.only(np.flatnonzero(~leaves))
        stuck = _step(state)
        step += 1


def _step(state: _State) -> np.ndarray:
    """Move every group to a lower value; return which groups could not."""
    objective, groups = state.objective, len(state.index)
    direction = state.pairs.direction(state.gradient, state.conditioned)
    image = objective.image(direction)
    slope = _dots(state.gradient, direction, groups)
    # The value's own precision.
    slack = torch.finfo(state.unknowns.dtype).eps * np.abs(state.value)
    length = np.ones(groups)
    while True:
        if (length == 1).all():
            moved, moved_image = state.unknowns + direction, state.image + image
        else:
            by_row = np.repeat(length, len(direction) // groups)[:, None]
            factor = torch.from_numpy(by_row).to(direction)
            moved, moved_image = state.unknowns + factor * direction, state.image + factor * image
        value, residual = objective.value(moved, moved_image)
        low = value <= state.value + 1e-4 * length * slope + slack
        if (low | (length == 0)).all():
            break
        length = np.where(low, length, length / 2)
        length[length < _LEAST_LENGTH] = 0
    gradient = objective.gradient(moved, residual)
    conditioned = objective.precondition(gradient)
    state.pairs.add(
        moved - state.unknowns, gradient - state.gradient, conditioned - state.conditioned
    )
    state.unknowns, state.image, state.value = moved, moved_image, value
    state.gradient, state.conditioned = gradient, conditioned
    # A convex function has positive curvature: where it has none, only rounding is left.
    return (length == 0) | ~state.pairs.curved()


def _dots(a: Tensor, b: Tensor, groups: int) -> np.ndarray:
    """Inner products of the groups of two (C, size): float64 (groups,)."""
    found = torch.bmm(a.view(groups, 1, -1), b.view(groups, -1, 1))
    return _small(found)[:, 0, 0]


def _small(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy().astype(np.float64)


class _Pairs:
    """The last moves s and changes y of the gradient, and the directions they lead to.

    With M the preconditioner, the inverse Hessian is kept in the compact form of Byrd, Nocedal and
    Schnabel (Mathematical Programming 63, 1994) whose first matrix is c M, with c = s'y / y'My of
    the last pair. It needs s, My, and the inner products s'y and y'My.

    ``moves`` (s) and ``conditioned`` (My) are (groups, slots, size), ``inner`` (s_i'y_j) and
    ``norms`` (y_i'My_j) are (groups, slots, slots). The slots ``pairs`` are in use, from the oldest
    pair to the newest. There are twice as many slots as pairs, so that moving them back is rare.
    """

    def __init__(self, groups: int, like: Tensor) -> None:
        slots = 2 * _HISTORY
        self.moves = like.new_zeros(groups, slots, like.numel() // groups)
        self.conditioned = torch.zeros_like(self.moves)
        self.inner = np.zeros((groups, slots, slots))
        self.norms = np.zeros((groups, slots, slots))
        self.pairs = slice(0, 0)

    def only(self, kept: np.ndarray, where: Tensor) -> _Pairs:
        """Return the pairs of some groups; ``where`` is ``kept`` as a tensor."""
        found = object.__new__(_Pairs)
        found.moves, found.conditioned = self.moves[where], self.conditioned[where]
        found.inner, found.norms, found.pairs = self.inner[kept], self.norms[kept], self.pairs
        return found

    def add(self, move: Tensor, change: Tensor, conditioned: Tensor) -> None:
        """Add a pair, and drop the oldest when there are enough."""
        groups, new = len(self.moves), self.pairs.stop
        if new == 2 * _HISTORY:
            used, new = self.pairs, _HISTORY - 1
            used = slice(used.start + 1, used.stop)
            for vectors in (self.moves, self.conditioned):
                vectors[:, :new] = vectors[:, used].clone()
            for products in (self.inner, self.norms):
                products[:, :new, :new] = products[:, used, used].copy()
        self.pairs = pairs = slice(max(new + 1 - _HISTORY, 0), new + 1)
        self.moves[:, new] = move.view(groups, -1)
        self.conditioned[:, new] = conditioned.view(groups, -1)
        change = change.view(groups, -1, 1)
        self.inner[:, pairs, new] = _small(torch.bmm(self.moves[:, pairs], change))[:, :, 0]
        norms = _small(torch.bmm(self.conditioned[:, pairs], change))[:, :, 0]
        self.norms[:, pairs, new] = self.norms[:, new, pairs] = norms

    def curved(self) -> np.ndarray:
        """Return whether each group's newest pair has positive curvature."""
        new = self.pairs.stop - 1
        return (self.inner[:, new, new] > 0) & (self.norms[:, new, new] > 0)

    def direction(self, gradient: Tensor, conditioned: Tensor) -> Tensor:
        """Return minus the inverse Hessian times the gradient."""
        groups, pairs = len(self.moves), self.pairs
        if pairs.stop == 0:
            return -conditioned
        moves, changes = self.moves[:, pairs], self.conditioned[:, pairs]
        inner, norms = self.inner[:, pairs, pairs], self.norms[:, pairs, pairs]
        flat = gradient.view(groups, -1, 1)
        by_move, by_change = _small(torch.bmm(moves, flat)), _small(torch.bmm(changes, flat))
        along = (inner[:, -1, -1] / norms[:, -1, -1])[:, None, None]
        upper = np.triu(inner)
        curvature = np.diagonal(inner, axis1=1, axis2=2)[:, :, None]
        q = np.linalg.solve(upper, by_move)
        middle = curvature * q + along * (norms @ q - by_change)
        p = np.linalg.solve(upper.swapaxes(1, 2), middle)

        def tensor(weights: np.ndarray) -> Tensor:
            return torch.from_numpy(weights).to(gradient).mT

        found = torch.baddbmm(tensor(-along) * conditioned.view(groups, 1, -1), tensor(-p), moves)
        return found.baddbmm_(tensor(along * q), changes).view_as(gradient)
