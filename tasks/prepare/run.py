"""Prepares a task: finds a corpus, lists its clips, writes the directory that the card promises."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.audio import present_rates
from harness.errors import UserError, did_you_mean
from harness.layout import METADATA
from tasks.card import Card, card
from tasks.newtask import NewClip, NewTask
from tasks.prepare.archive import Say, close_archives
from tasks.prepare.corpora import CORPORA
from tasks.prepare.folder import SourceFolder
from tasks.prepare.sound import read_sound
from tasks.writer import write_task

_SHOWN = 3


def prepare(
    name: str,
    source: Path,
    tasks_dir: Path,
    *,
    rates: Sequence[int] = (),
    jobs: int = 1,
    say: Say = print,
) -> Path:
    """Write the task directory of a corpus, or go on with one that was begun; return its path.

    A directory that is there with all the rates asked for is left alone, and the corpus not read.

    Args:
        name: of the task's card.
        source: folder that holds the corpus, unpacked or in its archives.
        tasks_dir: where the directory goes.
        rates: in Hz; none stands for the one in :data:`CORPORA`.
        jobs: processes that work side by side.
        say: told how far it is, what of the corpus is missing, and how the task differs from its
            card.

    Raises:
        UserError: the corpus cannot be prepared, is not in the folder, or holds what cannot be
            read; the disk is too small; as :func:`tasks.writer.write_task`.
    """
    corpus = CORPORA.get(name)
    if corpus is None:
        raise UserError(
            f"No corpus can be prepared as '{name}'.{did_you_mean(name, CORPORA)} "
            f"There are {', '.join(CORPORA)}."
        )
    about, rates = card(name), tuple(rates) or (corpus.rate,)
    directory = tasks_dir / about.directory
    if (directory / METADATA).is_file() and set(rates) <= set(present_rates(directory)):
        say(f"{directory} is there already; delete it to prepare it anew.")
        return directory
    folder = SourceFolder(source, tasks_dir, say)
    try:
        listed = corpus.clips(folder, say)
        task = _task(about, [clip for clip in listed if clip.source is not None])
        for line in (*_missing(listed), *differences(task, about)):
            say(line)
        _check_room(task, tasks_dir, rates)
        written = write_task(task, tasks_dir, read_sound, rates=rates, jobs=jobs, say=say)
        folder.discard_expanded()
    finally:
        close_archives()
    return written


def differences(task: NewTask, about: Card) -> list[str]:
    """Return how a task differs from its card: clips, classes and folds, a sentence each."""
    counts = [
        ("clips", len(task.clips), about.clips),
        ("test clips", sum(clip.split == "test" for clip in task.clips), about.n_test),
        ("classes", len(task.vocabulary), about.classes),
        ("folds", len({clip.split for clip in task.clips}), about.folds),
    ]
    if about.folds is not None:
        del counts[1]  # all of them are tested on
    return [
        f"unlike the card of {about.name}: {here:,} {what} here, {there:,} on the card"
        for what, here, there in counts
        if there is not None and here != there
    ]


def _task(about: Card, clips: Sequence[NewClip]) -> NewTask:
    task_name, _, rest = about.directory.partition("-")
    version, _, mode = rest.rpartition("-")
    splits = [f"fold{fold:02d}" for fold in range(about.folds or 0)]
    return NewTask(
        task_name=task_name,
        version=version,
        mode=mode,
        embedding_type=about.embedding_type,
        prediction_type=about.prediction_type,
        split_mode=about.split_mode,
        splits=tuple(splits or ("train", "valid", "test")),
        evaluation=about.metrics,
        clip_seconds=about.clip_seconds,
        vocabulary=tuple(sorted({label for clip in clips for label in clip.labels})),
        clips=tuple(sorted(clips, key=lambda clip: clip.name)),
        extra={"prepared_from": [asdict(source) for source in about.sources]},
    )


def _missing(listed: Sequence[NewClip]) -> list[str]:
    missing = [clip.name for clip in listed if clip.source is None]
    if not missing:
        return []
    shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
    return [
        f"missing: {len(missing):,} of {len(listed):,} clips that the corpus lists ({shown}); the "
        "task is made of the others"
    ]


def _check_room(task: NewTask, tasks_dir: Path, rates: Sequence[int]) -> None:
    """Refuse to begin what the disk cannot hold."""
    if task.clip_seconds is None or (tasks_dir / f".{task.directory}.unfinished").exists():
        return
    needed = sum(round(task.clip_seconds * rate) * 2 for rate in rates) * len(task.clips)
    there = next(path for path in (tasks_dir.absolute(), *tasks_dir.absolute().parents)
                 if path.is_dir())  # fmt: skip
    free = shutil.disk_usage(there).free
    if needed > free:
        raise UserError(
            f"{task.directory} takes {needed / 1e9:.1f} GB, and {tasks_dir} has {free / 1e9:.1f} "
            "GB free. Make room, or name another --tasks-dir or fewer rates."
        )
