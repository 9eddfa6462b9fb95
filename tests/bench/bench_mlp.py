"""CPU and wall-clock seconds of an epoch of an MLP probe: ours beside a plain Lightning loop.

    OMP_NUM_THREADS=1 python tests/bench/bench_mlp.py [--repeats 3] [--only TEXT]

The Lightning loop is what a careful user writes: rows in memory in a TensorDataset, nn.Sequential,
torch.optim.Adam, validation every 3 epochs on concatenated logits; no logger, no checkpoints, no
progress bar. Both sides train the network of `hear2021` (1024 hidden units, dropout 0.1, batches of
1024, rows in a fixed order) with 10 classes for the same number of epochs. Cases: clips of small
tasks and 5,000 x 2048, with one and two hidden layers. The number of validation rows is a third.

Both sides use one thread, take turns in one process, and are timed after a warm-up. Ratios are
Lightning's seconds over ours. Beside them: the best validation accuracy of each side.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pytorch_lightning as lightning
import torch
from sides import Row, alternate, spread
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from harness.probe.classifier import Trial
from harness.probe.judge import Check
from harness.probe.partial import Partial
from harness.probe.train import Examples, MLPSettings, MLPTraining

CLASSES, HIDDEN, BATCH, EVERY, RATE = 10, 1024, 1024, 3, 1e-3


@dataclass(frozen=True)
class Case:
    """Rows and classes of training and validation, and how long they are trained on."""

    name: str
    layers: int
    epochs: int
    rows: Tensor
    classes: Tensor
    valid_rows: Tensor
    valid_classes: Tensor

    def accuracy(self, logits: Tensor) -> float:
        return float((logits.argmax(1) == self.valid_classes).float().mean())


def case(n: int, size: int, layers: int, epochs: int) -> Case:
    """Gaussian rows of 10 classes that overlap."""
    generator = torch.Generator().manual_seed(0)
    m = n // 3
    classes = torch.randint(CLASSES, (n + m,), generator=generator)
    centres = torch.randn(CLASSES, size, generator=generator)
    rows = 3 / size**0.5 * centres[classes] + torch.randn(n + m, size, generator=generator)
    name = f"{n:,} x {size}, {layers} hidden"
    return Case(name, layers, epochs, rows[:n], classes[:n], rows[n:], classes[n:])


class Scorer:
    """The judge of our side; its perfect score is out of reach, so that all epochs are run."""

    higher_is_better, perfect = True, 2.0

    def __init__(self, of: Case) -> None:
        self.of = of

    def __call__(self, logits: Tensor) -> Check:
        loss = float(nn.functional.cross_entropy(logits, self.of.valid_classes))
        return Check(self.of.accuracy(logits), loss)

    def better(self, score: float, best: float) -> bool:
        return score > best


def ours(of: Case) -> float:
    """Best validation accuracy."""
    settings = MLPSettings(
        hidden_layers=of.layers,
        hidden_dim=HIDDEN,
        dropout=0.1,
        initialization="xavier_uniform",
        norm_after_activation=False,
        lr=RATE,
        batch_size=BATCH,
        max_epochs=of.epochs,
        check_val_every_n_epoch=EVERY,
        patience=of.epochs,
    )
    examples = Examples(
        rows=of.rows, targets=of.classes, n_outputs=CLASSES, valid_rows=of.valid_rows
    )
    trial = Trial(
        point=(),
        grid={},
        shuffle=False,
        judge=Scorer(of),  # type: ignore[arg-type]
        generator=lambda stream, device: torch.Generator(device).manual_seed(len(stream)),
        tell=lambda _: None,
        partial=Partial(),
    )
    return MLPTraining(settings, examples, trial).run().check.score


class Probe(lightning.LightningModule):
    """The same network as a Lightning module."""

    def __init__(self, of: Case) -> None:
        super().__init__()
        self.of, self.best = of, 0.0
        self.found: list[Tensor] = []
        layers: list[nn.Module] = []
        width = of.rows.shape[1]
        for _ in range(of.layers):
            layers += [nn.Linear(width, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.Dropout(0.1), nn.ReLU()]
            width = HIDDEN
        self.net = nn.Sequential(*layers, nn.Linear(width, CLASSES))
        linear = [layer for layer in self.net if isinstance(layer, nn.Linear)]
        for layer, gain in zip(linear, (1, 2**0.5, 2**0.5), strict=False):
            nn.init.xavier_uniform_(layer.weight, gain)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        self.found.append(self.net(batch[0]))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat(self.found)
        self.found = []
        nn.functional.cross_entropy(logits, self.of.valid_classes)
        self.best = max(self.best, self.of.accuracy(logits))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=RATE)


def plain_lightning(of: Case) -> float:
    """Best validation accuracy."""
    torch.manual_seed(0)
    probe = Probe(of)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=of.epochs,
        check_val_every_n_epoch=EVERY,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    train = DataLoader(TensorDataset(of.rows, of.classes), batch_size=BATCH)
    valid = DataLoader(TensorDataset(of.valid_rows, of.valid_classes), batch_size=BATCH)
    trainer.fit(probe, train, valid)
    return probe.best


SIZES = ((100, 512, 60), (300, 512, 45), (1000, 512, 30), (1000, 2048, 15), (5000, 2048, 6))
TINY = ((40, 16, 3),)


def rows(repeats: int, tiny: bool, only: str = "") -> Iterator[Row]:
    """Compare the two at every size, with one and two hidden layers."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    sizes = TINY if tiny else SIZES
    for of in (case(n, size, layers, e) for n, size, e in sizes for layers in (1, 2)):
        if only in of.name:
            scores = f"best accuracy {ours(of):.3f}, Lightning {plain_lightning(of):.3f}"
            name = f"mlp, {of.name}, {of.epochs} epochs"
            sides = partial(ours, of), partial(plain_lightning, of)
            row = alternate(name, "Lightning", *sides, repeats)
            yield replace(row, ours=f"{row.ours}; {scores}")


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="measure cases whose name contains this text")
    options = parser.parse_args()
    for row in rows(options.repeats, tiny=False, only=options.only):
        print(f"{row.what}: CPU {spread(row.cpu)}, wall {spread(row.wall)}; {row.ours}", flush=True)


if __name__ == "__main__":
    main()
