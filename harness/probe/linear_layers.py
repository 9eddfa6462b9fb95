"""Logistic regression on a weighted sum of layers, with weights that are learned with it.

With layers x_1, ..., x_L of each row, minimised over W, b and a is

    mean_i loss(W (s_1 x_i1 + ... + s_L x_iL) + b) + (l2 / 2) ||W||²,       s = softmax(a),

with the losses of :mod:`harness.probe.linear`. For fixed weights s the problem is convex, and its
minimum is that of logistic regression on the mixed rows. The minimum as a function of a is
minimised by L-BFGS: its gradient is that of the objective by a, at the optimal W and b (variable
projection; Golub and Pereyra, Inverse Problems 19, 2003). It begins at a = 0, where all layers have
the same weight, for every strength. The problem is not convex in a, so this beginning is part of
its definition.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from harness.probe.layer_rows import LayerRows
from harness.probe.linear import LinearFit, LinearPath

# Relative gains of the objective in a step, and numbers of steps, at which the weights of the path
# and those of a refined fit have converged.
_GAIN, _STEPS = 1e-6, 40
_REFINED_GAIN, _REFINED_STEPS = 1e-9, 200
_LEAST_WEIGHT = 1e-12


class LayerPath:
    """Fits of one problem at several strengths; each fit has the weights of its layers."""

    def __init__(self, rows: LayerRows, targets: Tensor, n_outputs: int) -> None:
        """Prepare the problem.

        Args:
            rows: of the train splits.
            targets, n_outputs: as for :class:`harness.probe.linear.LinearPath`.
        """
        self.device = targets.device
        self._rows, self._targets, self._n_outputs = rows, targets, n_outputs
        self._last: LinearFit | None = None

    def fit(self, l2: float) -> LinearFit:
        """Fit at a strength, from equal weights of the layers."""
        start = np.zeros(len(self._rows.columns))
        near = self._last and dataclasses.replace(self._last, steps=0)
        return self._minimise(l2, start, near, _GAIN, _STEPS)

    def refine(self, fit: LinearFit) -> LinearFit:
        """Continue a fit until its weights have converged more exactly."""
        weights = weights_of(fit).cpu().numpy().astype(np.float64)
        start = np.log(weights.clip(_LEAST_WEIGHT))
        return self._minimise(fit.l2, start, fit, _REFINED_GAIN, _REFINED_STEPS)

    def state(self) -> dict[str, Tensor]:
        """Return what the next fits depend on beside the problem."""
        if self._last is None:
            return {}
        return {
            "last_weight": self._last.weight.clone(),
            "last_bias": self._last.bias.clone(),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what :meth:`state` returned on an equal problem."""
        if state:
            weight, bias = (state[name].to(self.device) for name in ("last_weight", "last_bias"))
            self._last = LinearFit(0.0, weight, bias, 0, 0.0, True)

    def _minimise(
        self, l2: float, start: np.ndarray, near: LinearFit | None, gain: float, steps: int
    ) -> LinearFit:
        from scipy.optimize import minimize  # slow to import

        best: tuple[float, LinearFit] | None = None
        last = near

        def value(a: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal best, last
            weights = np.exp(a - a.max())
            weights /= weights.sum()
            found, last, by_weight = self._at(l2, weights, last)
            if best is None or found < best[0]:
                best = found, last
            return found, weights * (by_weight - weights @ by_weight)

        options = {"ftol": gain, "gtol": 1e-7, "maxiter": steps}
        ended = minimize(value, start, jac=True, method="L-BFGS-B", options=options)
        assert best is not None
        fit = best[1]
        self._last = fit
        converged = fit.converged and ended.nit < steps
        return dataclasses.replace(fit, converged=converged)

    def _at(
        self, l2: float, weights: np.ndarray, near: LinearFit | None
    ) -> tuple[float, LinearFit, np.ndarray]:
        """Return the minimum for fixed weights, its fit, and its gradient by the weights."""
        mixture = torch.from_numpy(weights).to(self.device, torch.float32)
        path = LinearPath(self._rows.mixed(mixture), self._targets, self._n_outputs)
        start = path.fit(l2) if near is None else dataclasses.replace(near, l2=l2)
        fit = path.refine(start)
        value, by_rows = path.by_rows(fit)
        fit = dataclasses.replace(fit, mixture=mixture)
        return value, fit, self._rows.products(by_rows)


def weights_of(fit: LinearFit) -> Tensor:
    """Return the weights (layers,) of a fit of :class:`LayerPath`."""
    assert fit.mixture is not None
    return fit.mixture
