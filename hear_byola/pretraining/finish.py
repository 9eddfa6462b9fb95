"""Make the encoder of a finished run's checkpoint: averaged weights, new BatchNorm statistics."""

from __future__ import annotations

from collections.abc import Mapping

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
        batches = module.clean_batches(source, config.batchnorm_crops)
        update_bn((mel.cpu()[:, None] for _, mel in batches), encoder.features)
    return encoder.state_dict()
