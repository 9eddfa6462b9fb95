"""What happens between the steps of a run: curves, saved states, stopping, quick probes."""

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

from hear_byola.errors import UserError
from hear_byola.pretraining.byol import ByolTraining
from hear_byola.pretraining.collapse import is_collapsed
from hear_byola.pretraining.distributed import from_all_ranks
from hear_byola.pretraining.folder import Folder
from hear_byola.pretraining.metrics import CurveLog

_LINE_EVERY = 30.0  # seconds between lines about progress
_ASK_EVERY = 8  # steps after which several processes tell each other of a signal


class Interrupted(Exception):
    """The run was asked to stop, and has saved where it is."""


class StepCallback(pl.Callback):
    """A callback that is called once a step of the optimiser, not once a batch."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Tell steps from batches."""
        if module.batches % module.config.accumulate == 0:
            self.after_step(trainer, module, trainer.global_step)

    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """The optimiser has taken `step` steps."""


class Curves(StepCallback):
    """Logs loss, learning rate and spread, and refuses to go on with a loss that is no number."""

    def __init__(self, log: CurveLog, folder: Folder) -> None:
        self.curves = log
        self.folder = folder

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Drop what a stopped run has logged after its last saved state."""
        self.curves.rewind(trainer.global_step)

    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Log at every `log_every` steps."""
        values: dict[str, float] = {}
        if step % module.config.log_every == 0 or step == module.steps:
            self._refuse_bad_loss(module)
            values["loss"] = module.take_mean_loss()
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
    """What to do about numbers that are not finite, which the same command would bring again."""
    change = "a lower learning_rate or precision 32-true may help: set them, and name another --out"
    if not folder.state.exists():
        return f"No state was saved yet; {change}."
    return (
        f"{folder.state} and {folder.checkpoint} are from before and are kept; {change}, with "
        f"--start {folder.checkpoint} to begin from its weights."
    )


class CollapseWatch(StepCallback):
    """Warns of a collapsed network, and stops where the config says so."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._told = False

    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Look at the spreads where they were measured; asking the others makes all wait."""
        if step % module.config.monitor_every and step != module.steps:
            return
        collapsed = [
            f"{name} (std {spread.std:.3f}, effective rank {spread.effective_rank:.1f})"
            for name, spread in module.spreads.items()
            if is_collapsed(spread)
        ]
        if not module.spreads or self._told:
            return
        # All processes stop together: one alone would leave the others waiting.
        if not trainer.strategy.reduce_boolean_decision(bool(collapsed), all=False):
            return
        self._told = True
        found = ", ".join(collapsed) or "in the batch of another process"
        text = f"step {step}: the network has collapsed: {found}."
        if module.config.stop_on_collapse:
            raise UserError(f"{text} The state saved before is kept.")
        self.say(f"WARNING: {text} Its embeddings hardly tell sounds apart.")


class SavedState(StepCallback):
    """Saves what a run resumes from, and the checkpoint as it is, every `save_every` steps.

    Also at a signal, which ends the run between two steps.

    Args:
        folder: of the run.
        export: writes the checkpoint, from the module.
        say: told at once of a signal.
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
        """Take the signals over; Lightning's own handlers stop in the middle of a step."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._ask)

    def teardown(self, *_: Any, **__: Any) -> None:
        """Give the signals back."""
        self._give_back()

    def on_exception(self, *_: Any) -> None:
        """Give the signals back; Lightning tears nothing down then."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _ask(self, *_: Any) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt  # asked twice: at once
        self._asked.set()
        # The signal may come while another line is being written, which cannot be entered again.
        with contextlib.suppress(RuntimeError):
            self.say(
                "stopping after this step, and saving the state. A second Ctrl-C stops at once and "
                "loses the steps since the last saved state."
            )

    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Save when it is time."""
        asked = self._asked.is_set()
        if trainer.world_size > 1:
            # Asking the others makes all wait: now and then will do.
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
    """Whether a run may go on from here: a loss that is a number can leave weights that are not."""
    weights = torch.stack([p.detach().sum() for p in module.parameters()])
    return int(module.first_bad_step) < 0 and bool(weights.isfinite().all())


class Memories(pl.Callback):
    """Saves the mixup memory of each process; the rest of the module is alike in all of them."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Gather them; called in all processes."""
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
        """Each process takes its own; one that is new keeps the first one's."""
        memories = checkpoint.get("memories", [])
        if trainer.global_rank < len(memories) and module.augment.memory is not None:
            module.augment.memory.load_state_dict(memories[trainer.global_rank])


class Probes(StepCallback):
    """Quick probes of the encoder as it is, every so many steps, logged as probe/TASK.

    They come before the state is saved, so that none that was due is missing after a stop.
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
        """Probe when it is time."""
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
    """Says where a resumed run goes on, and every half minute how far the run is."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._began = self._last = 0.0
        self._first = 0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Start the clock."""
        self._began = self._last = time.monotonic()
        self._first = trainer.global_step
        if self._first:
            self.say(f"going on from step {self._first} of {module.steps}")

    @rank_zero_only
    def after_step(self, trainer: pl.Trainer, module: ByolTraining, step: int) -> None:
        """Say a line when it is time."""
        now = time.monotonic()
        if now - self._last < _LINE_EVERY and step < module.steps:
            return
        self._last = now
        config = module.config
        crops = config.batch_size * config.accumulate * trainer.world_size
        rate = (step - self._first) / (now - self._began)
        left = (module.steps - step) / rate
        loss = float(torch.as_tensor(module.last_loss))
        self.say(
            f"step {step}/{module.steps}: loss {loss:.3f}, {rate * crops:.0f} crops/s, "
            f"{_duration(left)} left"
        )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
