"""Checks before any work starts: names, seeds, protocols, and the tables and audio of tasks."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from harness import probe
from harness.core.errors import UserError
from harness.core.memory import FileMemory
from harness.probe import Protocol
from tasks.check import Finding, check_task
from tasks.format.groups import misfit
from tasks.format.task import Task, TaskSource

Say = Callable[[str], None]
"""Called with a sentence on each step that takes time, and on each thing left out."""


def find_protocols(names: Sequence[str]) -> list[Protocol]:
    """Return the protocols with these names.

    Raises:
        UserError: a name is unknown.
    """
    return [probe.find_protocol(name) for name in dict.fromkeys(names)]


def with_shots(names: Sequence[str], shots: Sequence[int | None]) -> tuple[str, ...]:
    """Return the names of protocols with each number of training clips of each label.

    Args:
        names: of protocols; few-shot ones keep their shots.
        shots: the numbers; None for all clips.

    Raises:
        UserError: a name is unknown, or a number of shots is below one.
    """
    for number in shots:
        if number is not None and number < 1:
            raise UserError(f"Shots must be whole numbers from 1 on, or `all`, not {number}.")
    return tuple(
        protocol.name if number is None else probe.few_shot(protocol, number).name
        for protocol in find_protocols(names)
        for number in (shots if protocol.shots is None else (None,))
    )


def seeds_of(protocols: Sequence[Protocol], seeds: int, draws: int) -> dict[str, int]:
    """Return the number of seeds of each protocol: ``draws`` of few-shot ones, else ``seeds``.

    Raises:
        UserError: there are too few seeds or draws.
    """
    if seeds < 1:
        raise UserError(f"--seeds must be 1 or more, not {seeds}.")
    if draws < 2 and any(protocol.shots is not None for protocol in protocols):
        raise UserError(
            f"--draws must be 2 or more, not {draws}: intervals include the variance of draws."
        )
    return {each.name: seeds if each.shots is None else draws for each in protocols}


def check_names(pairs: Sequence[tuple[str, str]]) -> None:
    """Refuse equal pairs of model label and task name, which a table could not distinguish.

    Raises:
        UserError: two pairs are equal; the first one is named.
    """
    twice = [pair for pair in pairs if pairs.count(pair) > 1]
    if twice:
        model, task = twice[0]
        raise UserError(
            f"The pair of model '{model}' and task '{task}' occurs twice: two models or two task "
            "directories have the same name. Give the models different names (-m "
            "MODULE,name=NAME), and each task once."
        )


def check_protocols(
    protocols: Sequence[Protocol], tasks: Sequence[Task], say: Say
) -> dict[str, tuple[str, ...]]:
    """Check tasks against protocols, and report the tasks that a protocol does not support.

    Returns:
        The names of the tasks that each protocol does not support; protocols that support all
        tasks are left out.

    Raises:
        UserError: no protocol supports any of the tasks, or a task cannot be probed; one line for
            each.
    """
    refusals: list[str] = []
    faults: list[str] = []
    unsupported: dict[str, tuple[str, ...]] = {}
    for protocol in protocols:
        for task in tasks:
            able = probe.supports(protocol, task)
            if not able:
                unsupported[protocol.name] = (*unsupported.get(protocol.name, ()), task.name)
            try:
                probe.check_supported(protocol, task)
            except UserError as error:
                (faults if able else refusals).append(str(error))
    if not faults and len(refusals) == len(protocols) * len(tasks):
        faults = refusals
    if faults:
        raise UserError("\n".join(dict.fromkeys(faults)))
    for name, left_out in unsupported.items():
        say(f"left out, not supported by the protocol {name}: {', '.join(left_out)}")
    return unsupported


def check_tables(sources: Sequence[TaskSource]) -> Sequence[TaskSource]:
    """Check the tables of tasks, and return the tasks.

    Raises:
        UserError: every error of every task, one per line.
    """
    _refuse(
        _line(source.directory, finding)
        for source in sources
        for finding in check_task(source.directory, audio=False)
        if finding.severity == "error"
    )
    return sources


def check_audio(
    sources: Sequence[TaskSource], sample_rate: int, memory: FileMemory, *, skip_bad: bool
) -> list[TaskSource]:
    """Check the audio that a model of ``sample_rate`` gets; return the tasks.

    A file that ``memory`` lists as good is not decoded again while it is unchanged. With
    ``skip_bad``, bad clips are left out of the returned tasks.

    Raises:
        UserError: every error of every task, one per line.

    Warns:
        UserWarning: every warning of every task.
    """
    errors, kept, curable = [], [], False
    for source in sources:
        skipped: dict[str, set[str]] = {}
        for finding in check_task(source.directory, sample_rate, memory=memory):
            if finding.severity != "error":
                warnings.warn(_line(source.directory, finding), stacklevel=2)
                continue
            curable |= bool(finding.clip)
            if skip_bad and finding.clip:
                skipped.setdefault(finding.split, set()).add(finding.clip)
            else:
                errors.append(_line(source.directory, finding))
        names = {split: tuple(sorted(clips)) for split, clips in skipped.items()}
        kept.append(dataclasses.replace(source, skipped=names))
    with contextlib.suppress(OSError):  # if not saved, the next run checks all audio again
        memory.save()
    if curable and not skip_bad:
        errors.append("To leave out the clips with bad audio, use --skip-bad.")
    _refuse(errors)
    return kept


def tell_ungrouped(tasks: Iterable[Task]) -> None:
    """Warn of each task with a clip whose name does not match the card's pattern of groups.

    Warns:
        UserWarning: naming the clip.
    """
    for task in tasks:
        if task.ungrouped:
            warnings.warn(f"{task.name}: {misfit(task.ungrouped)}", stacklevel=2)


def _line(directory: Path, finding: Finding) -> str:
    where = directory.name + (f"/{finding.file}" if finding.file else "")
    return f"{where}: {finding.reason}"


def _refuse(errors: Iterable[str]) -> None:
    lines = list(errors)
    if lines:
        raise UserError("\n  ".join(["The tasks cannot be used:", *lines]))
