"""Make the encoder of a finished run's checkpoint: averaged weights, new BatchNorm statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from hear_byola.encoder import restore_encoder
from hear_byola.pretraining.byol import ByolTraining
from hear_byola.pretraining.crops import CropSource


def finished_state(module: ByolTraining, source: CropSource) -> Mapping[str, Tensor]:
    """Return the state dict of the encoder that a finished run exports, on the CPU.

    Args:
        module: the module after its last step; it is not changed.
        source: the crops of the run, for BatchNorm statistics.
    """
    config = module.config
    trained = module.online.encoder if module.average is None else module.average.module
    encoder = restore_encoder(config.encoder, config.d, trained.state_dict())
    if config.batchnorm_crops:
        # Without the perceptron, which has dropout and no BatchNorm.
        update_bn(_batches(module, source), encoder.features)
    return encoder.state_dict()


def _batches(module: ByolTraining, source: CropSource) -> Iterator[Tensor]:
    """Yield spectrograms without augmentation, (batch, 1, F, T), of the first crops."""
    config, device = module.config, module.device
    for start in range(0, max(config.batchnorm_crops, config.batch_size), config.batch_size):
        audio = source.crops(range(start, start + config.batch_size)).to(device)
        with torch.no_grad():
            yield module.as_deployed(module.spectrograms(audio)).cpu()[:, None]
