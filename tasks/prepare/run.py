"""Prepares a task: finds a corpus, lists its clips, writes the directory that the card promises."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from harness.core.counts import plural
from harness.core.errors import UserError, did_you_mean
from harness.core.spelling import alike, composed, difference, quoted
from tasks.audio import present_rates
from tasks.cards.builtin import card, cards
from tasks.cards.card import Card
from tasks.format.files import METADATA
from tasks.format.groups import GROUPS, derive_groups, misfit
from tasks.format.newtask import NewClip, NewTask
from tasks.format.spec import SPLITS, fold_names, part_of
from tasks.format.task import UNLIKE_CARD
from tasks.format.writer import LEFT_OUT, Bad, check_rates, refuse_bad, write_task
from tasks.prepare.archive import Say, close_archives
from tasks.prepare.folder import SourceFolder
from tasks.prepare.registry import CORPORA
from tasks.prepare.sound import read_sound

_SHOWN = 3
_WHOLE = 0.99
"""Of the card's clips, and test clips: with fewer, a task is not called like the whole one. A clip
lost here and there makes no other task of it."""


def prepare(
    name: str,
    source: Path,
    tasks_dir: Path,
    *,
    rates: Sequence[int] = (),
    jobs: int = 1,
    skip_bad: bool = False,
    say: Say = print,
) -> Path:
    """Write the task directory of a corpus, or go on with one that was begun; return its path.

    The whole task's directory, if it is there with all the rates asked for, is left alone, and the
    corpus not read. A task of a part of the corpus is called ``<task_name>_part``; how a task
    differs from its card stands in the metadata's ``unlike_card`` and in the notes of its results.

    Args:
        name: of the task's card.
        source: folder that holds the corpus, unpacked or in its archives.
        tasks_dir: where the directory goes.
        rates: in Hz; none stands for the one in :data:`CORPORA`.
        jobs: processes that work side by side.
        skip_bad: leave out sounds that cannot be read, each of which ``say`` is told.
        say: told how far it is, what of the corpus is missing, and how the task differs from its
            card.

    Raises:
        UserError: the corpus cannot be prepared, is not in the folder, or holds what cannot be
            read; the disk is too small; as :func:`tasks.format.writer.write_task`.
    """
    corpus = CORPORA.get(name)
    if corpus is None:
        if (known := cards().get(name)) is not None and known.published is not None:
            raise UserError(f"'{name}' is published: `hear-byola tasks fetch {name}` gets it.")
        raise UserError(
            f"No corpus can be prepared as '{name}'.{did_you_mean(name, CORPORA)} "
            f"There are {', '.join(CORPORA)}."
        )
    check_rates(rates)
    about, rates = card(name), tuple(rates) or (corpus.rate,)
    directory = tasks_dir / about.directory
    if (directory / METADATA).is_file() and set(rates) <= set(present_rates(directory)):
        grouped = about.group_pattern or (directory / GROUPS).exists()
        hint = "" if grouped else " It has no groups."
        say(f"{directory} already exists; delete it to prepare it again.{hint}")
        return directory
    folder = SourceFolder(source, tasks_dir, say, corpus.tops)
    try:
        listed = corpus.clips(folder, say)
        clips = [_in_one_form(clip) for clip in listed if clip.source is not None]
        clips = _in_groups(clips, about, say)
        task = _task(about, clips)
        for line in (
            *_missing(listed),
            *differences(clips, about),
            *_lacking(clips, task.splits),
            *_alike(task.labels),
        ):
            say(line)

        def without(bad: Bad) -> NewTask:
            if not skip_bad:
                refuse_bad(bad, "Mend them or give --skip-bad")
            for clip, reason in bad:
                say(f"{clip}: {reason}")
            names = {name for name, _ in bad}
            left = [clip for clip in clips if clip.name not in names]
            say(f"left out: {len(bad):,} of {plural(len(clips), 'clip')}, which cannot be used")
            for line in (*differences(left, about), *_lacking(left, task.splits)):
                say(line)
            shorter = _task(about, left)
            extra = {**shorter.extra, LEFT_OUT: sorted(names)}
            return shorter.model_copy(update={"extra": extra})

        written = write_task(
            task,
            tasks_dir,
            read_sound,
            rates=rates,
            jobs=jobs,
            say=say,
            without=without,
            elsewhere="name another --tasks-dir",
        )
        folder.discard_expanded()
    finally:
        folder.close()
        close_archives()
    return written


def differences(clips: Sequence[NewClip], about: Card) -> list[str]:
    """Return how a task differs from its card: clips, classes and folds, a sentence each."""
    counts = [
        *_sizes(clips, about),
        ("classes", len(_labels(clips)), about.classes),
        ("folds", len({clip.split for clip in clips}), about.folds),
    ]
    return [
        f"unlike the card of {about.name}: {here:,} {what} here, {there:,} on the card"
        for what, here, there in counts
        if there is not None and here != there
    ]


def _sizes(clips: Sequence[NewClip], about: Card) -> list[tuple[str, int, int | None]]:
    """Return what is counted of a task's clips, how many there are, and how many the card says."""
    sizes = [("clips", len(clips), about.clips)]
    if about.folds is None:  # else all of them are tested on
        tested = sum(clip.split == "test" for clip in clips)
        sizes.append(("test clips", tested, about.n_test))
    return sizes


