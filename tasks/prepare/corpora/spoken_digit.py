"""Prepare the Free Spoken Digit Dataset with HEAR's five folds.

HEAR took version 1.0.9 of the corpus (five speakers) from TensorFlow Datasets, which sorts the
recordings by a hash of their names and numbers them. HEAR named each recording by its number,
shuffled the names and divided them into five folds (tensorflow-datasets 4.9.9, hashing.py and
shuffle.py; hear-preprocess 2021.1.1, pipeline.py). The same steps are applied here to all 2,500
names, so names and folds do not depend on which recordings are present. Every speaker is in every
fold. A clip's group is its speaker.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np

from harness.core.counts import plural
from tasks.format.newtask import NewClip
from tasks.prepare.archive import Say
from tasks.prepare.corpus import ANY_ARCHIVE, Corpus
from tasks.prepare.folder import SourceFolder

ARCHIVES = ("free-spoken-digit-dataset*",)
SPEAKERS = ("george", "jackson", "nicolas", "theo", "yweweler")
_TAKES = 50
_FOLDS = 5


def clips(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return the clips of HEAR's recordings, named ``{digit}_{speaker}_{take}.wav``."""
    found = folder.find(r"(?:.*/)?(?P<stem>\d_[a-z]+_\d+)\.wav", ARCHIVES)
    if not found:
        folder.refuse(
            "recordings/{digit}_{speaker}_{take}.wav", ARCHIVES, "the Free Spoken Digit Dataset"
        )
    recordings = {match["stem"]: file for match, file in reversed(found)}
    names = _hear_names()
    if newer := sorted(set(recordings) - set(names)):
        say(
            f"left out: {plural(len(newer), 'recording')} newer than version 1.0.9, "
            f"for example {newer[0]}"
        )
    folds = _folds(list(names.values()))
    return [
        NewClip(
            f"{name}.wav",
            folds[name],
            recordings.get(stem),
            (stem[0],),
            group=stem.split("_")[1],
        )
        for stem, name in names.items()
    ]


def _hear_names() -> dict[str, str]:
    """Return HEAR's name of each recording of version 1.0.9, in the order of its numbers."""
    stems = [
        f"{digit}_{speaker}_{take}"
        for digit in range(10)
        for speaker in SPEAKERS
        for take in range(_TAKES)
    ]
    stems.sort(key=lambda stem: hashlib.md5(f"train{stem}".encode()).digest())
    prefix = "tfds_id_spoken-digit-train-tfrecord-00000-of-00001"
    return {stem: f"{prefix}-{number}" for number, stem in enumerate(stems)}


def _folds(names: list[str]) -> dict[str, str]:
    shuffled = sorted(names)
    random.Random("split_k_folds").shuffle(shuffled)
    return {
        str(name): f"fold{fold:02d}"
        for fold, part in enumerate(np.array_split(np.array(shuffled), _FOLDS))
        for name in part
    }


CORPUS = Corpus("spoken_digit", clips, ("recordings", *ANY_ARCHIVE))
