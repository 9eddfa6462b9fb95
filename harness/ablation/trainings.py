"""Run the trainings of a study, each in its own process, one at a time on each device.

A training that has finished leaves ``trained.json`` in its folder. Its own process returns all
memory, can crash without harm to others, and can be asked to stop. Its output goes to ``log.txt``.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from harness.core.errors import UserError
from harness.core.files import write_file
from harness.core.lease import lease
from harness.core.processes import KILL, end_with_parent, ending
from hear_byola.core import jsontext

RECORD = "trained.json"
LOG = "log.txt"
_DIED = "its process died"
# Seconds that a training has to save its state after it was asked to stop.
_GRACE = 60.0
# Seconds between checks of a training that another process holds.
_POLL = 2.0


@dataclass(frozen=True, eq=False)
class Training:
    """One arm with one seed.

    Attributes:
        name: name of the trained model.
        source: the audio.
        config: all fields of the trainer's config.
        out: the folder of the training.
    """

    name: str
    source: Path
    config: Mapping[str, object]
    out: Path


Say = Callable[[str], None]
Pretrain = Callable[[Training, str, Say], Path]
"""Trains on a device, or resumes a stopped training; returns the checkpoint.

A new process must be able to import it. It raises UserError for a user's mistake, and
KeyboardInterrupt after it was asked to stop (SIGTERM) and has saved its state. ``Say`` gets lines
on the progress.
"""


def finished(
    training: Training, differing: Callable[[Mapping, Mapping], Sequence[str]]
) -> Path | None:
    """Return the checkpoint of a finished training, or None.

    Args:
        training: the training.
        differing: returns the fields by which two configs give different weights, in words.

    Raises:
        UserError: it was trained with another config, or its record cannot be read.
    """
    path = training.out / RECORD
    try:
        record = jsontext.load(path.read_text("utf-8"))
        checkpoint, config = training.out / record["checkpoint"], dict(record["config"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and train again.") from error
    changes = list(differing(config, training.config))
    if changes:
        raise UserError(
            f"{training.out} was trained with another config ({'; '.join(changes)}): name another "
            "--out, or delete that folder."
        )
    return checkpoint if checkpoint.is_file() else None


def train(
    trainings: Sequence[Training],
    pretrain: Pretrain,
    say: Say,
    devices: Sequence[str],
) -> dict[Training, str]:
    """Run all trainings, one at a time on each device; return the errors of those that failed.

    A failed training does not stop the others. A training that another process holds is waited
    for. After an interrupt, running trainings are asked to stop and have a minute to save their
    state.
    """
    waiting = deque((training, 0.0) for training in trainings)
    free = deque(devices)
    running: list[_Running] = []
    failures: dict[Training, str] = {}
    try:
        while waiting or running:
            while free and waiting and waiting[0][1] <= time.monotonic():
                running.append(_Running(waiting.popleft()[0], pretrain, free.popleft(), devices))
            ready = [end for each in running for end in each.ends()]
            multiprocessing.connection.wait(ready, timeout=_POLL)
            for each in [each for each in running if not each.goes_on(say)]:
                running.remove(each)
                free.append(each.device)
                if each.elsewhere:
                    if not (each.training.out / RECORD).is_file():
                        waiting.append((each.training, time.monotonic() + _POLL))
                elif each.error is not None:
                    failures[each.training] = each.error
                    say(f"FAILED    {each.training.name}: {each.error}")
                else:
                    say(f"trained   {each.training.name}")
    finally:
        _stop(running)
    return failures


class _Running:
    """A training process and its outcome."""

    def __init__(
        self, training: Training, pretrain: Pretrain, device: str, devices: Sequence[str]
    ) -> None:
        self.training = training
        self.device = device
        self.elsewhere = False
        self.error: str | None = _DIED
        # Spawned, because a forked child of a process that used CUDA or OpenMP may hang.
        context = multiprocessing.get_context("spawn")
        self._receiver, sender = context.Pipe(duplex=False)
        self.process: SpawnProcess = context.Process(
            target=_work,
            args=(sender, pretrain, training, device, len(devices), os.getpid()),
            name=training.name,
        )
        self.process.start()
        sender.close()

    def ends(self) -> list:
        """Return what becomes ready at a message or at the end of the process."""
        return [self._receiver, self.process.sentinel]

    def goes_on(self, say: Callable[[str], None]) -> bool:
        """Read its messages; return whether it is still running."""
        alive = self.process.is_alive()
        try:
            while self._receiver.poll():
                kind, text = self._receiver.recv()
                self._hear(kind, text, say)
        except EOFError:
            self.process.join(_GRACE)
            alive = self.process.is_alive()
        if alive:
            return True
        self.process.join()
        code = self.process.exitcode or 0
        if code and self.error == _DIED:
            hint = "Is memory short? " if code == -KILL else ""
            log = self.training.out / LOG
            self.error = f"its process {ending(code)}. {hint}What it printed is in {log}."
        return False

    def _hear(self, kind: str, text: str, say: Callable[[str], None]) -> None:
        if kind == "said":
            say(f"{self.training.name}: {text}")
        elif kind == "elsewhere":
            self.elsewhere = True
        elif kind == "done":
            self.error = None
        else:
            self.error = text


def _stop(running: Sequence[_Running]) -> None:
    for each in running:
        each.process.terminate()
    until = time.monotonic() + _GRACE
    for each in running:
        each.process.join(max(0.0, until - time.monotonic()))
        if each.process.is_alive():
            each.process.kill()
            each.process.join()


def _work(
    sender: Connection,
    pretrain: Pretrain,
    training: Training,
    device: str,
    at_once: int,
    parent: int,
) -> None:
    """Train, and send messages to the parent; the main function of the process."""
    # The parent handles an interrupt of the terminal and asks this process to stop.
    os.setpgrp()
    signal.signal(signal.SIGTERM, _interrupt)
    end_with_parent(parent, signal.SIGTERM)
    training.out.mkdir(parents=True, exist_ok=True)
    _print_to(training.out / LOG)
    import torch

    def tell(kind: str, text: str = "") -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent is gone; the training goes on
            sender.send((kind, text))

    torch.set_num_threads(max(1, torch.get_num_threads() // at_once))
    try:
        with lease(training.out) as mine:
            if not mine:
                tell("elsewhere")
                return
            checkpoint = pretrain(training, device, lambda text: tell("said", text))
            record = {
                "checkpoint": os.path.relpath(checkpoint, training.out),
                "config": dict(training.config),
                "audio": str(training.source.resolve()),
            }
            write_file(training.out / RECORD, json.dumps(record, indent=1) + "\n")
        tell("done")
    except KeyboardInterrupt:
        tell("failed", "it was stopped; what it saved is kept")
    except UserError as error:
        tell("failed", str(error))
    except Exception as error:  # one failed training must not stop the others
        traceback.print_exc()
        where = f"traceback in {training.out / LOG}"
        tell("failed", f"{type(error).__name__}: {error} ({where})")


def _interrupt(*_: object) -> None:
    signal.alarm(round(_GRACE))  # ends the process if it is still there
    raise KeyboardInterrupt


def _print_to(path: Path) -> None:
    """Append the output of this process and its children to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
