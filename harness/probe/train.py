"""The loop that trains a probe: data in memory, fused optimiser, no files, no logging inside.

The probe is that of HEAR 2021: blocks of Linear -> BatchNorm -> Dropout -> ReLU, then Linear, with
sigmoid and binary cross entropy or softmax and cross entropy. Without hidden blocks it is a
softmax (or one-vs-rest logistic) layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.adam import adam

from harness.metrics.events import Postprocessing

INITIALIZATIONS: Mapping[str, Callable[..., Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
}
_PREDICT_ROWS = 8192  # rows of one forward pass without gradients: bounds memory, changes nothing


@dataclass(frozen=True)
class Check:
    """What one validation found.

    Attributes:
        score: what selects: the task's first metric, or the loss.
        loss: the mean cross entropy.
        choice: the post-processing of events that the score was computed with.
        ends: whether the score is one that ends training.
    """

    score: float
    loss: float
    choice: Postprocessing | None = None
    ends: bool = False


@dataclass(frozen=True)
class MLPSettings:
    """One grid point of an MLP probe; names are the keys of the original kit's grid.

    ``max_epochs``, ``patience`` and ``check_val_every_n_epoch`` are explained at :func:`fit`.
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


@dataclass(frozen=True)
class Fitted:
    """The probe of the best validation; ``epoch`` counts from 0.

    ``curve`` has a row (epoch, train loss since the last validation, valid loss, score) for each
    validation.
    """

    probe: nn.Module
    check: Check
    epoch: int
    curve: list[tuple[int, float, float, float]]


class SeededDropout(nn.Module):
    """Dropout whose mask is drawn from a generator of its own, 4 units from each random 64 bits.

    A unit is kept when 16 random bits are below 65536 (1 - p), which is p to within 1e-5: four
    units for one draw of the generator, where ``torch.bernoulli`` draws for each.
    """

    def __init__(self, p: float, generator: torch.Generator) -> None:
        super().__init__()
        self.p = p
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """Zero a share p of x while training and scale the rest by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return x
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None, generator=self.generator)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = bits < round(65536 * (1 - self.p)) - 32768
        return x * (kept * (1 / (1 - self.p)))


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Leave the weights unset: they are drawn below, and not from the global generator."""


class _Adam:
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
        with torch.no_grad():
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


def build(
    settings: MLPSettings,
    n_features: int,
    n_outputs: int,
    init: torch.Generator,
    dropout: torch.Generator,
) -> nn.Sequential:
    """Return a fresh probe on the CPU; ``dropout`` belongs to the device that it will be moved to.

    Weights: Xavier with gain 1 where the layer's input is the embedding, sqrt(2) after a ReLU.
    Biases: uniform in ±1/sqrt(inputs), torch's default. BatchNorm: eps 1e-5, momentum 0.1.
    """
    layers: list[nn.Module] = []
    width, gain = n_features, 1.0
    for _ in range(settings.hidden_layers):
        layers.append(_linear(settings, width, settings.hidden_dim, gain, init))
        norm = nn.BatchNorm1d(settings.hidden_dim)
        active = [SeededDropout(settings.dropout, dropout), nn.ReLU()]
        layers += [*active, norm] if settings.norm_after_activation else [norm, *active]
        width, gain = settings.hidden_dim, math.sqrt(2.0)
    layers.append(_linear(settings, width, n_outputs, gain, init))
    return nn.Sequential(*layers)


