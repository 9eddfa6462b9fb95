"""BYOL on log-mel spectrograms: the training step (arXiv 2103.06695, section III)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hear_byola.frontend import HOP, MEL_BANDS, LogMel
from hear_byola.pretraining import losses
from hear_byola.pretraining.augment import Augmentations
from hear_byola.pretraining.auxiliary import Regression, Targets
from hear_byola.pretraining.collapse import VectorSpread, spread
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.crops import CROP_SAMPLES, CropSource
from hear_byola.pretraining.distributed import ranks, synchronise
from hear_byola.pretraining.networks import Branch, head
from hear_byola.random_weights import random_encoder

FRAMES = CROP_SAMPLES // HOP + 1
"""Frames of a crop of 0.95 s: 96."""

REGRESSION_CROPS = 2_000
"""Least number of crops, of a corpus that has them, to which the first auxiliary head is fitted."""

_PROJECTIONS = {"clips": "projection", "frames": "frame_projection"}  # names in the curves
_PIECE = 4  # crops whose spectrograms a CPU computes at a time; more do not fit its cache


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
        predictor, target: None unless the loss is BYOL's.
        frame_predictor: the predictor of frames; None unless the loss is BYOL's and compares them.
        regression: head of the auxiliary task, or None.
        average: mean of the encoder's last weights, or None.
        batches: number of batches that this process has trained on.
        spreads: spreads of embeddings and projections of the last measured batch.
        last_loss: loss of the last batch.
    """

    first_bad_step: Tensor

    def __init__(
        self,
        config: PretrainConfig,
        mean: float,
        std: float,
        steps: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.steps = steps
        self.batches = 0
        self.spreads: dict[str, VectorSpread] = {}
        self.last_loss: float | Tensor = math.nan
        self._logged: dict[str, list[float | Tensor]] = {}
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
            self.regression = None
            if config.auxiliary is not None:
                targets = Targets(config.convention, config.auxiliary.targets)
                self.regression = Regression(config.d, targets)
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
        """Begin the auxiliary task with the encoder as it is.

        Args:
            source: the crops of the run, of which about `REGRESSION_CROPS` are used.
        """
        assert self.regression is not None
        # With dropout, as in training: a head fitted without it would amplify its noise.
        branch = copy.deepcopy(self.online).train()  # it keeps statistics of its own
        batches = self.clean_batches(source, min(REGRESSION_CROPS, source.epoch_size))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.config.seed)
            self.regression.begin((branch.embed(mel), audio) for audio, mel in batches)

    @torch.no_grad()
    def clean_batches(self, source: CropSource, crops: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the first crops of a run without augmentation, in whole batches.

        Args:
            source: the crops of the run.
            crops: least number of crops.

        Yields:
            Audio, float32 (batch, CROP_SAMPLES), and its spectrograms as deployed, float32 (batch,
            MEL_BANDS, FRAMES), on the module's device.
        """
        size = self.config.batch_size
        for start in range(0, crops, size):
            audio = source.crops(range(start, start + size)).to(self.device)
            yield audio, self.as_deployed(self.spectrograms(audio))

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
        outputs = [self.online(view) for view in views]
        terms = self._comparisons(views, *(projections for _, projections in outputs))
        total = terms["clips"]
        if self.config.frames is not None:
            total = torch.lerp(total, terms["frames"], self.config.frames.share)
        if self.regression is not None:
            assert self.config.auxiliary is not None
            embedding = self.online.embed(self.as_deployed(mel))
            terms["auxiliary"] = self.regression(embedding, audio)
            total = total + self.config.auxiliary.weight * terms["auxiliary"]
        self._watch({"loss": total, **terms} if len(terms) > 1 else {"loss": total})
        self.batches += 1
        step, within = divmod(self.batches, self.config.accumulate)
        if not within and (step % self.config.monitor_every == 0 or step == self.steps):
            embedding, projections = outputs[0]
            vectors = {_PROJECTIONS[level]: found for level, found in projections.items()}
            vectors = {"embedding": embedding, **vectors}
            self.spreads = {name: spread(found.float()) for name, found in vectors.items()}
            self._new_spreads = True
        return total

    def _comparisons(
        self, views: Sequence[Tensor], first: Mapping[str, Tensor], second: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the losses of the projections of two views: of clips, and perhaps of frames."""
        if self.target is None:
            compare = getattr(losses, self.config.loss)
            return {level: compare(first[level], second[level]) for level in first}
        with torch.no_grad():
            of_first, of_second = (self.target(view)[1] for view in views)
        both = {"clips": self.predictor, "frames": self.frame_predictor}
        predictors = {level: predictor for level, predictor in both.items() if predictor}
        return {
            level: losses.byol(predictors[level](first[level]), of_second[level])
            + losses.byol(predictors[level](second[level]), of_first[level])
            for level in first
        }

    def as_deployed(self, mel: Tensor) -> Tensor:
        """Return spectrograms normalised as the checkpoint's users normalise them.

        Args:
            mel: what `spectrograms` returned.
        """
        if self.config.pre_norm or not self.config.post_norm:
            return mel
        return (mel - self.frontend.mean) / self.frontend.std

    def take_mean_losses(self) -> dict[str, float]:
        """Return means over the batches since the last call: of "loss", and of its terms.

        If it has several, these are "clips", "frames" and "auxiliary", before weighting.
        """
        logged, self._logged = self._logged, {}
        # Losses from before a stop are numbers, later ones are tensors on the device.
        return {name: math.fsum(map(float, each)) / len(each) for name, each in logged.items()}

    def take_spreads(self) -> dict[str, VectorSpread]:
        """Return the newest spreads, or nothing if they were returned before."""
        new, self._new_spreads = self._new_spreads, False
        return self.spreads if new else {}

    def _seed(self, device: torch.device) -> torch.Generator:
        words = np.random.SeedSequence([self.config.seed, self.global_rank, self.batches])
        dropout, augmentation = (int(word) >> 1 for word in words.generate_state(2, np.uint64))
        torch.manual_seed(dropout)
        return torch.Generator(device).manual_seed(augmentation)

    def _watch(self, losses: Mapping[str, Tensor]) -> None:
        """Record losses and the first step with one not finite, without waiting for the device."""
        for name, value in losses.items():
            self._logged.setdefault(name, []).append(value.detach())
        self.last_loss = losses["loss"].detach()
        bad = ~torch.isfinite(self.last_loss) & (self.first_bad_step < 0)
        self.first_bad_step.masked_fill_(bad, self.global_step)

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
        checkpoint["logged"] = {name: [*map(float, each)] for name, each in self._logged.items()}

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore the position in the data and the losses."""
        self.batches = checkpoint["batches"]
        # The states of earlier versions lack it.
        self._logged = {name: list(each) for name, each in checkpoint.get("logged", {}).items()}
