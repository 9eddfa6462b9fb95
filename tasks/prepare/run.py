"""Prepare a task: find a corpus, list its clips, and write the task directory of its card."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from harness.core.counts import abridged, plural
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
from tasks.format.writer import LEFT_OUT, Bad, check_rates, names_left_out, write_task
from tasks.prepare.archive import Say, close_archives
from tasks.prepare.corpus import Corpus
from tasks.prepare.folder import SourceFolder
from tasks.prepare.registry import CORPORA
from tasks.prepare.sound import read_sound

_SHOWN = 3
_WHOLE = 0.99
"""Smallest share of the card's clips, and of its test clips, with which a task keeps its name. With
fewer it is named as a part; a few missing clips are tolerated."""


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
    """Write the task directory of a corpus, or resume an incomplete one; return its path.

    A directory of the whole task with all requested rates is not changed. A task from a part of the
    corpus is named ``<task_name>_part``. ``unlike_card`` of the metadata, and the notes of results,
    list the differences between a task and its card.

    Args:
        name: name of the task's card.
        source: folder with the corpus, unpacked or in archives.
        tasks_dir: folder in which the directory is made.
        rates: sample rates in Hz; if empty, the rate of the corpus in :data:`CORPORA`.
        jobs: number of worker processes.
        skip_bad: leave out sounds that cannot be read; ``say`` reports each.
        say: called with the progress, missing files, and differences from the card.

    Raises:
        UserError: the corpus cannot be prepared, is not in the folder, or has unreadable files;
            the disk is too small; or as :func:`tasks.format.writer.write_task`.
    """
    corpus = _find_corpus(name)
    check_rates(rates)
    about, rates = card(name), tuple(rates) or (corpus.rate,)
    directory = tasks_dir / about.directory
    if _is_there(directory, rates):
        say(_already(directory, about))
        return directory
    folder = SourceFolder(source, tasks_dir, say, corpus.tops)
    try:
        clips = _clips(corpus, folder, about, say)
        written = write_task(
            _task(about, clips, say),
            tasks_dir,
            read_sound,
            rates=rates,
            jobs=jobs,
            say=say,
            without=partial(_without, about=about, clips=clips, skip=skip_bad, say=say),
            elsewhere="choose another --tasks-dir",
        )
        folder.discard_expanded()
    finally:
        folder.close()
        close_archives()
    return written


def _clips(corpus: Corpus, folder: SourceFolder, about: Card, say: Say) -> list[NewClip]:
    """Return the clips of a corpus whose sounds are in its folder, and report the others."""
    listed = corpus.clips(folder, say)
    found = [
        dataclasses.replace(clip, labels=tuple(map(composed, clip.labels)))
        for clip in listed
        if clip.source is not None
    ]
    found = _in_groups(found, about, say)
    for line in _missing(listed):
        say(line)
    return found


def _without(bad: Bad, *, about: Card, clips: Sequence[NewClip], skip: bool, say: Say) -> NewTask:
    """Return the task without clips that cannot be used, and report them.

    Raises:
        UserError: such clips must not be left out.
    """
    cure = "Replace them or give --skip-bad"
    names = names_left_out(bad, say, skip=skip, cure=cure)
    say(f"left out: {len(bad):,} of {plural(len(clips), 'clip')}, which cannot be used")
    shorter = _task(about, [clip for clip in clips if clip.name not in names], say)
    return shorter.model_copy(update={"extra": {**shorter.extra, LEFT_OUT: sorted(names)}})


def _find_corpus(name: str) -> Corpus:
    corpus = CORPORA.get(name)
    if corpus is not None:
        return corpus
    if (known := cards().get(name)) is not None and known.published is not None:
        raise UserError(f"'{name}' is published: `hear-byola tasks fetch {name}` gets it.")
    raise UserError(
        f"No corpus can be prepared as '{name}'.{did_you_mean(name, CORPORA)} "
        f"There are {', '.join(CORPORA)}."
    )


def _is_there(directory: Path, rates: Sequence[int]) -> bool:
    return (directory / METADATA).is_file() and set(rates) <= set(present_rates(directory))


def _already(directory: Path, about: Card) -> str:
    grouped = about.group_pattern or (directory / GROUPS).exists()
    hint = "" if grouped else " It has no groups."
    return f"{directory} already exists; delete it to prepare it again.{hint}"


def differences(clips: Sequence[NewClip], about: Card) -> list[str]:
    """Return a sentence for each difference from the card in numbers of clips, classes or folds."""
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
    """Return each count of clips: its name, its value in the task and its value on the card."""
    sizes = [("clips", len(clips), about.clips)]
    if about.folds is None:  # with folds, every clip is a test clip
        tested = sum(clip.split == "test" for clip in clips)
        sizes.append(("test clips", tested, about.n_test))
    return sizes


def _labels(clips: Sequence[NewClip]) -> set[str]:
    return {label for clip in clips for label in clip.labels}


def _task(about: Card, clips: Sequence[NewClip], say: Say) -> NewTask:
    """Return the task of some clips, and report how it differs from its card."""
    called = about.task
    if any(here < _WHOLE * (there or 0) for _, here, there in _sizes(clips, about)):
        called = part_of(called)
    unlike, labels = differences(clips, about), tuple(sorted(_labels(clips)))
    splits = fold_names(about.folds) if about.folds else SPLITS
    for line in (*unlike, *_lacking(clips, splits), *_alike(labels)):
        say(line)
    return NewTask(
        **dict(called),
        embedding_type=about.embedding_type,
        prediction_type=about.prediction_type,
        split_mode=about.split_mode,
        splits=splits,
        evaluation=about.metrics,
        sample_duration=about.clip_seconds,
        labels=labels,
        clips=tuple(sorted(clips, key=lambda clip: clip.name)),
        extra={"prepared_from": [dict(source) for source in about.sources]}
        | ({UNLIKE_CARD: unlike} if unlike else {}),
    )


def _in_groups(clips: list[NewClip], about: Card, say: Say) -> list[NewClip]:
    """Return the clips with groups from the corpus, else from the card's pattern."""
    if about.group_pattern is None or any(clip.group for clip in clips):
        return clips
    groups, odd = derive_groups(about.group_pattern, [clip.name for clip in clips])
    if odd:
        say(misfit(odd))
    return [dataclasses.replace(clip, group=groups.get(clip.name, "")) for clip in clips]


def _alike(vocabulary: Sequence[str]) -> list[str]:
    return [
        f"warning: the labels {' and '.join(map(quoted, names))} read the same and differ in "
        f"{difference(*names[:2])}: they count as {len(names)} classes"
        for names in alike(vocabulary)
    ]


def _missing(listed: Sequence[NewClip]) -> list[str]:
    missing = [clip.name for clip in listed if clip.source is None]
    if not missing:
        return []
    return [
        f"missing: {len(missing):,} of {plural(len(listed), 'clip')} that the corpus lists "
        f"({abridged(missing, _SHOWN)}); the task is made from the others"
    ]


def _lacking(clips: Sequence[NewClip], splits: Sequence[str]) -> list[str]:
    """Return a sentence for each split that some classes have no clip in."""
    here: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        here[clip.split].update(clip.labels)
    labels, lines = _labels(clips), []
    for split in splits:
        if lacking := sorted(labels - here[split]):
            shown = abridged(lacking, _SHOWN)
            classes = plural(len(labels), "class", "classes")
            lines.append(f"{split} has no clip of {len(lacking)} of {classes}: {shown}")
    return lines
