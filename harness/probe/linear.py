"""Logistic regression to convergence: multinomial, or one-vs-rest with one shared strength.

Minimised is the mean loss over rows plus (l2 / 2) ||W||², the biases free:

    multinomial   mean_i [ logsumexp_c(z_ic) - z_i,y(i) ]
    one-vs-rest   sum_c mean_i [ softplus(z_ic) - y_ic z_ic ],       z_i = W x_i + b

which is scikit-learn's objective with C = 1 / (rows * l2). The minimum is found in float32 by
L-BFGS, which three things make fast:

- Each fit starts from an extrapolation of those at stronger strengths, since the solutions are
  nearly a polynomial of low degree in log(l2).
- The preconditioner has low rank. The Hessian of class c is about p_c (1 - p_c) V diag(λ) V' + l2,
  with p_c (1 - p_c) the mean variance of its predictions and V the principal axes of the rows. In
  embeddings the variances λ differ by orders of magnitude. The largest axes are found by random
  projection, and the others share one variance.
- Logits are (C, rows) and weights (C, features). Products of these shapes are fast on every CPU.

A fit has converged when its Newton decrement is small relative to sqrt(l2) ||W||, which bounds the
distance of W from the optimum relative to ||W||.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.probe.lbfgs import minimise
from harness.probe.logistic import LogisticObjective
from harness.probe.sketch import principal_axes

# Up to this many elements (256 MB) rows are copied, so that the caller's stay as they are.
_COPIED = 2**26
# Axes of the preconditioner: one for 8 rows, from 64 to 256. With 256 instead of 64, correlated
# rows (5,000 x 2048) take 0.62 of the steps. With few rows, axes cost more than they save.
_AXES, _ROWS_PER_AXIS = (64, 256), 8
# Relative errors at which a fit of the path, and a refined fit, have converged. On 19 paths (demo
# tasks and synthetic ones), 1e-4 selected the strengths that 1e-6 selects. With 3e-4, which takes
# 0.8 of the time, one path selected another strength.
_TOLERANCE = 1e-4
_REFINED = 3e-5
# The logit of a class that no training row has (negative), or that every row has (positive).
_CERTAIN = 1e4


@dataclass(frozen=True)
class LinearFit:
    """A fitted model: ``weight`` (features, C), ``bias`` (C,), in the precision of the rows.

    ``error`` is the estimated distance from the optimum, relative to the length of the weights,
    after ``steps`` steps; ``converged`` says whether that is within the tolerance. ``mixture`` has
    the weights (layers,) of the layers whose weighted sum the rows are.
    """

    l2: float
    weight: Tensor
    bias: Tensor
    steps: int
    error: float
    converged: bool
    mixture: Tensor | None = None

    def logits(self, rows: Tensor) -> Tensor:
        """Return (n, C) for rows (n, features)."""
        return (self.weight.T @ rows.T).T + self.bias


class LinearPath:
    """Fits of one problem at several strengths, each starting from those before.

    A class that no row has gets probability 0 (one-vs-rest: one that every row has gets 1).
    """

    def __init__(self, rows: Tensor, targets: Tensor, n_outputs: int) -> None:
        """Prepare the problem.

        Args:
            rows: (n, features) float32, on any device; overwritten when there are many.
            targets: int64 (n,) classes (multinomial) or float32 (n, C) multi-hot (one-vs-rest).
            n_outputs: C, classes of the vocabulary.
        """
        multinomial = targets.dtype == torch.int64
        if multinomial:
            self.share = torch.bincount(targets, minlength=n_outputs).double() / len(targets)
            self.open = self.share > 0
            if int(self.open.sum()) == 1:
                self.open = torch.zeros_like(self.open)  # one class: nothing to fit
            targets = self.open.cumsum(0)[targets] - 1
        else:
            self.share = targets.double().mean(0)
            self.open = (self.share > 0) & (self.share < 1)
            targets = targets[:, self.open].T.contiguous()
        self.mean = rows.mean(0, dtype=torch.float64).to(rows.dtype)
        self.device = rows.device
        self.rows = rows.sub(self.mean) if rows.numel() <= _COPIED else rows.sub_(self.mean)
        self.targets = targets
        least, most = _AXES
        self.axes = principal_axes(self.rows, min(max(len(rows) // _ROWS_PER_AXIS, least), most))
        # Predictions start at the classes' shares: W = 0 and the biases that give them.
        share = self.share[self.open]
        bias = share.log() if multinomial else torch.logit(share)
        self.last = rows.new_zeros(len(share), rows.shape[1] + 1)
        self.last[:, -1] = bias.to(rows.dtype)
        self.before: list[tuple[Tensor, Tensor]] = []  # earlier solutions and their logits

    def fit(self, l2: float) -> LinearFit:
        """Fit at a strength.

        Fastest from strong to weak, with strengths evenly spaced in their logarithm.
        """
        return self._fit(l2, None)

    def refine(self, fit: LinearFit) -> LinearFit:
        """Continue a fit to a third of the error that the fits of the path are allowed."""
        weight = fit.weight[:, self.open].T
        bias = fit.bias[self.open] + weight @ self.mean
        return self._fit(fit.l2, torch.cat([weight, bias[:, None]], 1), fit.steps)

    def by_rows(self, fit: LinearFit) -> tuple[float, Tensor]:
        """Return the objective at a fit, and its gradient by the rows (n, features)."""
        weight = fit.weight[:, self.open].T.contiguous()
        bias = fit.bias[self.open] + weight @ self.mean
        unknowns = torch.cat([weight, bias[:, None]], 1)
        objective = LogisticObjective(self.rows, self.targets, fit.l2, len(unknowns))
        values, residual = objective.value(unknowns, objective.image(unknowns))
        return float(values.sum()), residual.T @ weight / len(self.rows)

    def state(self) -> dict[str, Tensor]:
        """Return what the next fits depend on beside the problem."""
        return {f"solution{i}": u for i, (u, _) in enumerate([*self.before, (self.last, None)])}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what :meth:`state` returned on an equal problem."""
        *before, last = (state[name].to(self.rows.device) for name in sorted(state))
        objective = LogisticObjective(self.rows, self.targets, 0.0, len(last))
        self.before = [(unknowns, objective.image(unknowns)) for unknowns in before]
        self.last = last

    def _fit(self, l2: float, start: Tensor | None, steps: int = 0) -> LinearFit:
        weight = self.rows.new_zeros(self.rows.shape[1], len(self.share))
        bias = torch.where(self.share > 0.5, _CERTAIN, -_CERTAIN).to(self.rows.dtype)
        if not len(self.last):
            return LinearFit(l2, weight, bias, 0, 0.0, True)
        objective = LogisticObjective(self.rows, self.targets, l2, len(self.last))
        if start is None:
            tolerance = _TOLERANCE
            unknowns, image = self._extrapolate(objective)
        else:
            tolerance = _REFINED
            unknowns, image = start, objective.image(start)
        objective.set_preconditioner(self.axes, image)
        found = minimise(objective, unknowns, image, tolerance)
        if start is None:
            self.last = found.unknowns
        by_class = found.unknowns[:, :-1]
        weight[:, self.open] = by_class.T
        bias[self.open] = found.unknowns[:, -1] - by_class @ self.mean
        converged = found.error <= tolerance
        return LinearFit(l2, weight, bias, steps + found.steps, found.error, converged)

    def _extrapolate(self, objective: LogisticObjective) -> tuple[Tensor, Tensor]:
        """Return the best of the last solution and its extrapolations, with its logits."""
        starts = [(self.last, objective.image(self.last))]
        known = [*self.before, starts[0]]
        if len(known) > 1:
            (b, image_b), (a, image_a) = known[-2:]
            starts.append((2 * a - b, 2 * image_a - image_b))
        if len(known) > 2:
            c, image_c = known[0]
            starts.append((3 * a - 3 * b + c, 3 * image_a - 3 * image_b + image_c))
        self.before = known[-2:]
        values = [objective.value(*start)[0] for start in starts]
        best = np.argmin(values, axis=0)  # (groups,)
        by_row = np.repeat(best, len(self.last) // len(best))
        unknowns = torch.stack([starts[which][0][row] for row, which in enumerate(by_row)])
        image = torch.stack([starts[which][1][row] for row, which in enumerate(by_row)])
        return unknowns, image
