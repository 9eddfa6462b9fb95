"""Callbacks between the steps of a run: curves, saved states, stopping, quick probes."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.core.errors import UserError
from hear_byola.core.pace import Pace, duration, rough_duration
from hear_byola.pretraining.byol import ByolTraining
from hear_byola.pretraining.collapse import is_collapsed
from hear_byola.pretraining.distributed import from_all_ranks
from hear_byola.pretraining.folder import Folder
from hear_byola.pretraining.metrics import CurveLog

_LINE_EVERY = 30.0  # seconds between lines about progress
_ASK_EVERY = 8  # steps between exchanges of signals among several processes


class Interrupted(Exception):
    """The run was asked to stop, and has saved its state."""


class StepCallback(pl.Callback):
    """A callback that is called once a step of the optimiser, not once a batch."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Call `after_step` after the last batch of a step."""
        if module.batches % module.config.accumulate == 0:
            self.after_step(trainer, module, trainer.global_step)

    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Do something after the optimiser's step number `step`, from 1."""


class Curves(StepCallback):
    """Logs loss, learning rate and spread, and stops the run if the loss is not finite."""

    def __init__(self, log: CurveLog, folder: Folder) -> None:
        self.curves = log
        self.folder = folder

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Drop the rows that a stopped run logged after its last saved state."""
        self.curves.rewind(trainer.global_step)

    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Log every `log_every` steps."""
        values: dict[str, float] = {}
        if step % module.config.log_every == 0 or step == module.steps:
            self._refuse_bad_loss(module)
            values = module.take_mean_losses()
            values["lr"] = module.learning_rate(step - 1)
        for name, spread in module.take_spreads().items():
            values[f"{name}_std"] = spread.std
            values[f"{name}_rank"] = spread.effective_rank
        if values:
            for logger in trainer.loggers:
                logger.log_metrics(values, step)

    def _refuse_bad_loss(self, module: ByolTraining) -> None:
        bad = [int(step) for step in from_all_ranks(module.first_bad_step) if step >= 0]
        if bad:
            raise UserError(
                f"the loss of step {min(bad) + 1} is not a finite number. {_advice(self.folder)}"
            )


def _advice(folder: Folder) -> str:
    """Return advice on numbers that are not finite; the same command would repeat them."""
    change = "a lower learning_rate or precision 32-true may help: set them, and name another --out"
    if not folder.state.exists():
        return f"No state was saved yet; {change}."
    return (
        f"{folder.state} and {folder.checkpoint} are older and are kept; {change}, with --start "
        f"{folder.checkpoint} to start from its weights."
    )


class CollapseWatch(StepCallback):
    """Warns of a collapsed network, or stops the run if `stop_on_collapse` is set."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._told: set[str] = set()

    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Check the spreads when they are measured: communication makes all processes wait."""
        if step % module.config.monitor_every and step != module.steps:
            return
        collapsed = {
            name: f"{name} (std {spread.std:.3f}, effective rank {spread.effective_rank:.1f})"
            for name, spread in module.spreads.items()
            if is_collapsed(spread) and name not in self._told
        }
        if not module.spreads:
            return
        # All processes must stop together; otherwise the others wait forever.
        if not trainer.strategy.reduce_boolean_decision(bool(collapsed), all=False):
            return
        self._told |= collapsed.keys()
        found = ", ".join(collapsed.values()) or "in the batch of another process"
        text = f"step {step}: the network has collapsed: {found}."
        if module.config.stop_on_collapse:
            raise UserError(f"{text} The last saved state is kept.")
        meaning = " Its embeddings hardly differ between sounds." * ("embedding" in collapsed)
        self.say(f"WARNING: {text}{meaning}")