def _labels(clips: Sequence[NewClip]) -> set[str]:
    return {label for clip in clips for label in clip.labels}


def _task(about: Card, clips: Sequence[NewClip]) -> NewTask:
    called = about.task
    if any(here < _WHOLE * (there or 0) for _, here, there in _sizes(clips, about)):
        called = part_of(called)
    unlike = differences(clips, about)
    return NewTask(
        **dict(called),
        embedding_type=about.embedding_type,
        prediction_type=about.prediction_type,
        split_mode=about.split_mode,
        splits=fold_names(about.folds) if about.folds else SPLITS,
        evaluation=about.metrics,
        sample_duration=about.clip_seconds,
        labels=tuple(sorted(_labels(clips))),
        clips=tuple(sorted(clips, key=lambda clip: clip.name)),
        extra={"prepared_from": [dict(source) for source in about.sources]}
        | ({UNLIKE_CARD: unlike} if unlike else {}),
    )


def _in_groups(clips: list[NewClip], about: Card, say: Say) -> list[NewClip]:
    """Return the clips with the groups of the corpus, else with those of the card's pattern."""
    if about.group_pattern is None or any(clip.group for clip in clips):
        return clips
    groups, odd = derive_groups(about.group_pattern, [clip.name for clip in clips])
    if odd:
        say(misfit(odd))
    return [dataclasses.replace(clip, group=groups.get(clip.name, "")) for clip in clips]


def _in_one_form(clip: NewClip) -> NewClip:
    return dataclasses.replace(clip, labels=tuple(map(composed, clip.labels)))


def _alike(vocabulary: Sequence[str]) -> list[str]:
    return [
        f"warning: the labels {' and '.join(map(quoted, names))} read the same and differ in "
        f"{difference(*names[:2])}: they are {len(names)} classes"
        for names in alike(vocabulary)
    ]


def _missing(listed: Sequence[NewClip]) -> list[str]:
    missing = [clip.name for clip in listed if clip.source is None]
    if not missing:
        return []
    shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
    return [
        f"missing: {len(missing):,} of {plural(len(listed), 'clip')} that the corpus lists "
        f"({shown}); the task is made of the others"
    ]


def _lacking(clips: Sequence[NewClip], splits: Sequence[str]) -> list[str]:
    """Return a sentence for each split that some classes have no clip in."""
    here: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        here[clip.split].update(clip.labels)
    labels, lines = _labels(clips), []
    for split in splits:
        if lacking := sorted(labels - here[split]):
            shown = ", ".join(lacking[:_SHOWN]) + (", ..." if len(lacking) > _SHOWN else "")
            classes = plural(len(labels), "class", "classes")
            lines.append(f"{split} has no clip of {len(lacking)} of {classes}: {shown}")
    return lines
