"""Free Spoken Digit Dataset, in HEAR's five folds.

HEAR took the corpus's version 1.0.9 (five speakers) from TensorFlow Datasets, which orders
recordings by a hash of their names and numbers them; HEAR called each by its number, shuffled the
names and dealt them into five folds (tensorflow-datasets 4.9.9, hashing.py and shuffle.py;
hear-preprocess 2021.1.1, pipeline.py). Doing the same to the 2,500 names gives the same names and
folds, whatever of the recordings is here. A speaker is thus in every fold; a clip's group is its
speaker.
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
    """Read recordings called ``{digit}_{speaker}_{take}.wav``; others than HEAR's are left out."""
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
            f"{newer[0]} for one"
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
    """Return what HEAR calls each recording of version 1.0.9, in the order of its numbers."""
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
