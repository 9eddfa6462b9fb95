"""Prepare Speech Commands V2 with 35 words, or with the twelve classes of HEAR, as classes.

The twelve classes are ten commands, ``_unknown_`` (every other word) and ``_silence_``, as in
TensorFlow Datasets. The test split is the publisher's separate test set. The validation split is
``validation_list.txt``. The training split is the rest without ``testing_list.txt``. Silent clips
of these two splits are cut from the background noises: 1 s every 0.5 s, from ``running_tap.wav``
for validation and from the other noises for training. Names are HEAR's (hear-preprocess 2021.1.1,
speech_commands.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from harness.core.errors import UserError
from tasks.format.newtask import NewClip
from tasks.prepare.archive import Say
from tasks.prepare.corpus import ANY_ARCHIVE, Corpus
from tasks.prepare.folder import SourceFolder
from tasks.prepare.sound import Stretch, length

ARCHIVES = ("speech_commands_v0.02*",)
TEST_ARCHIVES = ("speech_commands_test_set_v0.02*",)
COMMANDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
_NOISE, _SILENCE, _UNKNOWN = "_background_noise_", "_silence_", "_unknown_"
_NOISES = ("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap",
           "white_noise")  # fmt: skip
_VALIDATION_NOISE = "running_tap"
_FIVE_HOURS = {"train": 16_000, "valid": 2_000}  # clips of 1 s: 5 h in proportions of 80 to 10


def words(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return the clips with the 35 words as classes, split by the corpus's two lists."""
    return [
        NewClip(_name(path), split, folder.get(root + path), (_word(path),))
        for root, path, split in _recordings(folder)
    ]


def twelve_classes(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return the clips of the corpus and of the separate test set, with twelve classes."""
    found = [
        NewClip(_name(path), split, folder.get(root + path), (_class(_word(path)),))
        for root, path, split in _recordings(folder)
        if split != "test"
    ]
    return [*found, *_silence(folder, say), *_test_set(folder)]


def five_hours(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return HEAR's sample of :func:`twelve_classes`: 16,000 and 2,000 clips, and the test set.

    HEAR sorts the names of a split without their extension, shuffles them with the SHA-1 of
    ``SubsampleSplit(<split>)`` modulo 2^32 - 1 as the seed, and takes the first names
    (hear-preprocess 2021.1.1, pipeline.py and util/luigi.py).
    """
    clips = twelve_classes(folder, say)
    drawn = [clip for clip in clips if clip.split == "test" or clip.source is None]
    for split, count in _FIVE_HOURS.items():
        here = [clip for clip in clips if clip.split == split and clip.source is not None]
        here.sort(key=lambda clip: clip.name.removesuffix(".wav"))
        seed = int(hashlib.sha1(f"SubsampleSplit({split})".encode()).hexdigest(), 16) % (2**32 - 1)
        order = np.random.RandomState(seed).permutation(len(here))
        drawn += [here[i] for i in order[:count]]
    return drawn


def _recordings(folder: SourceFolder) -> Iterator[tuple[str, str, str]]:
    """Yield (root, path below it, split) of all recordings, including missing ones in a list."""
    root = folder.root("validation_list.txt", ARCHIVES, "Speech Commands V2")
    lists = {
        path: split
        for split, table in (("valid", "validation_list.txt"), ("test", "testing_list.txt"))
        for path in folder.text(root + table).split()
    }
    here = {match["path"] for match, _ in folder.find(_wavs_of(root, r"[^_/][^/]*"))}
    for path in sorted({*here, *lists}):
        yield root, path, lists.get(path, "train")


def _silence(folder: SourceFolder, say: Say) -> Iterator[NewClip]:
    root = folder.root(f"{_NOISE}/*.wav", ARCHIVES, "the background noises of Speech Commands V2")
    found = {
        PurePosixPath(match["path"]).stem: file
        for match, file in folder.find(_wavs_of(root, _NOISE))
    }
    if absent := [noise for noise in _NOISES if noise not in found]:
        say(
            f"missing: {len(absent)} of {len(_NOISES)} background noises, from which {_SILENCE} is "
            f"cut ({', '.join(absent)})"
        )
    for noise, file in found.items():
        split = "valid" if noise.startswith(_VALIDATION_NOISE) else "train"
        try:
            frames, rate = length(file)
        except (UserError, OSError):
            # The writer reports this clip together with all other unreadable sounds.
            yield NewClip(f"{_SILENCE}_{noise}-0.wav", split, file, (_SILENCE,))
            continue
        for start in range(0, frames - rate, rate // 2):
            name = f"{_SILENCE}_{noise}-{start}.wav"
            yield NewClip(name, split, Stretch(file, start, rate), (_SILENCE,))


def _test_set(folder: SourceFolder) -> Iterator[NewClip]:
    root = folder.root(f"{_UNKNOWN}/*.wav", TEST_ARCHIVES, "the test set of Speech Commands V2")
    if root == folder.root("validation_list.txt", ARCHIVES, "Speech Commands V2"):
        raise UserError(
            f"{folder.path / root} contains both parts of Speech Commands V2, so the test set "
            "cannot be separated from the rest. Unpack each archive to its own folder."
        )
    for match, file in folder.find(_wavs_of(root, "[^/]+")):
        yield NewClip(_name(match["path"]), "test", file, (_class(_word(match["path"])),))


def _wavs_of(root: str, parent: str) -> str:
    return rf"{re.escape(root)}(?P<path>{parent}/[^/]+\.wav)"


def _word(path: str) -> str:
    return path.partition("/")[0]


def _class(word: str) -> str:
    return word if word in (*COMMANDS, _SILENCE) else _UNKNOWN


def _name(path: str) -> str:
    return path.replace("/", "_")


_TOPS = ("speech_commands_*", *ANY_ARCHIVE)
TWELVE = Corpus("speech_commands_v2_12", twelve_classes, _TOPS)
THIRTY_FIVE = Corpus("speech_commands_v2_35", words, _TOPS)
FIVE_HOURS = Corpus("speech_commands_5h", five_hours, _TOPS)
FULL = Corpus("speech_commands_full", twelve_classes, _TOPS)
