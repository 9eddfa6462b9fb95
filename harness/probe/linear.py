"""Logistic regression to convergence: multinomial, or one-vs-rest with one shared strength.

Minimised is the mean loss over rows plus (l2 / 2) ||W||², the biases free:

    multinomial   mean_i [ logsumexp_c(z_ic) - z_i,y(i) ]
    one-vs-rest   sum_c mean_i [ softplus(z_ic) - y_ic z_ic ],       z_i = x_i W + b

which is scikit-learn's objective with C = 1 / (rows * l2). Plain L-BFGS needs thousands of steps
where columns are correlated, as those of embeddings are. So the problem is first written in the
principal axes V of the rows, in which its curvature is nearly diagonal. With x = mean + V z and
W = V B, the Hessian of column c is about p_c (1 - p_c) diag(λ) + l2, λ the variances of z and
p_c (1 - p_c) the mean variance of the predictions. L-BFGS works on A in

    B = A / sqrt(p_c (1 - p_c) λ + l2),

whose Hessian is near the identity, and needs tens of steps at any strength. Fewer rows than columns
leave all the solution's W in the rows' span, so z has then as many columns as there are rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# Up to this many elements (512 MB in float64) rows are converted to double precision.
_DOUBLE_ELEMENTS = 2**26
_CHUNK_ROWS = 16384
_MAX_STEPS = 500
_HISTORY = 20
# In the preconditioned variables a gradient g leaves the objective about g² / 2 above its minimum.
_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4}
# The logit of what training leaves no doubt of: a class without rows (-) or one in every row (+).
_CERTAIN = 1e4


@dataclass(frozen=True)
class LinearFit:
    """A fitted model: ``weight`` (features, C), ``bias`` (C,), in the precision of the rows.

    ``gradient`` is the largest element of the preconditioned gradient where L-BFGS stopped, after
    ``steps`` steps; ``converged`` says whether that is within the tolerance.
    """

    l2: float
    weight: Tensor
    bias: Tensor
    steps: int
    gradient: float
    converged: bool

    def logits(self, rows: Tensor) -> Tensor:
        """Return (n, C) for rows (n, features)."""
        return rows @ self.weight.to(rows.dtype) + self.bias.to(rows.dtype)


def fit_path(
    rows: Tensor, targets: Tensor, n_outputs: int, l2s: Sequence[float]
) -> Iterator[LinearFit]:
    """Fit at each strength in turn, each fit starting from the one before.

    A class that no row has gets probability 0 (one-vs-rest: one that every row has gets 1).

    Args:
        rows: (n, features) float32, on any device; overwritten when there are many.
        targets: int64 (n,) classes (multinomial) or float32 (n, C) multi-hot (one-vs-rest).
        n_outputs: C, classes of the vocabulary.
        l2s: strengths, best from strong to weak.
    """
    multinomial = targets.dtype == torch.int64
    if multinomial:
        targets = functional.one_hot(targets, n_outputs)
    share = targets.double().mean(0)
    open_ = share > 0 if multinomial else (share > 0) & (share < 1)
    if multinomial and int(open_.sum()) == 1:
        open_ = torch.zeros_like(open_)  # one class: nothing to fit
    problem = _Problem(rows, targets[:, open_], multinomial) if bool(open_.any()) else None
    for l2 in l2s:
        weight = rows.new_zeros(rows.shape[1], n_outputs)
        bias = torch.where(share > 0.5, _CERTAIN, -_CERTAIN).to(rows.dtype)
        if problem is None:
            yield LinearFit(l2, weight, bias, 0, 0.0, True)
            continue
        steps, gradient = problem.minimise(l2)
        open_weight, open_bias = problem.solution()
        weight[:, open_], bias[open_] = open_weight.to(rows.dtype), open_bias.to(rows.dtype)
        converged = gradient <= problem.tolerance
        yield LinearFit(l2, weight, bias, steps, gradient, converged)


class _Problem:
    """The objective in principal axes, and the present solution (B, b) in them."""

    def __init__(self, rows: Tensor, targets: Tensor, multinomial: bool) -> None:
        design = rows.double() if rows.numel() <= _DOUBLE_ELEMENTS else rows
        self.mean = design.mean(0)
        design -= self.mean
        self.z, self.axes, self.variances = _principal_axes(design)
        self.y = targets.to(design.dtype)
        self.multinomial = multinomial
        self.tolerance = _TOLERANCE[design.dtype]
        # Predictions start at the classes' shares: W = 0 and the biases that give them.
        share = self.y.mean(0)
        self.bias = share.log() if multinomial else torch.logit(share)
        self.weight = design.new_zeros(self.z.shape[1], targets.shape[1])

    def solution(self) -> tuple[Tensor, Tensor]:
        """Return weight (features, C) and bias (C,) for rows as they were given."""
        weight = self.axes @ self.weight
        return weight, self.bias - self.mean @ weight

    def minimise(self, l2: float) -> tuple[int, float]:
        """Move to the minimum at a strength; return the steps and the largest gradient element."""
        curvature = self._prediction_variance().clamp_min(1e-4)
        scale = (self.variances[:, None] * curvature + l2).rsqrt()
        bias_scale = curvature.rsqrt()

        def objective(flat: Tensor) -> tuple[float, Tensor]:
            theta = flat.view(-1, len(curvature))
            weight, bias = theta[:-1] * scale, theta[-1] * bias_scale
            loss, residual = self._loss(self.z @ weight + bias)
            by_weight = (self.z.T @ residual + l2 * weight) * scale
            gradient = torch.cat([by_weight, (residual.sum(0) * bias_scale)[None]])
            return float(loss + 0.5 * l2 * weight.square().sum()), gradient.flatten()

        start = torch.cat([self.weight / scale, (self.bias / bias_scale)[None]]).flatten()
        flat, steps, gradient = _minimise(objective, start, self.tolerance)
        theta = flat.view(-1, len(curvature))
        self.weight, self.bias = theta[:-1] * scale, theta[-1] * bias_scale
        return steps, gradient

    def _loss(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss and its gradient by the logits."""
        n = len(logits)
        if self.multinomial:
            log_p = torch.log_softmax(logits, 1)
            return -(self.y * log_p).sum() / n, (log_p.exp() - self.y) / n
        loss = (functional.softplus(logits) - self.y * logits).sum() / n
        return loss, (torch.sigmoid(logits) - self.y) / n

    def _prediction_variance(self) -> Tensor:
        logits = self.z @ self.weight + self.bias
        p = torch.softmax(logits, 1) if self.multinomial else torch.sigmoid(logits)
        return (p * (1 - p)).mean(0)


