"""Pretrain an encoder from a config and audio, or resume a stopped run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.checkpoint import Checkpoint, read_checkpoint
from hear_byola.core.errors import UserError
from hear_byola.pretraining.allocator import keep_freed_memory
from hear_byola.pretraining.byol import ByolTraining
from hear_byola.pretraining.callbacks import (
    CollapseWatch,
    Curves,
    Interrupted,
    Memories,
    Probes,
    ProgressLines,
    SavedState,
)
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.corpus import AudioCorpus
from hear_byola.pretraining.curves import draw
from hear_byola.pretraining.export import Exporter
from hear_byola.pretraining.folder import STATE, Folder
from hear_byola.pretraining.machines import Machines, make_trainer, quiet_lightning
from hear_byola.pretraining.metrics import CurveLog
from hear_byola.pretraining.precision import choose_precision
from hear_byola.pretraining.prepare import Prepared, prepare
from hear_byola.pretraining.stream import Positions, batches

__all__ = ["STATE", "Machines", "pretrain"]


def pretrain(
    audio: Path,
    config: PretrainConfig,
    out: Path,
    name: str = "byola",
    *,
    machines: Machines | None = None,
    probe: Callable[[Path], Mapping[str, float]] | None = None,
    start: Path | None = None,
    select: Callable[[AudioCorpus], AudioCorpus] = lambda corpus: corpus,
    say: Callable[[str], None] = print,
) -> Path:
    """Pretrain an encoder; a stopped run resumes from its last saved state.

    Files in `out`: `config.yaml`, `corpus.json` (the audio), `metrics.csv`, `curves.png`, and
    `resume.ckpt` and `NAME.safetensors`, which are written whenever the state is saved.

    Args:
        audio: a folder, a list or a tar file, see `corpus.scan`.
        config: config of the run.
        out: folder of the run; it is made if it does not exist.
        name: name of the checkpoint.
        machines: devices to train on; by default one CPU process, or all GPUs.
        probe: function that returns a checkpoint's scores by task; it is called every
            `config.probe_every` steps, or `config.probe_every_epochs` epochs.
        start: checkpoint to start from, instead of random weights.
        select: returns the part of the corpus to train on; by default all of it.
        say: called with messages.

    Returns:
        Path of the checkpoint.

    Raises:
        UserError: unusable audio; another config or audio than the run in `out` began with; a
            loss that is not finite; a full disk.
        KeyboardInterrupt: the run was stopped by Ctrl-C or SIGTERM; its state is saved.
    """
    folder = Folder(out, name)
    machines = machines or Machines()
    say = rank_zero_only(say)
    beginning = None if start is None else _read_start(start, config)
    with folder.claimed(), quiet_lightning():
        config = _with_precision(config, folder, machines, say)
        log = CurveLog(folder.metrics)
        trainer = make_trainer(config, machines, out, log)
        origin = {"start": str(start)} if start else {}
        begun = folder.begun()
        folder.keep_config({**config.as_dict(), "processes": trainer.world_size, **origin})
        prepared = prepare(audio, config, folder.corpus, say, begun, select)
        steps = _steps(config, prepared.source.epoch_size, trainer.world_size)
        if folder.finished(steps):
            say(f"{folder.checkpoint} is finished")
            return folder.checkpoint
        keep_freed_memory()
        module = _module(config, prepared, steps, beginning, say)
        if config.auxiliary is not None and not folder.state.is_file():
            say("fitting the head of the auxiliary task")
            module.begin_regression(prepared.source)
        export = rank_zero_only(Exporter(config, prepared, start).write)
        trainer.callbacks.extend(  # type: ignore[attr-defined]
            _callbacks(
                trainer,
                module,
                prepared,
                folder=folder,
                log=log,
                export=export,
                probe=probe,
                say=say,
            )
        )
        trainer.fit_loop.epoch_loop.max_steps = steps
        try:
            _fit(trainer, module, prepared, folder.state)
        finally:
            _tidy(folder)
        if not folder.finished(steps):
            # The process was killed after it saved its last state, before it wrote the checkpoint.
            export(module, folder.checkpoint)
    return folder.checkpoint


def _with_precision(
    config: PretrainConfig, folder: Folder, machines: Machines, say: Callable[[str], None]
) -> PretrainConfig:
    """Return the config with the precision that `auto` is here, or was when the run began."""
    if config.precision != "auto":
        return config
    chosen, reason = choose_precision(machines.kind)
    if folder.begun() and (before := folder.precision()):
        chosen, reason = before, "the run began with it"
    say(f"precision {chosen}: {reason}")
    return config.model_copy(update={"precision": chosen})


def _module(
    config: PretrainConfig,
    prepared: Prepared,
    steps: int,
    beginning: Checkpoint | None,
    say: Callable[[str], None],
) -> ByolTraining:
    """Return the module of a run at its beginning."""
    statistics = prepared.statistics
    module = ByolTraining(config, statistics.mean, statistics.std, steps)
    if beginning is not None:
        for branch in filter(None, (module.online, module.target)):
            branch.encoder.load_state_dict(beginning.state)
    if config.warmup_steps > steps:
        say(
            f"WARNING: warmup_steps is {config.warmup_steps}, and the run has {steps} steps. "
            f"The learning rate reaches only {module.learning_rate(steps - 1):.3g}, not "
            f"{config.learning_rate:.3g}."
        )
    return module


def _callbacks(
    trainer: pl.Trainer,
    module: ByolTraining,
    prepared: Prepared,
    *,
    folder: Folder,
    log: CurveLog,
    export: Callable[[ByolTraining, Path], None],
    probe: Callable[[Path], Mapping[str, float]] | None,
    say: Callable[[str], None],
) -> list[pl.Callback]:
    """Return what happens between steps, in order; a probe comes before the state is saved."""
    callbacks: list[pl.Callback] = [
        ProgressLines(say),
        Curves(log, folder),
        CollapseWatch(say),
        Memories(),
    ]
    if probe is not None:
        every = _probe_every(module.config, prepared.source.epoch_size, trainer.world_size)
        trial = folder.trial
        callbacks.append(Probes(every, probe, trial, lambda it: export(it, trial), say))
    callbacks.append(SavedState(folder, lambda trained: export(trained, folder.checkpoint), say))
    return callbacks


def _fit(trainer: pl.Trainer, module: ByolTraining, prepared: Prepared, state: Path) -> None:
    config = module.config

    def loader() -> object:
        positions = Positions(
            config.batch_size, trainer.global_rank, trainer.world_size, module.batches
        )
        pinned = trainer.strategy.root_device.type == "cuda"
        return batches(prepared.source, positions, config.workers, pinned)

    # Lightning calls it after loading the state, so the stream continues where it stopped.
    module.train_dataloader = loader  # type: ignore[method-assign]
    restored = _Restored()
    trainer.callbacks.append(restored)  # type: ignore[attr-defined]
    resumes = state.is_file()
    try:
        # A step seeds the global generators, which belong to the caller.
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            trainer.fit(module, ckpt_path=state if resumes else None, weights_only=True)
    # Lightning turns a KeyboardInterrupt (a second one, or before the first step) into an exit.
    except (Interrupted, SystemExit):
        raise KeyboardInterrupt from None
    except UserError as error:
        # An error of a worker process contains its traceback as text.
        raise UserError(str(error).rpartition("UserError: ")[2].strip()) from error
    # A state that was changed lacks parts, or has parts of other types and sizes.
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if not resumes or restored.done:
            raise
        raise UserError(
            f"{state} is not the state of this run ({type(error).__name__}: {error}). Delete it to "
            "start again."
        ) from error


class _Restored(pl.Callback):
    """Remembers whether the state has been restored, which ends before the first step."""

    done = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that training begins."""
        self.done = True


