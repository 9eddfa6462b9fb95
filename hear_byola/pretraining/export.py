"""Write the checkpoints of a pretraining run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hear_byola.checkpoint import Checkpoint, save_checkpoint
from hear_byola.core.errors import UserError
from hear_byola.pretraining.byol import ByolTraining
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.finish import finished_state
from hear_byola.pretraining.prepare import Prepared


@dataclass(frozen=True)
class Exporter:
    """Writes the online encoder of a run as a checkpoint in our format.

    Attributes:
        config: config of the run.
        prepared: its audio.
        start: the checkpoint that it started from.
    """

    config: PretrainConfig
    prepared: Prepared
    start: Path | None

    def write(self, module: ByolTraining, path: Path) -> None:
        """Write the weights as a checkpoint; after the last step, those of the finished run.

        Raises:
            UserError: the file cannot be written.
        """
        config, statistics = self.config, self.prepared.statistics
        if module.global_step >= module.steps:
            state = finished_state(module, self.prepared.source)
        else:
            state = module.online.encoder.state_dict()
        # A network trained without normalisation must be used without it.
        plain = not (config.pre_norm or config.post_norm)
        world = module.trainer.world_size
        crops = module.global_step * config.batch_size * config.accumulate * world
        progress = {"step": module.global_step, "steps": module.steps, "crops": crops}
        origin = {"start": self.start.name} if self.start else {}
        checkpoint = Checkpoint(
            config.encoder,
            config.d,
            state,
            convention=config.convention,
            mean=0.0 if plain else statistics.mean,
            std=1.0 if plain else statistics.std,
            training_config={**config.as_dict(), "progress": progress, **origin},
            data=self.prepared.description,
            data_sha256=self.prepared.sha256,
            licence=config.licence,
        )
        try:
            save_checkpoint(path, checkpoint)
        except OSError as error:
            raise UserError(
                f"{path} could not be written ({error}); the last saved state is complete. Make "
                "room, and repeat the command to resume."
            ) from error
