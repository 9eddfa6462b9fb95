"""The loop that trains an MLP probe and keeps it as it was at its best validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.probe.classifier import Trial
from harness.probe.judge import Check
from harness.probe.layers import Dropout
from harness.probe.network import Adam, Network
from hear_byola.core.heap import keep_freed_memory


@dataclass(frozen=True, kw_only=True)
class MLPSettings:
    """One grid point of an MLP probe; names are the keys of the original kit's grid.

    :class:`MLPTraining` explains ``max_epochs``, ``patience`` and ``check_val_every_n_epoch``.
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


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a probe is trained and validated on.

    Attributes:
        rows: (n, features) on the device that trains.
        targets: int64 (n,) classes or float (n, n_outputs) multi-hot, on the same device.
        n_outputs: classes of the vocabulary.
        valid_rows: (m, features), on the same device.
    """

    rows: Tensor
    targets: Tensor
    n_outputs: int
    valid_rows: Tensor


@dataclass(frozen=True)
class Fitted:
    """The probe of the best validation; ``epoch`` counts from 0.

    ``curve`` has a row (epoch, train loss since the last validation, valid loss, score) for each
    validation.
    """

    probe: Network
    check: Check
    epoch: int
    curve: list[list[float]]


class MLPTraining:
    """The training of a probe with Adam.

    Validation takes place after the epochs whose count (from 1) is a multiple of
    ``check_val_every_n_epoch``. MLPTraining ends after ``patience`` validations in a row without a
    strictly better score, or ``max_epochs``. It also ends at a perfect score, since a later one can
    only tie. Of equal scores the first stays the best. Scores are compared in float32, as the
    original kit logs them, so that noise in the last bits of a float64 is no gain. A NaN is the
    worst score. A check that ``ends`` training may itself be the best.
    """

    def __init__(self, settings: MLPSettings, examples: Examples, trial: Trial) -> None:
        """Draw a probe, or continue one that was kept.

        Args:
            settings: the grid point.
            examples: the data.
            trial: its generators have the streams "init", "dropout" and "order".

        Raises:
            ValueError: fewer than two rows with hidden layers, since batch normalisation is then
                undefined, or no validation within ``max_epochs``.
        """
        rows = examples.rows
        if settings.hidden_layers and len(rows) < 2:
            raise ValueError("batch normalisation needs two rows to train on")
        every = settings.check_val_every_n_epoch
        # Epochs after the last validation would change nothing.
        self._epochs = settings.max_epochs // every * every
        if not self._epochs:
            raise ValueError(f"no validation within {settings.max_epochs} epochs")
        self._settings, self._examples, self._trial = settings, examples, trial
        device = rows.device
        hidden = [settings.hidden_dim] * settings.hidden_layers
        self._probe = Network(
            [rows.shape[1], *hidden, examples.n_outputs],
            settings.initialization,
            trial.generator("init", "cpu"),
            device,
            norm_last=settings.norm_after_activation,
        )
        self._dropout = Dropout(settings.dropout, trial.generator("dropout", device.type))
        self._order = trial.generator("order", "cpu")
        self._optimiser = Adam(self._probe.parameters(), settings.lr)
        self._bounds = batches(len(rows), settings.batch_size)
        self._epoch = self._waited = self._best_epoch = 0
        self._best: Check | None = None
        self._best_state = [torch.empty_like(t) for t in self._probe.state()]
        self._curve: list[list[float]] = []
        self._losses: list[Tensor] = []
        self._restore()

    def run(self) -> Fitted:
        """Train to the end."""
        keep_freed_memory()  # each step needs some blocks of megabytes anew
        every = self._settings.check_val_every_n_epoch
        ended = False
        while self._epoch < self._epochs and not ended:
            self._train_epoch()
            self._epoch += 1
            self._trial.tell(f"epoch {self._epoch} of at most {self._settings.max_epochs}")
            if self._epoch % every == 0:
                ended = self._validate()
            if not ended and self._trial.partial.due():
                self._keep()
        assert self._best is not None
        _copy(self._best_state, self._probe.state())
        return Fitted(self._probe, self._best, self._best_epoch, self._curve)

    def _train_epoch(self) -> None:
        rows, targets, order = self._examples.rows, self._examples.targets, None
        if self._trial.shuffle:
            order = torch.randperm(len(rows), generator=self._order).to(rows.device)
        for start, stop in self._bounds:
            chosen = slice(start, stop) if order is None else order[start:stop]
            loss, gradients = self._probe.train(rows[chosen], targets[chosen], self._dropout)
            self._optimiser.step(gradients)
            self._losses.append(loss)

    def _validate(self) -> bool:
        """Judge the probe; return whether training ends."""
        judge = self._trial.judge
        check = judge(self._probe.predict(self._examples.valid_rows))
        loss = float(torch.stack(self._losses).mean())
        self._losses = []
        self._curve.append([self._epoch - 1, loss, check.loss, check.score])
        worst = -math.inf if judge.higher_is_better else math.inf
        score = float(np.float32(worst if math.isnan(check.score) else check.score))
        gain = self._best is None or judge.better(score, self._best.score)
        if gain:
            self._best, self._best_epoch = Check(score, check.loss, check.choice), self._epoch - 1
            _copy(self._probe.state(), self._best_state)
        self._waited = 0 if gain else self._waited + 1
        patient = self._waited < self._settings.patience
        return not patient or check.ends or (gain and score == judge.perfect)

    def _state(self) -> list[Tensor]:
        return [*self._probe.state(), *self._optimiser.state(), *self._best_state]

    def _keep(self) -> None:
        """Keep all that the rest of the training depends on."""
        tensors = {f"state{i}": t for i, t in enumerate(self._state())}
        tensors["losses"] = torch.stack(self._losses) if self._losses else torch.empty(0)
        tensors["dropout"], tensors["order"] = (
            generator.get_state() for generator in (self._dropout.generator, self._order)
        )
        fields = {
            "epoch": self._epoch,
            "waited": self._waited,
            "best_epoch": self._best_epoch,
            "best": self._best and self._best.to_json(),
            "curve": self._curve,
        }
        self._trial.partial.save(fields, tensors)

    def _restore(self) -> None:
        kept = self._trial.partial.load()
        if kept is None:
            return
        fields, tensors = kept
        _copy([tensors[f"state{i}"] for i in range(len(self._state()))], self._state())
        self._losses = list(tensors["losses"].to(self._examples.rows.device))
        self._dropout.generator.set_state(tensors["dropout"])
        self._order.set_state(tensors["order"])
        self._epoch, self._waited = fields["epoch"], fields["waited"]
        self._best_epoch, self._curve = fields["best_epoch"], fields["curve"]
        self._best = fields["best"] and Check.from_json(fields["best"])


def batches(n: int, size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of consecutive batches over n rows; the last one may be smaller.

    A last batch of one row joins the batch before it: batch normalisation of a single row is
    undefined.
    """
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