@rank_zero_only
def _tidy(folder: Folder) -> None:
    """Draw the curves and delete temporary files, however the run ended."""
    folder.trial.unlink(missing_ok=True)
    if folder.metrics.is_file():
        # A run is valid without its figure.
        with contextlib.suppress(OSError, ValueError):
            draw(folder.metrics, folder.figure)


def _steps(config: PretrainConfig, epoch_size: int, ranks: int) -> int:
    """Return the number of optimiser steps; crops that do not fill a last step are left out."""
    crops = config.crops or config.epochs * epoch_size
    size = _step_crops(config, ranks)
    if crops < size:
        raise UserError(
            f"the run has {crops} crops, but one step needs {size}. Lower batch_size, or raise "
            "epochs or crops."
        )
    return crops // size


def _probe_every(config: PretrainConfig, epoch_size: int, ranks: int) -> int:
    """Return the number of steps between quick probes."""
    if config.probe_every_epochs is None:
        return config.probe_every
    return max(1, round(config.probe_every_epochs * epoch_size / _step_crops(config, ranks)))


def _step_crops(config: PretrainConfig, ranks: int) -> int:
    return config.batch_size * config.accumulate * ranks


def _read_start(start: Path, config: PretrainConfig) -> Checkpoint:
    """Return the checkpoint to train further, if it is of the config's encoder and front end."""
    try:
        checkpoint = read_checkpoint(start)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot start from {start}: {error}") from error
    for field in ("encoder", "d", "convention"):
        found, needed = getattr(checkpoint, field), getattr(config, field)
        if found not in (None, needed):  # a foreign checkpoint does not say its convention
            raise UserError(
                f"cannot start from {start}: its {field} is {found!r}, the config's {needed!r}."
            )
    return checkpoint
