"""Search the audio of a pretraining for test clips of tasks, for two commands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.core.errors import UserError
from hear_byola.core import jsontext
from tasks.check.contained import Contained, OtherAudio, clips_of_tests, find_contained
from tasks.check.finding import AlikeClips, Finding, clips, warning
from tasks.check.sound import Progress

if TYPE_CHECKING:
    from hear_byola.pretraining.corpus import AudioCorpus


def read_corpus(source: Path, say: Callable[[str], None]) -> AudioCorpus:
    """Return the audio of a folder, a list or tar shards, or that of a run by its corpus.json.

    Recordings that the run skipped or left out are left out.

    Raises:
        UserError: the source is missing, contains no usable audio, or is no corpus.json that names
            its audio.
    """
    from hear_byola.pretraining.corpus import scan, tell_skipped

    used = source
    skipped: set[str] = set()
    if source.suffix.lower() == ".json":
        used, skipped = _read_record(source)
    corpus = scan(used)
    names = {corpus.name(item): item for item in range(len(corpus))}
    gone = {names[name]: "was not trained on." for name in skipped if name in names}
    for line in tell_skipped(corpus.skipped):
        say(f"not searched: {line}")
    return corpus.without(gone) if gone else corpus


def _read_record(path: Path) -> tuple[Path, set[str]]:
    try:
        record = jsontext.load(path.read_text("utf-8"))
        return Path(record["audio"]), set(record["skipped"])
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no corpus.json that names its audio. `hear-byola pretrain` of this version "
            "writes one; otherwise name the folder or list of the audio."
        ) from error


def recordings_of(corpus: AudioCorpus) -> list[OtherAudio]:
    """Return the sounds of a corpus as recordings to search."""
    from hear_byola.pretraining.sound import samples_at_16k

    samples = samples_at_16k(corpus.frames, corpus.rate)
    return [
        OtherAudio(corpus.name(item), int(samples[item]), partial(_read, corpus, item))
        for item in range(len(corpus))
    ]


def _read(corpus: AudioCorpus, item: int, start: int, count: int) -> np.ndarray:
    from hear_byola.pretraining.sound import read_stretch

    source = corpus.open(item)
    try:
        return read_stretch(source, start, count)
    finally:
        if not isinstance(source, Path):
            source.close()


def findings_against(
    directories: Sequence[Path], source: Path, progress: Progress, say: Callable[[str], None]
) -> Mapping[Path, Sequence[Finding]]:
    """Return warnings about the test clips of task directories that other audio contains."""
    corpus = read_corpus(source, say)
    listed = [clip for directory in directories for clip in clips_of_tests(directory)]
    found: dict[tuple[Path, str], list[Contained]] = defaultdict(list)
    for each in find_contained(listed, recordings_of(corpus), progress):
        found[each.clip.directory, each.clip.split].append(each)
    findings: dict[Path, list[Finding]] = defaultdict(list)
    for (directory, split), contained in found.items():
        first = contained[0]
        names = list(dict.fromkeys(each.clip.name for each in contained))
        findings[directory].append(
            warning(
                f"{split}.json",
                f"{clips(names)}: the same recording is in {source} (the first: in "
                f"'{corpus.name(first.recording)}' at {first.seconds:.2f} s, likeness "
                f"{first.likeness:.2f}).",
                tuple(_pair(each, source, corpus) for each in contained),
            )
        )
    return findings


def _pair(contained: Contained, source: Path, corpus: AudioCorpus) -> AlikeClips:
    clip = contained.clip
    place = f"{corpus.name(contained.recording)}@{contained.seconds:.2f}"
    return AlikeClips(
        split=clip.split,
        clip=clip.name,
        other_split=str(source),
        other_clip=place,
        likeness=contained.likeness,
        same_samples=None,
        same_labels=None,
    )


def leave_out(
    directories: Sequence[Path], progress: Progress, say: Callable[[str], None]
) -> Callable[[AudioCorpus], AudioCorpus]:
    """Return a function that leaves out the sounds of a corpus that contain test clips."""

    def select(corpus: AudioCorpus) -> AudioCorpus:
        listed = [clip for directory in directories for clip in clips_of_tests(directory)]
        if not listed:
            names = ", ".join(map(str, directories))
            raise UserError(f"--exclude-tasks: {names} has no test clips.")
        reasons: dict[int, str] = {}
        for each in find_contained(listed, recordings_of(corpus), progress):
            clip = each.clip
            place = f"{clip.directory.resolve().name}/{clip.split}/{clip.name}"
            reasons.setdefault(each.recording, f"contains the test clip {place}.")
        say(f"left out: {len(reasons)} of {len(corpus)} sounds that contain test clips")
        return corpus.without(reasons) if reasons else corpus

    return select
