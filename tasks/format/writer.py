"""Write task directories in HEAR's layout; every command that makes tasks uses this module.

A directory is written in a hidden folder beside its destination and renamed when it is complete.
A rerun resumes where the last one stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from harness.core.counts import first_of, plural
from harness.core.errors import UserError
from harness.core.files import move_directory, write_file
from hear_byola.core.locks import claimed
from tasks.format.newtask import NewTask, contradictions, tables
from tasks.format.provenance import (
    PLAN,
    Provenance,
    differences,
    made_before,
    provenance,
    store_provenance,
    stored_provenance,
)
from tasks.format.wavs import Read, WavOrder, write_wavs

LEFT_OUT = "left_out"
"""Key of the metadata that lists the recordings left out because they could not be read."""

_SHOWN = 10
_LOWEST_RATE = 8000


Bad = Sequence[tuple[str, str]]
"""The name of each clip that cannot be used, and the reason."""


def refuse_bad(bad: Bad, cure: str = "Correct or remove them") -> NoReturn:
    """Raise the error for clips that cannot be used."""
    shown = [f"{name}: {reason}" for name, reason in bad]
    count = plural(len(bad), "clip")
    first = f"{count} cannot be used. {cure}, and run again: the other clips are kept."
    raise UserError("\n  ".join([first, *shown]))


def names_left_out(bad: Bad, say: Callable[[str], None], *, skip: bool, cure: str) -> set[str]:
    """Return the names of clips that are left out, and report each with its reason.

    Raises:
        UserError: ``skip`` is not set; ``cure`` is the advice.
    """
    if not skip:
        refuse_bad(bad, cure)
    for name, reason in bad:
        say(f"left out: {name}: {reason}")
    return {name for name, _ in bad}


def check_rates(rates: Sequence[int]) -> None:
    """Raise UserError if a sample rate in Hz is too low, which is probably a typing error."""
    if low := [rate for rate in rates if rate < _LOWEST_RATE]:
        raise UserError(
            f"--sample-rate {low[0]} is too low: the lowest allowed rate is {_LOWEST_RATE} Hz. "
            "HEAR's models take 16000, 22050, 32000, 44100 or 48000 Hz."
        )


def write_task(
    task: NewTask,
    tasks_dir: Path,
    read: Read,
    *,
    rates: Sequence[int],
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
    without: Callable[[Bad], NewTask] = refuse_bad,
    seconds: float | None = None,
    elsewhere: str = "give the new task a different name or version",
) -> Path:
    """Write a task directory, or finish an incomplete one, and return its path.

    The tables are written last. An existing task that was made from the same plan is not changed.
    If an incomplete directory was begun from a different plan, clips with the same sound are kept.

    Args:
        task: the task to write.
        tasks_dir: folder in which the directory is made.
        read: returns the sound of a clip's source (:data:`tasks.format.wavs.Read`).
        rates: sample rates in Hz; each has its own folder.
        jobs: number of worker processes.
        say: called with progress messages and warnings.
        without: takes the clips that cannot be used and returns the task without them, possibly
            under a longer name, or raises.
        seconds: total length of all clips, if their lengths differ.
        elsewhere: advice for a user who wants to keep an existing task of the same name.

    Raises:
        UserError: the plan contradicts itself; a different task has the directory's name; another
            process is writing it; a clip cannot be used (all others are written first, and every
            such clip is named); the disk is too small, or the folder cannot be written.
    """
    _refuse_contradictions(task, rates)
    unfinished = tasks_dir / f".{task.name}.unfinished"
    plan = provenance(task, read, rates)
    renamed = without is not refuse_bad
    try:
        if there := made_before(task, tasks_dir, plan, say, elsewhere, renamed):
            return there
        _refuse_small_disk(task, tasks_dir, unfinished, rates, seconds)
        with claimed(unfinished) as mine:
            if not mine:
                raise UserError(f"Another process is writing {unfinished}. Wait for it to end.")
            if there := made_before(task, tasks_dir, plan, say, elsewhere, renamed):
                return there  # another process has just made it
            unfinished.mkdir(parents=True, exist_ok=True)
            _make_ready(unfinished, task, plan, say)
            bad = _write_clips(task, unfinished, read, rates, jobs, say)
            if bad:
                task = without(bad)
                _refuse_contradictions(task, rates)
                # The new name may belong to a different task, which this refuses.
                made_before(task, tasks_dir, plan, say, elsewhere)
            final = tasks_dir / task.name
            for name, content in tables(task).items():
                write_file(unfinished / name, content)
            move_directory(unfinished, final)
    except OSError as error:
        raise UserError(
            f"{error.filename or tasks_dir} cannot be written ({error.strerror})."
        ) from error
    return final


def _refuse_contradictions(task: NewTask, rates: Sequence[int]) -> None:
    if problems := list(contradictions(task, rates)):
        first = f"{task.name} cannot be written:"
        raise UserError("\n  ".join([first, *first_of(problems, _SHOWN)]))


def _refuse_small_disk(
    task: NewTask, tasks_dir: Path, unfinished: Path, rates: Sequence[int], seconds: float | None
) -> None:
    """Raise UserError if the disk is too small for the task."""
    if task.sample_duration is not None:
        seconds = task.sample_duration * len(task.clips)
    if seconds is None:
        return
    needed = sum(round(seconds * rate) * 2 for rate in rates)
    needed -= sum(path.stat().st_size for path in unfinished.glob("*/*/*.wav"))
    folder = tasks_dir.absolute()
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise UserError(
            f"{task.name} needs {needed / 1e9:.1f} GB, but {tasks_dir} has {free / 1e9:.1f} "
            "GB free. Make room, or choose another --tasks-dir or fewer sample rates."
        )


def _make_ready(
    unfinished: Path, task: NewTask, plan: Provenance, say: Callable[[str], None]
) -> None:
    """Keep in the folder only the clips of this plan, each in its split."""
    begun = stored_provenance(unfinished)
    known = (unfinished / PLAN).exists()
    if begun == plan:
        say(f"resuming {unfinished}")
    same = set[str]()
    if begun and all(begun[key] == plan[key] for key in ("by", "seconds")):
        same = {
            name for name, sound in plan["sounds"].items() if begun["sounds"].get(name) == sound
        }
    split_of = {clip.name: clip.split for clip in task.clips}
    kept = 0
    for path in list(unfinished.glob("*/*/*")):
        rate, split, name = path.parts[-3:]
        if name not in same or not rate.isdecimal() or int(rate) not in plan["rates"]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            continue
        kept += 1
        if split_of[name] != split:
            place = unfinished / rate / split_of[name]
            place.mkdir(exist_ok=True)
            path.rename(place / name)
    if known and begun != plan:
        how = "; ".join(differences(unfinished, begun, plan, task))
        files = f"{plural(kept, 'file')} of it {'is' if kept == 1 else 'are'} kept"
        say(
            f"{unfinished} was begun from something else ({how}): "
            f"{files if kept else 'starting again'}"
        )
    for entry in [*unfinished.glob("*/*"), *unfinished.glob("*")]:
        if not entry.is_dir():
            if entry.name != PLAN:
                entry.unlink()
        elif not any(entry.iterdir()):
            entry.rmdir()
    # Written last: after an interruption the next run cleans up with the old plan.
    store_provenance(unfinished, plan)


def _write_clips(
    task: NewTask,
    folder: Path,
    read: Read,
    rates: Sequence[int],
    jobs: int,
    say: Callable[[str], None],
) -> Bad:
    """Write the missing clips and return those that cannot be used."""
    for rate in rates:
        for split in task.splits:
            (folder / str(rate) / split).mkdir(parents=True, exist_ok=True)
    orders = [
        WavOrder(
            clip.name,
            clip.source,
            tuple((rate, folder / str(rate) / clip.split / clip.name) for rate in rates),
        )
        for clip in task.clips
    ]
    outcome = write_wavs(orders, read, task.sample_duration, jobs=jobs, say=say)
    if outcome.kept:
        there = plural(outcome.kept, "file")
        new = "1 is new" if outcome.written == 1 else f"{outcome.written} are new"
        say(f"{there} already existed, {new}")
    if outcome.clipped:
        one = len(outcome.clipped) == 1
        say(
            f"{plural(len(outcome.clipped), 'clip')} {'was' if one else 'were'} louder than full "
            f"scale and {'is' if one else 'are'} clipped, for example '{outcome.clipped[0]}'"
        )
    return outcome.bad