def _linear(
    settings: MLPSettings, inputs: int, outputs: int, gain: float, generator: torch.Generator
) -> nn.Linear:
    layer = _Linear(inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    with torch.no_grad():
        INITIALIZATIONS[settings.initialization](layer.weight, gain=gain, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def batches(n: int, size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of consecutive batches over n rows; the last one may be smaller.

    A last batch of one row joins the batch before it: batch normalisation of a single row is
    undefined.
    """
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy: of classes for int64 targets (n,), of each label for float (n, C)."""
    if targets.dtype == torch.int64:
        return functional.cross_entropy(logits, targets)
    return functional.binary_cross_entropy_with_logits(logits, targets)


def probabilities_of(logits: Tensor, targets_are_classes: bool) -> np.ndarray:
    """Softmax over classes, or a sigmoid for each label: float32 (n, C) on the CPU."""
    p = torch.softmax(logits, 1) if targets_are_classes else torch.sigmoid(logits)
    return p.float().cpu().numpy()


def predict(probe: nn.Module, rows: Tensor) -> Tensor:
    """Return the logits (n, C) of a probe in evaluation mode."""
    probe.eval()
    with torch.inference_mode():
        return torch.cat([probe(part) for part in rows.split(_PREDICT_ROWS)])


def fit(
    settings: MLPSettings,
    rows: Tensor,
    targets: Tensor,
    n_outputs: int,
    valid_rows: Tensor,
    judge: Callable[[Tensor], Check],
    generators: Callable[[str, str], torch.Generator],
    *,
    shuffle: bool,
    higher_is_better: bool,
    tell: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Train a probe with Adam and return it as it was at its best validation.

    Validation takes place after the epochs whose count (from 1) is a multiple of
    ``check_val_every_n_epoch``. Training stops after ``patience`` validations in a row without a
    strictly better score, or ``max_epochs``. Of equal scores the first stays the best. Scores are
    compared in float32, as the original kit logs them, so that noise in the last bits of a float64
    is no gain. A NaN is the worst score. A check that ``ends`` training may itself be the best.

    Args:
        settings: the grid point.
        rows: (n, features) float32 on the device that trains.
        targets: int64 (n,) classes or float32 (n, n_outputs) multi-hot, on the same device.
        n_outputs: classes of the vocabulary.
        valid_rows: (m, features), on the same device.
        judge: scores the validation logits (m, n_outputs).
        generators: gives the generator of a stream ("init", "dropout", "order") on a device.
        shuffle: draw a new order of the rows each epoch.
        higher_is_better: of the score.
        tell: called at each validation with a text on how far the training is.

    Raises:
        ValueError: fewer than two rows with hidden layers: batch normalisation is undefined.
    """
    if settings.hidden_layers and len(rows) < 2:
        raise ValueError("batch normalisation needs two rows to train on")
    device = rows.device
    dropout = generators("dropout", device.type)
    probe = build(settings, rows.shape[1], n_outputs, generators("init", "cpu"), dropout)
    probe.to(device)
    order_generator = generators("order", "cpu")
    optimiser = _Adam(probe.parameters(), settings.lr)
    bounds = batches(len(rows), settings.batch_size)
    worst = -math.inf if higher_is_better else math.inf
    best: Check | None = None
    best_state: dict[str, Tensor] = {}
    best_epoch = waited = 0
    curve: list[tuple[int, float, float, float]] = []
    train_losses: list[Tensor] = []
    for epoch in range(settings.max_epochs):
        order = torch.randperm(len(rows), generator=order_generator).to(device) if shuffle else None
        train_losses += _train_epoch(probe, optimiser, rows, targets, bounds, order)
        if (epoch + 1) % settings.check_val_every_n_epoch:
            continue
        check = judge(predict(probe, valid_rows))
        curve.append((epoch, float(torch.stack(train_losses).mean()), check.loss, check.score))
        train_losses = []
        score = float(np.float32(worst if math.isnan(check.score) else check.score))
        gain = best is None or (score > best.score if higher_is_better else score < best.score)
        if gain:
            best, best_epoch = Check(score, check.loss, check.choice), epoch
            best_state = copy.deepcopy(probe.state_dict())
        waited = 0 if gain else waited + 1
        tell(f"epoch {epoch + 1} of at most {settings.max_epochs}")
        if waited >= settings.patience or check.ends:
            break
    if best is None:
        raise ValueError(f"no validation within {settings.max_epochs} epochs")
    probe.load_state_dict(best_state)
    return Fitted(probe, best, best_epoch, curve)


def _train_epoch(
    probe: nn.Module,
    optimiser: _Adam,
    rows: Tensor,
    targets: Tensor,
    bounds: list[tuple[int, int]],
    order: Tensor | None,
) -> list[Tensor]:
    probe.train()
    losses = []
    for start, stop in bounds:
        if order is None:
            x, y = rows[start:stop], targets[start:stop]
        else:
            chosen = order[start:stop]
            x, y = rows[chosen], targets[chosen]
        loss = loss_of(probe(x), y)
        optimiser.step(torch.autograd.grad(loss, optimiser.parameters))
        losses.append(loss.detach())
    return losses
