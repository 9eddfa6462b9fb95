"""Writes task directories in HEAR's layout; every maker of tasks writes through this module.

A directory is built in a hidden folder beside its place and renamed when it is whole. A rerun goes
on where the last one stopped.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from harness.errors import UserError
from harness.files import write_file
from tasks.locks import lock
from tasks.newtask import NewClip, NewTask, contradictions, tables
from tasks.wavs import Order, Read, write_wavs

__all__ = ["Bad", "NewClip", "NewTask", "Read", "refuse_bad", "write_task"]

PLAN = ".plan"
"""File of a task directory that holds the hash of what it was written from."""

_FORMAT = "1"  # changed whenever the same plan is to give other files
_SHOWN = 10


def _silent(_: str) -> None:
    pass


Bad = Sequence[tuple[str, str]]
"""The name of each clip that cannot be used, and the reason."""


def refuse_bad(bad: Bad, cure: str = "Mend or leave them out") -> NoReturn:
    """Raise the error for clips that cannot be used."""
    shown = [f"{name}: {reason}" for name, reason in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        shown.append(f"and {len(bad) - _SHOWN} more, named above")
    count = "1 clip" if len(bad) == 1 else f"{len(bad)} clips"
    first = f"{count} cannot be used. {cure}, and run again: the others are kept."
    raise UserError("\n  ".join([first, *shown]))


def write_task(
    task: NewTask,
    tasks_dir: Path,
    read: Read,
    *,
    rates: Sequence[int],
    jobs: int = 1,
    say: Callable[[str], None] = _silent,
    without: Callable[[Bad], NewTask] = refuse_bad,
) -> Path:
    """Write a task directory, or finish one that was begun, and return its path.

    The tables are written last. A task that is there already, made from the same plan, is left as
    it is; an unfinished one of another plan is begun anew.

    Args:
        task: what to write.
        tasks_dir: folder that the directory is made in.
        read: gives the sound of a clip's source (:data:`tasks.wavs.Read`).
        rates: sample rates in Hz, each with a folder of its own.
        jobs: processes that work side by side.
        say: told how far it is, and what is odd.
        without: returns what the task is without clips that cannot be used, maybe with a longer
            name, or refuses.

    Raises:
        UserError: the plan contradicts itself; another task has the directory's name; another
            process is writing it; a clip cannot be used (all others are written before, and every
            such clip is named); the folder cannot be written.
    """
    _refuse_contradictions(task, rates)
    unfinished = tasks_dir / f".{task.directory}.unfinished"
    plan = _fingerprint(task, read, rates)
    renamed = without is not refuse_bad
    try:
        if there := _made_before(task, tasks_dir, plan, say, renamed):
            return there
        with _claimed(unfinished):
            if there := _made_before(task, tasks_dir, plan, say, renamed):
                # By another process just now.
                with contextlib.suppress(FileNotFoundError):
                    unfinished.rmdir()
                return there
            _make_ready(unfinished, plan, say)
            bad = _write_clips(task, unfinished, read, rates, jobs, say)
            if bad:
                task = without(bad)
                _refuse_contradictions(task, rates)
                _made_before(task, tasks_dir, plan, say)  # refuses what is there
            final = tasks_dir / task.directory
            for name, content in tables(task).items():
                write_file(unfinished / name, content)
            os.sync()
            unfinished.rename(final)
    except OSError as error:
        raise UserError(
            f"{error.filename or tasks_dir} cannot be written ({error.strerror})."
        ) from error
    return final


def _fingerprint(task: NewTask, read: Read, rates: Sequence[int]) -> str:
    digest = hashlib.sha256(f"{_FORMAT}\n{read.__module__}.{read.__qualname__}\n".encode())
    digest.update(f"{sorted(rates)}\n".encode())
    for content in tables(task).values():
        digest.update(content.encode())
    for clip in task.clips:
        digest.update(f"\n{clip.source!r}".encode())
    return digest.hexdigest()


def _refuse_contradictions(task: NewTask, rates: Sequence[int]) -> None:
    if problems := list(contradictions(task, rates)):
        shown = problems[:_SHOWN]
        if len(problems) > _SHOWN:
            shown.append(f"and {len(problems) - _SHOWN} more")
        raise UserError("\n  ".join([f"{task.directory} cannot be written:", *shown]))


def _made_before(
    task: NewTask, tasks_dir: Path, plan: str, say: Callable[[str], None], renamed: bool = False
) -> Path | None:
    """Return the directory that was made from the plan; refuse one made from something else.

    ``renamed``: its name may have become longer, when clips were left out.
    """
    final = tasks_dir / task.directory
    places = [final]
    if renamed:
        rest = task.directory.removeprefix(task.task_name)
        places += sorted(tasks_dir.glob(f"{glob.escape(task.task_name)}*{glob.escape(rest)}"))
    if made := next((place for place in places if _plan_of(place) == plan), None):
        say(f"{made} is there already.")
        return made
    if final.exists():
        raise UserError(
            f"{final} is there already, made from something else. Delete it, or give the new task "
            "another name or version."
        )
    return None


def _plan_of(directory: Path) -> str:
    try:
        return (directory / PLAN).read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes out of it until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        taken = not lock(handle)
        with contextlib.suppress(FileNotFoundError):  # renamed by a process that just finished
            taken |= not os.path.samestat(os.fstat(handle), folder.stat())
        if taken:
            raise UserError(f"Another process is writing {folder}: wait for it to end.")
        yield
    finally:
        os.close(handle)


def _make_ready(unfinished: Path, plan: str, say: Callable[[str], None]) -> None:
    """Leave in the folder what an earlier try at the same plan wrote, and nothing else."""
    begun = _plan_of(unfinished)
    if begun == plan:
        say(f"going on with {unfinished}")
        for part in unfinished.glob("*/*/.*"):
            part.unlink()
        return
    if begun:
        say(f"{unfinished} was begun from something else: beginning anew.")
    for entry in unfinished.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    write_file(unfinished / PLAN, plan + "\n")


def _write_clips(
    task: NewTask,
    folder: Path,
    read: Read,
    rates: Sequence[int],
    jobs: int,
    say: Callable[[str], None],
) -> Bad:
    """Write what is missing; return what cannot be used."""
    for rate in rates:
        for split in task.splits:
            (folder / str(rate) / split).mkdir(parents=True, exist_ok=True)
    orders = [
        Order(
            clip.name,
            clip.source,
            tuple((rate, folder / str(rate) / clip.split / clip.name) for rate in rates),
        )
        for clip in task.clips
    ]
    outcome = write_wavs(orders, read, task.clip_seconds, jobs=jobs, say=say)
    if outcome.kept:
        say(f"{outcome.kept} files were there already, {outcome.written} are new")
    if outcome.clipped:
        say(
            f"{len(outcome.clipped)} clips were louder than full scale and are clipped, "
            f"'{outcome.clipped[0]}' for one"
        )
    return outcome.bad