def _minimise(
    objective: Callable[[Tensor], tuple[float, Tensor]], x: Tensor, tolerance: float
) -> tuple[Tensor, int, float]:
    """L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5), halving steps that are
    too long; return the minimum, the steps taken and the largest element of its gradient.
    """
    value, gradient = objective(x)
    pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=_HISTORY)
    largest = float(gradient.abs().max())
    for step in range(_MAX_STEPS):
        if largest <= tolerance:
            return x, step, largest
        direction = _newton_direction(gradient, pairs)
        slope, length = float(gradient @ direction), 1.0
        slack = 4 * torch.finfo(x.dtype).eps * abs(value)
        while True:
            moved = x + length * direction
            moved_value, moved_gradient = objective(moved)
            if moved_value <= value + 1e-4 * length * slope + slack:
                break
            length /= 2
            if length < 1e-8:  # the value's precision is exhausted
                return x, step, largest
        change = moved_gradient - gradient
        if float(change @ (moved - x)) > 0:
            pairs.append((moved - x, change))
        x, value, gradient = moved, moved_value, moved_gradient
        largest = float(gradient.abs().max())
    return x, _MAX_STEPS, largest


def _newton_direction(gradient: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Minus the inverse Hessian times the gradient, by the two-loop recursion (algorithm 7.4)."""
    direction = -gradient
    if not pairs:
        return direction
    factors = []
    for moved, change in reversed(pairs):
        factors.append((moved @ direction) / (moved @ change))
        direction = direction - factors[-1] * change
    moved, change = pairs[-1]
    direction *= (moved @ change) / (change @ change)
    for (moved, change), factor in zip(pairs, reversed(factors), strict=True):
        direction += (factor - (change @ direction) / (moved @ change)) * moved
    return direction


def _principal_axes(centred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return z (n, r), orthonormal axes (features, r) and variances (r,): z = centred @ axes."""
    n, features = centred.shape
    if n < features:
        variances, left = torch.linalg.eigh(centred @ centred.T / n)
        # Directions of (almost) no variance carry no weight at any strength in use.
        kept = variances > 1e-10 * variances[-1].clamp_min(1e-30)
        variances, left = variances[kept], left[:, kept]
        lengths = (n * variances).sqrt()
        return left * lengths, centred.T @ (left / lengths), variances
    variances, axes = torch.linalg.eigh(centred.T @ centred / n)
    for part in centred.split(_CHUNK_ROWS):
        part.copy_(part @ axes)  # in place: large rows are held once
    return centred, axes, variances.clamp_min(0)
