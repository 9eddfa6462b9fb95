"""The network of the MLP probes, its loss and its optimiser.

The network is that of HEAR 2021: blocks of Linear -> BatchNorm -> Dropout -> ReLU, then Linear,
with sigmoid and binary cross entropy or softmax and cross entropy. Without hidden blocks it is a
softmax (or one-vs-rest logistic) layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.adam import adam

from harness.probe.layers import Block, Dropout, Linear, draw_linear

_PREDICT_ROWS = 8192  # rows of one forward pass without gradients: bounds memory, changes nothing


class Network:
    """The probe.

    Weights: Xavier with gain 1 where the layer's input is the embedding, sqrt(2) after a ReLU.
    Biases: uniform in ±1/sqrt(inputs), torch's default. BatchNorm: eps 1e-5, momentum 0.1.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        initialization: str,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        *,
        norm_last: bool = False,
    ) -> None:
        """Draw the weights.

        Args:
            sizes: of embeddings, of each hidden layer, and of the output.
            initialization: of weights, a key of :data:`harness.probe.layers.INITIALIZATIONS`.
            generator: of the CPU.
            device: of the network.
            norm_last: BatchNorm comes after the ReLU of a block.
        """
        self.norm_last = norm_last
        drawn: list[Linear] = []
        for inputs, outputs in pairwise(sizes):
            gain = math.sqrt(2.0) if drawn else 1.0
            drawn.append(draw_linear(inputs, outputs, initialization, gain, generator))
        *hidden, self.last = [layer.to(device) for layer in drawn]
        self.blocks = [
            Block(layer, *(torch.full_like(layer.bias, value) for value in (1, 0, 0, 1)))
            for layer in hidden
        ]

    def parameters(self) -> list[Tensor]:
        """Return what is trained, in the order of :meth:`train`."""
        return [*(t for block in self.blocks for t in block.tensors()), *self.last.tensors()]

    def state(self) -> list[Tensor]:
        """Return the tensors by which two networks of a shape differ."""
        return [*self.parameters(), *(t for b in self.blocks for t in (b.mean, b.variance))]

    def predict(self, rows: Tensor) -> Tensor:
        """Return the logits (n, C) in evaluation."""
        with torch.inference_mode():
            parts = []
            for x in rows.split(_PREDICT_ROWS):
                for block in self.blocks:
                    x = block.predict(x, self.norm_last)
                parts.append(self.last.forward(x))
            return torch.cat(parts)

    def train(self, x: Tensor, targets: Tensor, dropout: Dropout) -> tuple[Tensor, list[Tensor]]:
        """Return the mean loss of a batch, and its gradients by :meth:`parameters`.

        Args:
            x: rows (n, features).
            targets: int64 (n,) classes, or float (n, C) multi-hot.
            dropout: of every block.
        """
        with torch.inference_mode():
            for block in self.blocks:
                x = block.train(x, self.norm_last, dropout)
            loss, by_output = _loss_and_gradient(self.last.forward(x), targets)
            gradients = [self.last.gradients(x, by_output)]
            layer = self.last
            for block in reversed(self.blocks):
                by_active = layer.by_input(by_output)
                by_output, *of_norm = block.backward(by_active, self.norm_last, dropout.factor)
                layer = block.linear
                gradients.append([*layer.gradients(block.inputs, by_output), *of_norm])
            return loss, [gradient for part in reversed(gradients) for gradient in part]


class Adam:
    """Adam (arXiv 1412.6980) with torch's defaults, by its fused kernel.

    The function behind ``torch.optim.Adam``: the class imports torch's compiler when it is made,
    which costs every worker process more than training a small probe does.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.parameters = list(parameters)
        self.lr = lr
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change the parameters by one step."""
        with torch.inference_mode():
            adam(
                self.parameters,
                list(gradients),
                self.means,
                self.squares,
                [],
                self.steps,
                foreach=False,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.lr,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )

    def state(self) -> list[Tensor]:
        """Return the tensors that change."""
        return [*self.means, *self.squares, *self.steps]


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy: of classes for int64 targets (n,), of each label for float (n, C)."""
    if targets.dtype == torch.int64:
        return functional.cross_entropy(logits, targets)
    return functional.binary_cross_entropy_with_logits(logits, targets)


def probabilities_of(logits: Tensor, targets_are_classes: bool) -> np.ndarray:
    """Softmax over classes, or a sigmoid for each label: float32 (n, C) on the CPU."""
    p = torch.softmax(logits, 1) if targets_are_classes else torch.sigmoid(logits)
    return p.float().cpu().numpy()


def _loss_and_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of :func:`loss_of` and its gradient by the logits."""
    loss = loss_of(logits, targets)
    if targets.dtype == torch.int64:
        p = torch.softmax(logits, 1)
        p[torch.arange(len(p), device=p.device), targets] -= 1
        return loss, p.div_(len(p))
    return loss, torch.sigmoid(logits).sub_(targets).div_(logits.numel())
