"""BYOL on log-mel spectrograms: the training step (arXiv 2103.06695, section III)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hear_byola.frontend import HOP, MEL_BANDS, LogMel
from hear_byola.pretraining import losses
from hear_byola.pretraining.augment import Augmentations
from hear_byola.pretraining.auxiliary import TARGET_CROPS, Regression, Targets
from hear_byola.pretraining.collapse import VectorSpread, spread
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.crops import CROP_SAMPLES, CropSource
from hear_byola.pretraining.distributed import ranks, synchronise
from hear_byola.pretraining.networks import Branch, head
from hear_byola.random_weights import random_encoder

FRAMES = CROP_SAMPLES // HOP + 1
"""Frames of a crop of 0.95 s: 96."""

_PIECE = 4  # crops whose spectrograms a CPU computes at a time; more do not fit its cache


def _regression(
    config: PretrainConfig, statistics: tuple[Tensor, Tensor] | None
) -> Regression | None:
    if config.auxiliary is None:
        return None
    if statistics is None:
        raise ValueError("an auxiliary task needs the statistics of its targets.")
    targets = Targets(config.convention, config.auxiliary.targets)
    return Regression(config.d, targets, *statistics)


class ByolTraining(pl.LightningModule):
    """The Lightning module of BYOL.

    The random draws of a batch are seeded by the config's seed, the rank and the batch's number, so
    a resumed run draws the same as an uninterrupted one. The constructor does not change the global
    generators; a training step seeds them for dropout.

    Args:
        config: config of the run.
        mean, std: statistics of the corpus's log-mel spectrograms.
        steps: number of optimiser steps of the run.
        targets: mean and standard deviation of the auxiliary task's targets (`measure_targets`);
            needed if the config has an auxiliary task.

    Attributes:
        predictor, target: None unless the loss is BYOL's.
        frame_predictor: the predictor of frames; None unless the loss is BYOL's and compares them.
        regression: head of the auxiliary task, or None.
        average: mean of the encoder's last weights, or None.
        batches: number of batches that this process has trained on.
        spreads: spreads of embeddings and projections of the last measured batch.
        last_loss: loss of the last batch.
        last_auxiliary: loss of its auxiliary task before weighting, or None.
    """

    first_bad_step: Tensor

    def __init__(
        self,
        config: PretrainConfig,
        mean: float,
        std: float,
        steps: int,
        targets: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.steps = steps
        self.batches = 0
        self.spreads: dict[str, VectorSpread] = {}
        self.last_loss: float | Tensor = math.nan
        self.last_auxiliary: Tensor | None = None
        self._losses: list[float | Tensor] = []
        self._new_spreads = False
        self.frontend = LogMel(config.convention, mean, std)
        self.augment = Augmentations(config, (MEL_BANDS, FRAMES))
        encoder = random_encoder(config.encoder, config.d, config.seed, config.init)
        byol = config.loss == "byol"
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            frame_hidden = None if config.frames is None else config.frames.hidden
            self.online = Branch(encoder, config.hidden, config.projection, frame_hidden)
            self.predictor = (
                head(config.projection, config.hidden, config.projection) if byol else None
            )
            self.regression = _regression(config, targets)
            self.frame_predictor = (
                head(config.projection, frame_hidden, config.projection)
                if byol and frame_hidden
                else None
            )
        for layer in encoder.features:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                # BatchNorm cancels this bias. Its gradient is only rounding, on which Adam would
                # let it drift.
                layer.bias.requires_grad_(False)
        self.target = copy.deepcopy(self.online).requires_grad_(False) if byol else None
        self.average = (
            AveragedModel(encoder).requires_grad_(False) if config.average_steps else None
        )
        self.register_buffer("first_bad_step", torch.tensor(-1))
        self.to(memory_format=torch.channels_last)

    def setup(self, stage: str) -> None:
        """Compute BatchNorm statistics over all processes."""
        if self.trainer.world_size > 1:
            synchronise(self, self.trainer.strategy.root_device.type)

    @torch.no_grad()
    def begin_regression(self, source: CropSource) -> None:
        """Fit the auxiliary task's head to the encoder as it is, on crops without augmentation.

        Args:
            source: the crops of the run, of which about `TARGET_CROPS` are used, in whole batches.
        """
        if self.regression is None:
            return
        branch = copy.deepcopy(self.online)  # it keeps statistics of its own
        for layer in branch.modules():
            layer.train(not isinstance(layer, nn.Dropout))
        found = []
        for start in range(0, min(TARGET_CROPS, source.epoch_size), self.config.batch_size):
            audio = source.crops(range(start, start + self.config.batch_size))
            mel = self.as_deployed(self.spectrograms(audio))
            found.append((branch.embed(mel), self.regression.targets(audio)))
        embeddings, targets = zip(*found, strict=True)
        self.regression.begin(torch.cat(embeddings), torch.cat(targets))

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
            mel = self.spectrograms(audio)
            views = self.augment(mel, generator)
        seen = [self.online(view) for view in views]
        total = self._loss(views, [projections for _, projections in seen])
        if self.regression is not None:
            assert self.config.auxiliary is not None
            auxiliary = self.regression(self.online.embed(self.as_deployed(mel)), audio)
            self.last_auxiliary = auxiliary.detach()
            total = total + self.config.auxiliary.weight * auxiliary
        self._watch(total.detach())
        self.batches += 1
        step, within = divmod(self.batches, self.config.accumulate)
        if not within and (step % self.config.monitor_every == 0 or step == self.steps):
            embedding, projections = seen[0]
            self.spreads = {
                "embedding": spread(embedding.detach().float()),
                "projection": spread(projections[0].detach().float()),
            }
            self._new_spreads = True
        return total

    def _loss(self, views: Sequence[Tensor], seen: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the loss of both views and their projections, of clips and perhaps of frames."""
        if self.target is None:
            compare = getattr(losses, self.config.loss)
            parts = [compare(*pair) for pair in zip(*seen, strict=True)]
        else:
            predictors = filter(None, (self.predictor, self.frame_predictor))
            with torch.no_grad():
                targets = [self.target(view)[1] for view in views]
            parts = [
                losses.byol(predictor(first), target[1]) + losses.byol(predictor(second), target[0])
                for predictor, (first, second), target in zip(
                    predictors, zip(*seen, strict=True), zip(*targets, strict=True), strict=True
                )
            ]
        if self.config.frames is None:
            return parts[0]
        clips, frames = parts
        return torch.lerp(clips, frames, self.config.frames.share)

    def as_deployed(self, mel: Tensor) -> Tensor:
        """Return spectrograms normalised as the checkpoint's users normalise them.

        Args:
            mel: what `spectrograms` returned.
        """
        if self.config.pre_norm or not self.config.post_norm:
            return mel
        return (mel - self.frontend.mean) / self.frontend.std

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
        """Take a step of Adam, then update the averages of parameters."""
        super().optimizer_step(*args, **kwargs)
        if self.target is not None:
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(self.target.parameters()),
                    list(self.online.parameters()),
                    1 - self.ema_decay,
                )
        if self.average is not None and self.global_step >= self.steps - self.config.average_steps:
            self.average.update_parameters(self.online.encoder)

    @property
    def ema_decay(self) -> float:
        """Decay of the target's moving average for this run's crops in a step."""
        config = self.config
        if config.ema_batch is None:
            return config.ema_decay
        crops = config.batch_size * config.accumulate * ranks()
        return config.ema_decay ** (crops / config.ema_batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the position in the data, and the losses that are not yet logged."""
        checkpoint["batches"] = self.batches
        checkpoint["losses"] = [float(value) for value in self._losses]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore the position in the data and the losses."""
        self.batches = checkpoint["batches"]
        self._losses = list(checkpoint["losses"])