class SavedState(StepCallback):
    """Saves the state and the checkpoint every `save_every` steps, and at a signal to stop.

    Args:
        folder: folder of the run.
        export: function that writes the module's checkpoint.
        say: called with a message at a signal.
    """

    def __init__(
        self,
        folder: Folder,
        export: Callable[[ByolTraining], None],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self.export = export
        self.say = say
        self._asked = threading.Event()
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, *_: Any) -> None:
        """Install signal handlers; Lightning's own stop in the middle of a step."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._ask)

    def teardown(self, *_: Any, **__: Any) -> None:
        """Restore the signal handlers."""
        self._give_back()

    def on_exception(self, *_: Any) -> None:
        """Restore the signal handlers; Lightning does not call `teardown` then."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _ask(self, *_: Any) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt  # a second signal stops at once
        self._asked.set()
        # A signal during another print raises RuntimeError: printing is not reentrant.
        with contextlib.suppress(RuntimeError):
            self.say(
                "stopping after this step, and saving the state. A second Ctrl-C stops at once and "
                "loses the steps since the last saved state."
            )

    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Save if it is due."""
        asked = self._asked.is_set()
        if trainer.world_size > 1:
            # Communication makes all processes wait, so it is not done at every step.
            asked = step % _ASK_EVERY == 0 and trainer.strategy.reduce_boolean_decision(
                asked, all=False
            )
        due = asked or step % module.config.save_every == 0 or step == module.steps
        if due and trainer.strategy.reduce_boolean_decision(_is_sound(module)):
            trainer.save_checkpoint(self.folder.state)
            self.export(module)
        elif step == module.steps:
            raise UserError(
                f"the weights after step {step} are not finite numbers. {_advice(self.folder)}"
            )
        if asked and step < module.steps:
            raise Interrupted


def _is_sound(module: ByolTraining) -> bool:
    """Return whether loss and weights are finite; a finite loss can give infinite weights."""
    weights = torch.stack([p.detach().sum() for p in module.parameters()])
    return int(module.first_bad_step) < 0 and bool(weights.isfinite().all())


class Memories(pl.Callback):
    """Saves the mixup memory of each process; the rest of the module is equal in all."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Gather the memories; called in all processes."""
        memory = module.augment.memory
        if trainer.world_size == 1 or memory is None:
            return
        gathered = {name: from_all_ranks(part) for name, part in memory.state_dict().items()}
        checkpoint["memories"] = [
            {name: parts[rank].cpu() for name, parts in gathered.items()}
            for rank in range(trainer.world_size)
        ]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Load the memory of this process; additional processes keep that of the first."""
        memories = checkpoint.get("memories", [])
        if trainer.global_rank < len(memories) and module.augment.memory is not None:
            module.augment.memory.load_state_dict(memories[trainer.global_rank])


class Probes(StepCallback):
    """Probes the current encoder every `every` steps, and logs the scores as probe/TASK.

    Probing comes before saving the state, so a resumed run lacks no probe.
    """

    def __init__(
        self,
        every: int,
        probe: Callable[[Path], Mapping[str, float]],
        checkpoint: Path,
        export: Callable[[ByolTraining], None],
        say: Callable[[str], None],
    ) -> None:
        self.every = every
        self.probe = probe
        self.checkpoint = checkpoint
        self.export = export
        self.say = say

    @rank_zero_only
    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Probe if it is due."""
        if step % self.every and step != module.steps:
            return
        self.export(module)
        scores = self.probe(self.checkpoint)
        if not scores:
            return
        self.say(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
        for logger in trainer.loggers:
            logger.log_metrics({f"probe/{name}": value for name, value in scores.items()}, step)


class ProgressLines(StepCallback):
    """Reports where a run resumes, and its progress every half minute."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._began = 0.0
        self._pace = Pace(_LINE_EVERY)
        self._first = 0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Start the clock."""
        self._began = time.monotonic()
        self._pace.restart()
        self._first = trainer.global_step
        if self._first:
            self.say(f"resuming from step {self._first} of {module.steps}")

    @rank_zero_only
    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Report the progress if it is due."""
        if not self._pace.due() and step < module.steps:
            return
        config = module.config
        crops = config.batch_size * config.accumulate * trainer.world_size
        seconds = time.monotonic() - self._began
        done, left = step - self._first, module.steps - step
        rate = done / seconds
        told = f"{rough_duration(left / rate)} left"
        if not left:
            told = f"{done} steps in {duration(seconds)}"
        loss = float(torch.as_tensor(module.last_loss))
        self.say(f"step {step}/{module.steps}: loss {loss:.3f}, {rate * crops:.0f} crops/s, {told}")
