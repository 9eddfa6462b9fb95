"""The objective of regularised logistic regression: values, gradients and a preconditioner."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from harness.probe.sketch import Axes

# The least mean variance of a class's predictions that the preconditioner assumes.
_LEAST_CURVATURE = 1e-4
# Elements of the rows (2 MB) in one product of logits on a CPU. With 5,000 x 2048 rows and 10 to
# 50 classes, a product of all rows, which do not fit the cache, takes 1.5 to 1.7 times as long. A
# block has at least as many rows as there are classes, because each product reads all weights. The
# gradient's product gains nothing.
_BLOCK = 2**19


class LogisticObjective:
    """The objective at one strength, for :func:`harness.probe.lbfgs.minimise`.

    Unknowns are (C, features + 1): the weights and the biases. Rows (n, features) are centred.

    ``targets`` are int64 (n,) classes, which make the unknowns one group, or float32 (C, n)
    multi-hot, which make each class a group.
    """

    def __init__(self, rows: Tensor, targets: Tensor, l2: float, n_classes: int) -> None:
        self.rows, self.targets, self.l2 = rows, targets, l2
        self.block = max(_BLOCK // rows.shape[1], n_classes)
        if rows.device.type != "cpu" or rows.numel() <= _BLOCK:
            self.block = len(rows)
        self.multinomial = targets.ndim == 1
        self.groups = 1 if self.multinomial else n_classes
        self.axes = rows[:0]
        self.curvature = self.scale_outside = self.scale_inside = rows

    def set_preconditioner(self, axes: Axes, image: Tensor) -> None:
        """Precondition by the Hessian at the mean variance of the predictions of an image."""
        p = torch.softmax(image, 0) if self.multinomial else torch.sigmoid(image)
        self.curvature = (p * (1 - p)).mean(1, keepdim=True).clamp_min(_LEAST_CURVATURE)
        self.axes = axes.axes
        self.scale_outside = 1 / (self.curvature * axes.rest + self.l2)
        self.scale_inside = 1 / (self.curvature * axes.variances + self.l2)

    def image(self, unknowns: Tensor) -> Tensor:
        """Return the logits (C, n)."""
        weight, bias = unknowns[:, :-1], unknowns[:, -1:]
        blocks = self.rows.split(self.block)
        return torch.cat([torch.addmm(bias, weight, block.T) for block in blocks], 1)

    def value(self, unknowns: Tensor, image: Tensor) -> tuple[np.ndarray, Tensor]:
        """Return the objective (groups,), and rows times the loss's gradient by logits (C, n)."""
        if self.multinomial:
            losses, residual = _cross_entropy(image, self.targets)
        else:
            # In terms of the logit of the wrong answer, small losses keep their digits.
            sign = 1 - 2 * self.targets
            wrong = sign * image
            losses, residual = functional.softplus(wrong), sign * torch.sigmoid(wrong)
        total = losses.view(self.groups, -1).sum(1, dtype=torch.float64).cpu().numpy()
        return total / len(self.rows) + 0.5 * self.scale(unknowns), residual

    def scale(self, unknowns: Tensor) -> np.ndarray:
        """Return l2 ||W||² of each group."""
        squares = unknowns[:, :-1].square().view(self.groups, -1).sum(1)
        return self.l2 * squares.cpu().numpy().astype(np.float64)

    def gradient(self, unknowns: Tensor, residual: Tensor) -> Tensor:
        """Return the gradient (C, features + 1)."""
        n, total = len(self.rows), residual.sum(1)
        by_weight = torch.addmm(unknowns[:, :-1], residual, self.rows, beta=self.l2, alpha=1 / n)
        return torch.cat([by_weight, total[:, None] / n], 1)

    def precondition(self, gradient: Tensor) -> Tensor:
        """Return the gradient times the inverse of the approximate Hessian."""
        by_weight = gradient[:, :-1]
        inside = by_weight @ self.axes.T
        # In two passes: the rest has a large factor, which would also enlarge rounding errors.
        outside = torch.addmm(by_weight, inside, self.axes, alpha=-1)
        outside = torch.addmm(outside, outside @ self.axes.T, self.axes, alpha=-1)
        found = torch.addmm(outside * self.scale_outside, inside * self.scale_inside, self.axes)
        return torch.cat([found, gradient[:, -1:] / self.curvature], 1)

    def only(self, groups: np.ndarray) -> LogisticObjective:
        """Return the objective of some classes, where each is a group."""
        some = LogisticObjective(self.rows, self.targets[groups], self.l2, len(groups))
        some.axes, some.curvature = self.axes, self.curvature[groups]
        some.scale_outside = self.scale_outside[groups]
        some.scale_inside = self.scale_inside[groups]
        return some


def _cross_entropy(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses (n,) of logits (C, n), and softmax minus one-hot (C, n).

    Of probabilities near 1 the complement is summed, so that small losses keep their digits.
    """
    p = torch.softmax(logits, 0)
    own = p.gather(0, classes[None])
    p.scatter_(0, classes[None], 0.0)
    others = p.sum(0, keepdim=True)
    p.scatter_(0, classes[None], -others)
    log_own = torch.where(others < 0.5, torch.log1p(-others.clamp_max(0.5)), own.log())
    return -log_own[0], p
