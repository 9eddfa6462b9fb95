"""Trainings of a study, each in a process of its own, several at once where devices allow.

A training leaves ``trained.json`` in its folder when it has ended well: that is what makes it
done. A process of its own gives all memory back, dies alone, and can be asked to stop. What it
prints goes to ``log.txt``; what it says, to whoever started the study.
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
from typing import Protocol

from harness.core.errors import UserError
from harness.core.files import write_file
from harness.core.lease import lease
from harness.core.processes import KILL, end_with_parent, ending

RECORD = "trained.json"
LOG = "log.txt"
_DIED = "its process died"
# How long a training may take to save its state when it is asked to stop, in seconds.
_GRACE = 60.0
# How long to leave a training alone that another process is at, in seconds.
_POLL = 2.0


@dataclass(frozen=True, eq=False)
class Training:
    """One arm with one seed.

    Attributes:
        name: of the model that comes of it.
        source: the audio.
        config: every field of the trainer's config.
        out: its folder.
    """

    name: str
    source: Path
    config: Mapping[str, object]
    out: Path


class Pretrain(Protocol):
    """What trains: a function that a new process can import."""

    def __call__(
        self,
        source: Path,
        config: Mapping[str, object],
        out: Path,
        *,
        name: str,
        device: str,
        say: Callable[[str], None],
    ) -> Path:
        """Train, or go on with what was stopped; return the checkpoint.

        Raises:
            UserError: what the user can mend.
            KeyboardInterrupt: it was asked to stop (SIGTERM), and has saved its state.
        """
        ...


def finished(
    training: Training, differing: Callable[[Mapping, Mapping], Sequence[str]]
) -> Path | None:
    """Return the checkpoint of a training that is done, else None.

    Args:
        training: which.
        differing: the fields in which two configs would give other weights, in words.

    Raises:
        UserError: it was done with another config, or its record cannot be read.
    """
    path = training.out / RECORD
    try:
        record = json.loads(path.read_text("utf-8"))
        checkpoint, config = training.out / record["checkpoint"], record["config"]
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
    devices: Sequence[str],
    say: Callable[[str], None],
) -> dict[Training, str]:
    """Train all, one a device at a time, and return why those that failed did.

    A training that fails stops nothing else. One that another process is at is waited for. On an
    interrupt the running ones are asked to stop, and given a minute to save their state.
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
    """A process that trains, and what came of it."""

    def __init__(
        self, training: Training, pretrain: Pretrain, device: str, devices: Sequence[str]
    ) -> None:
        self.training = training
        self.device = device
        self.elsewhere = False
        self.error: str | None = _DIED
        # Spawned, since a forked child of a process that used CUDA or OpenMP may hang.
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
        """What becomes ready when there is something to hear, or the process has ended."""
        return [self._receiver, self.process.sentinel]

    def goes_on(self, say: Callable[[str], None]) -> bool:
        """Hear what it says; return whether it still works."""
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
    """What the process does: train, and tell how it went."""
    # An interrupt of the terminal is for the parent, which asks this process to stop.
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
            checkpoint = pretrain(
                training.source,
                training.config,
                training.out,
                name=training.name,
                device=device,
                say=lambda text: tell("said", text),
            )
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
    except Exception as error:
        traceback.print_exc()
        where = f"traceback in {training.out / LOG}"
        tell("failed", f"{type(error).__name__}: {error} ({where})")


def _interrupt(*_: object) -> None:
    signal.alarm(round(_GRACE))  # ends the process if it is still there
    raise KeyboardInterrupt


def _print_to(path: Path) -> None:
    """Let all that this process and its children print be appended to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
