"""A run: config and audio in, checkpoint out; the same call goes on where a stopped run was."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning import loggers
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from hear_byola.pretraining.allocator import keep_freed_memory
from hear_byola.pretraining.byol import ByolTraining
from hear_byola.pretraining.callbacks import (
    CollapseWatch,
    Curves,
    Figure,
    Interrupted,
    Memories,
    Probes,
    Progress,
    SavedState,
)
from hear_byola.pretraining.config import PretrainConfig, differing
from hear_byola.pretraining.errors import PretrainError
from hear_byola.pretraining.metrics import CurveLog
from hear_byola.pretraining.prepare import Prepared, prepare
from hear_byola.pretraining.state import WholeFiles, replacing
from hear_byola.pretraining.stream import Positions, batches

CONFIG, CORPUS, STATE, METRICS, FIGURE = (
    "config.yaml",
    "corpus.json",
    "resume.ckpt",
    "metrics.csv",
    "curves.png",
)


@dataclass(frozen=True)
class Machines:
    """What a run is spread over, in Lightning's words.

    Attributes:
        accelerator: "auto", "cpu", "gpu", "mps".
        devices: how many on each machine; "auto" is one CPU process, or all GPUs.
        nodes: machines.
    """

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1


def pretrain(
    audio: Path,
    config: PretrainConfig,
    out: Path,
    name: str = "byola",
    *,
    machines: Machines = Machines(),
    probe: Callable[[Path], Mapping[str, float]] | None = None,
    start: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Pretrain an encoder; a run that was stopped goes on from its last saved state.

    `out` gets `config.yaml`, `corpus.json` (what was trained on), `metrics.csv` and `curves.png`,
    `resume.ckpt`, and `NAME.safetensors`, which is written again whenever the state is.

    Args:
        audio: a folder, a list or a tar file, see `corpus.scan`.
        config: the run.
        out: folder of the run, made if need be.
        name: of the checkpoint.
        machines: what to train on.
        probe: scores a checkpoint by task; called every `config.probe_every` steps.
        start: a checkpoint whose encoder is trained further, instead of random weights.
        say: told what goes on.

    Returns:
        Path of the checkpoint.

    Raises:
        PretrainError: see there; bad audio, another config or audio than the run in `out` was
            started with, a loss that is no number, a full disk.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, with the state saved.
    """
    _make_folder(out)
    state, checkpoint = out / STATE, out / f"{name}.safetensors"
    begun = state.is_file() or checkpoint.is_file()
    beginning = None if start is None else _read_start(start, config)
    keep_freed_memory()
    with _quiet_lightning():
        log = CurveLog(out / METRICS)
        trainer = _trainer(config, machines, out, log)
        _keep_config(config, start, out, begun)
        prepared = prepare(audio, config, out / CORPUS, _from_rank_zero(say), begun)
        mean, std = prepared.statistics.mean, prepared.statistics.std
        steps = _steps(config, prepared.source.epoch_size, trainer.world_size)
        if _is_finished(checkpoint, steps):
            _from_rank_zero(say)(f"{checkpoint} is finished")
            return checkpoint
        module = ByolTraining(config, mean, std, steps)
        if beginning is not None:
            module.online.encoder.load_state_dict(beginning.state)
            module.target.encoder.load_state_dict(beginning.state)
        writer = _Exporter(config, prepared, start)
        callbacks: list[pl.Callback] = [
            Progress(_from_rank_zero(say)),
            Curves(log, state),
            CollapseWatch(_from_rank_zero(say)),
            Memories(),
            SavedState(state, lambda trained: writer.write(trained, checkpoint)),
            Figure(out / METRICS, out / FIGURE),
        ]
        if probe is not None:
            trial = out / f".{name}-probe.safetensors"
            callbacks.append(
                Probes(probe, trial, lambda trained: writer.write(trained, trial), say)
            )
        trainer.callbacks.extend(callbacks)  # type: ignore[attr-defined]
        trainer.fit_loop.epoch_loop.max_steps = steps
        if state.is_file():
            _from_rank_zero(say)(f"going on from {state}")
        _fit(trainer, module, prepared, state)
        if not _is_finished(checkpoint, steps):
            # The process was killed when its last state was saved, and the checkpoint not yet.
            rank_zero_only(writer.write)(module, checkpoint)
    return checkpoint


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PretrainError(f"the folder {out} cannot be made ({error.strerror}).") from error


def _fit(trainer: pl.Trainer, module: ByolTraining, prepared: Prepared, state: Path) -> None:
    config = module.config

    def loader() -> object:
        positions = Positions(
            config.batch_size, trainer.global_rank, trainer.world_size, module.batches
        )
        pinned = trainer.strategy.root_device.type == "cuda"
        return batches(prepared.source, positions, config.workers, pinned)

    # Called by Lightning when the state is loaded, so that the stream begins where it stopped.
    module.train_dataloader = loader  # type: ignore[method-assign]
    try:
        trainer.fit(module, ckpt_path=state if state.is_file() else None, weights_only=True)
    # Lightning turns a KeyboardInterrupt into an exit: Ctrl-C before the first step, or twice.
    except (Interrupted, SystemExit):
        raise KeyboardInterrupt from None
    except PretrainError as error:
        # One from a process that reads audio brings its traceback along as text.
        raise PretrainError(str(error).rpartition("PretrainError: ")[2].strip()) from error


