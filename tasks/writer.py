"""Writes task directories in HEAR's layout; every maker of tasks writes through this module.

A directory is built in a hidden folder beside its place and renamed when it is whole. A rerun goes
on where the last one stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.errors import UserError
from harness.files import write_file
from tasks.newtask import NewClip, NewTask, contradictions, tables
from tasks.wavs import Order, Outcome, Read, write_wavs

__all__ = ["NewClip", "NewTask", "Read", "write_task"]

PLAN = ".plan"
"""File of a task directory that holds the hash of what it was written from."""

_FORMAT = "1"  # changed whenever the same plan is to give other files
_SHOWN = 10


def _silent(_: str) -> None:
    pass


def write_task(
    task: NewTask,
    tasks_dir: Path,
    read: Read,
    *,
    rates: Sequence[int],
    jobs: int = 1,
    say: Callable[[str], None] = _silent,
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

    Raises:
        UserError: the plan contradicts itself; another task has the directory's name; another
            process is writing it; a clip cannot be read (all others are written before, and every
            such clip is named); the folder cannot be written.
    """
    if problems := list(contradictions(task, rates)):
        shown = problems[:_SHOWN]
        if len(problems) > _SHOWN:
            shown.append(f"and {len(problems) - _SHOWN} more")
        raise UserError("\n  ".join([f"{task.directory} cannot be written:", *shown]))
    final = tasks_dir / task.directory
    unfinished = tasks_dir / f".{task.directory}.unfinished"
    plan = _fingerprint(task, read, rates)
    try:
        if _is_there(final, plan, say):
            return final
        with _claimed(unfinished):
            if _is_there(final, plan, say):  # finished by another process just now
                with contextlib.suppress(FileNotFoundError):
                    unfinished.rmdir()
                return final
            _make_ready(unfinished, plan, say)
            _write_clips(task, unfinished, read, rates, jobs, say)
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


def _is_there(final: Path, plan: str, say: Callable[[str], None]) -> bool:
    if not final.exists():
        return False
    if _plan_of(final) == plan:
        say(f"{final} is there already.")
        return True
    raise UserError(
        f"{final} is there already, made from something else. Delete it, or give the new task "
        "another name or version."
    )


def _plan_of(directory: Path) -> str:
    try:
        return (directory / PLAN).read_text("utf-8").strip()
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes out of it until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        taken = not _lock(handle)
        with contextlib.suppress(FileNotFoundError):  # renamed by a process that just finished
            taken |= not os.path.samestat(os.fstat(handle), folder.stat())
        if taken:
            raise UserError(f"Another process is writing {folder}: wait for it to end.")
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


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
) -> None:
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
    _refuse_bad(outcome)


def _refuse_bad(outcome: Outcome) -> None:
    if not outcome.bad:
        return
    shown = [f"{name}: {reason}" for name, reason in outcome.bad[:_SHOWN]]
    if len(outcome.bad) > _SHOWN:
        shown.append(f"and {len(outcome.bad) - _SHOWN} more, named above")
    first = (
        f"{len(outcome.bad)} clips cannot be used. Mend or leave them out, and run again: the "
        "others are kept."
    )
    raise UserError("\n  ".join([first, *shown]))
