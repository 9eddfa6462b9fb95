"""BYOL on log-mel spectrograms: networks, loss and training step (paper, section III)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from hear_byola.encoder import Encoder, pool_over_time
from hear_byola.frontend import HOP, MEL_BANDS, LogMel
from hear_byola.pretraining import fused
from hear_byola.pretraining.augment import Augmentations
from hear_byola.pretraining.collapse import VectorSpread, spread
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.crops import CROP_SAMPLES
from hear_byola.pretraining.distributed import synchronise
from hear_byola.random_weights import random_encoder

FRAMES = CROP_SAMPLES // HOP + 1
"""Frames of a crop of 0.95 s: 96."""

_PIECE = 4  # crops whose spectrograms a CPU computes at a time; more do not fit its cache


def head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return the perceptron of the projector or the predictor (paper, section IV-A)."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, outputs),
    )


class Branch(nn.Module):
    """Encoder and projector, which the online and the target network share."""

    def __init__(self, encoder: Encoder, hidden: int, projection: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = head(encoder.d, hidden, projection)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (batch, d) and projections (batch, projection) of (batch, F, T)."""
        embedding = pool_over_time([_over_time(self.encoder, mel[:, None])])
        return embedding, self.projector(embedding)


def _over_time(encoder: Encoder, mel: Tensor) -> Tensor:
    if mel.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
        return encoder.head(fused.local_features(encoder, mel))
    return encoder(mel)


def loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the batch mean of 2 - 2 cos(prediction, target), both (batch, projection)."""
    similarity = nn.functional.cosine_similarity(prediction.float(), target.float(), dim=-1)
    return (2 - 2 * similarity).mean()


class ByolTraining(pl.LightningModule):
    """The Lightning module of BYOL.

    The random draws of a batch are seeded by the config's seed, the rank and the batch's number, so
    a resumed run draws the same as an uninterrupted one. The constructor does not change the global
    generators; a training step seeds them for dropout.

    Args:
        config: config of the run.
        mean, std: statistics of the corpus's log-mel spectrograms.
        steps: number of optimiser steps of the run.

    Attributes:
        batches: number of batches that this process has trained on.
        spreads: spreads of embeddings and projections of the last measured batch.
        last_loss: loss of the last batch.
    """

    first_bad_step: Tensor

    def __init__(self, config: PretrainConfig, mean: float, std: float, steps: int) -> None:
        super().__init__()
        self.config = config
        self.steps = steps
        self.batches = 0
        self.spreads: dict[str, VectorSpread] = {}
        self.last_loss: float | Tensor = math.nan
        self._losses: list[float | Tensor] = []
        self._new_spreads = False
        self.frontend = LogMel(config.convention, mean, std)
        self.augment = Augmentations(config, (MEL_BANDS, FRAMES))
        encoder = random_encoder(config.encoder, config.d, config.seed, config.init)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            self.online = Branch(encoder, config.hidden, config.projection)
            self.predictor = head(config.projection, config.hidden, config.projection)
        for layer in encoder.features:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                # BatchNorm cancels this bias. Its gradient is only rounding, on which Adam would
                # let it drift.
                layer.bias.requires_grad_(False)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.register_buffer("first_bad_step", torch.tensor(-1))
        self.to(memory_format=torch.channels_last)

    def setup(self, stage: str) -> None:
        """Compute BatchNorm statistics over all processes."""
        if self.trainer.world_size > 1:
            synchronise(self, self.trainer.strategy.root_device.type)

    def spectrograms(self, audio: Tensor) -> Tensor:
        """Return log-mel spectrograms, normalised by the corpus if `pre_norm` is set.

        Args:
            audio: float32 (batch, CROP_SAMPLES).

        Returns:
            float32 (batch, MEL_BANDS, FRAMES).
        """
        front = self.frontend if self.config.pre_norm else self.frontend.log_mel
        size = _PIECE if audio.device.type == "cpu" else len(audio)
        with torch.autocast(audio.device.type, enabled=False):
            return torch.cat([front(piece) for piece in audio.split(size)])

    def training_step(self, audio: Tensor, batch_index: int) -> Tensor:
        """Return the loss of one batch, in both directions."""
        generator = self._seed(audio.device)
        with torch.no_grad(), torch.autocast(audio.device.type, enabled=False):
            views = self.augment(self.spectrograms(audio), generator)
        seen = [self.online(view) for view in views]
        predictions = [self.predictor(projection) for _, projection in seen]
        with torch.no_grad():
            targets = [self.target(view)[1] for view in views]
        total = loss(predictions[0], targets[1]) + loss(predictions[1], targets[0])
        self._watch(total.detach())
        self.batches += 1
        step, within = divmod(self.batches, self.config.accumulate)
        if not within and (step % self.config.monitor_every == 0 or step == self.steps):
            embedding, projection = (x.detach().float() for x in seen[0])
            self.spreads = {"embedding": spread(embedding), "projection": spread(projection)}
            self._new_spreads = True
        return total

    def take_mean_loss(self) -> float:
        """Return the mean loss of the batches since the last call."""
        losses, self._losses = self._losses, []
        # Losses from before a stop are numbers, later ones are tensors on the device.
        return math.fsum(map(float, losses)) / len(losses)

    def take_spreads(self) -> dict[str, VectorSpread]:
        """Return the newest spreads, or nothing if they were returned before."""
        new, self._new_spreads = self._new_spreads, False
        return self.spreads if new else {}

    def _seed(self, device: torch.device) -> torch.Generator:
        words = np.random.SeedSequence([self.config.seed, self.global_rank, self.batches])
        dropout, augmentation = (int(word) >> 1 for word in words.generate_state(2, np.uint64))
        torch.manual_seed(dropout)
        return torch.Generator(device).manual_seed(augmentation)

    def _watch(self, value: Tensor) -> None:
        """Record the first step whose loss is not finite, without waiting for the device."""
        bad = ~torch.isfinite(value) & (self.first_bad_step < 0)
        self.first_bad_step.masked_fill_(bad, self.global_step)
        self.last_loss = value
        self._losses.append(value)

    def configure_optimizers(self) -> Any:
        """Return Adam on the online network and the predictor, with its schedule."""
        trained = [p for p in self.parameters() if p.requires_grad]
        config = self.config
        optimizer = torch.optim.Adam(
            trained, config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        return self.config.learning_rate * self._rate(step)

    def _rate(self, step: int) -> float:
        """Return the factor of the learning rate at a step."""
        warmup = self.config.warmup_steps
        if step < warmup:
            return (step + 1) / warmup
        if self.config.schedule == "constant":
            return 1.0
        return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(self.steps - warmup, 1))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step of Adam, then update the moving average of the target's parameters."""
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.target.parameters()),
                list(self.online.parameters()),
                1 - self.config.ema_decay,
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the position in the data, and the losses that are not yet logged."""
        checkpoint["batches"] = self.batches
        checkpoint["losses"] = [float(value) for value in self._losses]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore the position in the data and the losses."""
        self.batches = checkpoint["batches"]
        self._losses = list(checkpoint["losses"])