def _trainer(config: PretrainConfig, machines: Machines, out: Path, log: CurveLog) -> pl.Trainer:
    accelerator = machines.accelerator
    if accelerator == "auto" and not torch.cuda.is_available():
        accelerator = "cpu"
    devices = machines.devices
    if devices == "auto" and accelerator == "cpu":
        devices = 1
    try:
        return pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            strategy=_strategy(machines, devices),
            num_nodes=machines.nodes,
            precision=config.precision,  # type: ignore[arg-type]
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
    except (
        ValueError,
        TypeError,
        RuntimeError,
        pl.utilities.exceptions.MisconfigurationException,
    ) as error:
        raise PretrainError(
            f"cannot train with accelerator {accelerator!r}, devices {devices!r}, precision "
            f"{config.precision!r}: {error}"
        ) from error


def _strategy(machines: Machines, devices: int | str) -> str | DDPStrategy:
    if (machines.nodes == 1 and devices in (1, "1")) or not torch.distributed.is_available():
        return "auto"
    # Each process keeps a mixup memory of its own; BatchNorm's buffers are alike as they are.
    return DDPStrategy(broadcast_buffers=False)


def _loggers(config: PretrainConfig, out: Path) -> Iterator[loggers.Logger]:
    for kind, arguments in config.logger.items():
        if not hasattr(loggers, kind):
            raise PretrainError(f"logger: pytorch_lightning.loggers has no {kind!r}.")
        try:
            yield getattr(loggers, kind)(**{"save_dir": str(out), **(arguments or {})})
        except (ImportError, TypeError) as error:
            raise PretrainError(f"logger {kind}: {error}") from error


def _steps(config: PretrainConfig, epoch_size: int, ranks: int) -> int:
    """Steps of the optimiser in a run; what does not fill a last batch is left out."""
    crops = config.crops or config.epochs * epoch_size
    size = config.batch_size * config.accumulate * ranks
    if crops < size:
        raise PretrainError(
            f"the run has {crops} crops, and one step takes {size}: lower batch_size, or raise "
            "epochs or crops."
        )
    return crops // size


def _is_finished(checkpoint: Path, steps: int) -> bool:
    if not checkpoint.is_file():
        return False
    try:
        progress = read_checkpoint(checkpoint).training_config.get("progress")
    except ValueError as error:
        raise PretrainError(f"{error} Delete it, and it is written again.") from error
    return isinstance(progress, dict) and progress["step"] >= steps


def _keep_config(config: PretrainConfig, start: Path | None, out: Path, begun: bool) -> None:
    """Write the config beside the run, or refuse if the run there has another one."""
    path = out / CONFIG
    wanted = config.as_dict()
    if start is not None:
        wanted["start"] = str(start)
    fields = differing(_read_config(path), wanted) if begun and path.is_file() else []
    if fields:
        raise PretrainError(
            f"{out} holds a run with another config; {'; '.join(fields)}. Take the fields as they "
            "were to go on, or another --out."
        )
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        with replacing(path) as temporary:
            temporary.write_text(yaml.safe_dump(wanted, sort_keys=False), "utf-8")


def _read_config(path: Path) -> Mapping[str, object]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict):
        raise PretrainError(
            f"{path} is damaged: delete it, and give the run's own config, to go on."
        )
    return content


def _read_start(start: Path, config: PretrainConfig) -> Checkpoint:
    """The checkpoint to train further, if it is of the config's encoder and front end."""
    try:
        checkpoint = read_checkpoint(start)
    except (OSError, ValueError) as error:
        raise PretrainError(f"cannot start from {start}: {error}") from error
    for field in ("encoder", "d", "convention"):
        found, needed = getattr(checkpoint, field), getattr(config, field)
        if found not in (None, needed):  # a foreign checkpoint does not say its convention
            raise PretrainError(
                f"cannot start from {start}: its {field} is {found!r}, the config's {needed!r}."
            )
    return checkpoint


@dataclass(frozen=True)
class _Exporter:
    """Writes the online encoder as a checkpoint in our format."""

    config: PretrainConfig
    prepared: Prepared
    start: Path | None

    def write(self, module: ByolTraining, path: Path) -> None:
        config, statistics = self.config, self.prepared.statistics
        # Where nothing normalises in training, nothing may in use.
        plain = not (config.pre_norm or config.post_norm)
        world = module.trainer.world_size
        crops = module.global_step * config.batch_size * config.accumulate * world
        progress = {"step": module.global_step, "steps": module.steps, "crops": crops}
        origin = {"start": self.start.name} if self.start else {}
        checkpoint = Checkpoint(
            config.encoder,
            config.d,
            module.online.encoder.state_dict(),
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
            raise PretrainError(
                f"{path} could not be written ({error}); the state saved before is whole. Make "
                "room, and give the same command to go on."
            ) from error


def _from_rank_zero(say: Callable[[str], None]) -> Callable[[str], None]:
    return rank_zero_only(say)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Leave out what Lightning tells of its own defaults, which are chosen here."""
    names = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for module in ("pytorch_lightning", "lightning_fabric"):
            warnings.filterwarnings("ignore", module=module)
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
