"""What a run is spread over, and where it logs to, in Lightning's terms."""

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

from hear_byola.errors import UserError
from hear_byola.pretraining.config import PretrainConfig, check_precision
from hear_byola.pretraining.metrics import CurveLog, FurtherLogger
from hear_byola.pretraining.state import WholeFiles


@dataclass(frozen=True)
class Machines:
    """What a run is spread over, in Lightning's words.

    Attributes:
        accelerator: "auto", "cpu", "gpu", "mps".
        devices: how many on each machine, or which ("0,2"); "auto" is one CPU process, or all GPUs.
        nodes: machines.
    """

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1


def make_trainer(
    config: PretrainConfig, machines: Machines, out: Path, log: CurveLog
) -> pl.Trainer:
    """Lightning's trainer for a run; without callbacks and an end, which are the run's.

    Raises:
        UserError: no such devices here, a precision that they do not have, an unknown logger.
    """
    accelerator, devices = machines.accelerator, machines.devices
    if accelerator == "auto" and not torch.cuda.is_available():
        accelerator = "cpu"
    if devices == "auto" and accelerator == "cpu":
        devices = 1
    check_precision(config, accelerator)
    several = machines.nodes > 1 or _count(devices) > 1
    try:
        return pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=machines.nodes,
            # Each process keeps a mixup memory of its own; BatchNorm's buffers are alike anyway.
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
    """How many devices of a machine are asked for, as Lightning reads it."""
    if devices in ("auto", -1, "-1"):
        return torch.cuda.device_count()
    if isinstance(devices, str) and not devices.isdecimal():
        return len([part for part in devices.split(",") if part.strip()])
    return int(devices)


def _loggers(config: PretrainConfig, out: Path) -> Iterator[loggers.Logger]:
    # A fixed version, so that a resumed run goes on in the same folder.
    usual: dict[str, dict[str, object]] = {
        "TensorBoardLogger": {"save_dir": str(out), "name": "tensorboard", "version": ""}
    }
    for kind, arguments in config.logger.items():
        if not hasattr(loggers, kind):
            raise UserError(f"logger: pytorch_lightning.loggers has no {kind!r}.")
        given = {**usual.get(kind, {"save_dir": str(out)}), **(arguments or {})}
        try:
            yield FurtherLogger(getattr(loggers, kind)(**given))
        except (ImportError, TypeError) as error:
            raise UserError(f"logger {kind}: {error}") from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave out what Lightning tells of its own defaults, which are chosen here."""
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
