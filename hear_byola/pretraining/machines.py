"""Set up Lightning's trainer: devices, processes and loggers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning import loggers
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from hear_byola.core.errors import UserError
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.metrics import CurveLog, FurtherLogger
from hear_byola.pretraining.precision import check_precision
from hear_byola.pretraining.state import WholeFiles


@dataclass(frozen=True)
class Machines:
    """The devices of a run, in Lightning's terms.

    Attributes:
        accelerator: "auto", "cpu", "gpu" or "mps".
        devices: number of devices on each machine, or their indices ("0,2"); "auto" is one CPU
            process, or all GPUs.
        nodes: number of machines.
    """

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1

    @property
    def kind(self) -> str:
        """The accelerator; "cpu" for "auto" without a GPU of NVIDIA or AMD."""
        if self.accelerator == "auto" and not torch.cuda.is_available():
            return "cpu"
        return self.accelerator


def make_trainer(
    config: PretrainConfig, machines: Machines, out: Path, log: CurveLog
) -> pl.Trainer:
    """Return Lightning's trainer for a run, without callbacks and without a last step.

    Raises:
        UserError: the devices do not exist or lack the precision; a logger is unknown.
    """
    accelerator, devices = machines.kind, machines.devices
    if devices == "auto" and accelerator == "cpu":
        devices = 1
    check_precision(config, accelerator)
    assert config.precision != "auto", "choose_precision has replaced it"
    several = machines.nodes > 1 or _count(devices) > 1
    try:
        return pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=machines.nodes,
            # Each process has its own mixup memory; BatchNorm's buffers are equal in all.
            strategy=DDPStrategy(broadcast_buffers=False) if several else "auto",
            precision=config.precision,
            accumulate_grad_batches=config.accumulate,
            max_epochs=-1,
            max_steps=-1,
            use_distributed_sampler=False,
            logger=[log, *_loggers(config, out)],
            plugins=[WholeFiles()],
            default_root_dir=out,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, RuntimeError, TypeError, MisconfigurationException) as error:
        raise UserError(
            f"cannot train with accelerator {accelerator!r}, devices {devices!r}, precision "
            f"{config.precision!r}: {error}"
        ) from error


def _count(devices: int | str) -> int:
    """Return the number of devices of a machine, as Lightning reads the option."""
    if devices in ("auto", -1, "-1"):
        return torch.cuda.device_count()
    if isinstance(devices, str) and not devices.isdecimal():
        return len([part for part in devices.split(",") if part.strip()])
    return int(devices)


def _loggers(config: PretrainConfig, out: Path) -> Iterator[loggers.Logger]:
    # With a fixed version, a resumed run logs to the same folder.
    usual: dict[str, dict[str, object]] = {
        "TensorBoardLogger": {"save_dir": str(out), "name": "tensorboard", "version": ""}
    }
    for kind, arguments in config.logger.items():
        if not hasattr(loggers, kind):
            raise UserError(f"logger: pytorch_lightning.loggers has no class {kind!r}.")
        given = {**usual.get(kind, {"save_dir": str(out)}), **(arguments or {})}
        try:
            yield FurtherLogger(getattr(loggers, kind)(**given))
        except (ImportError, TypeError) as error:
            raise UserError(f"logger {kind}: {error}") from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's messages about defaults that are set here."""
    names = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for module in ("pytorch_lightning", "lightning_fabric"):
            warnings.filterwarnings("ignore", module=module)
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
