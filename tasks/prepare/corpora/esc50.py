"""Prepare ESC-50 with the publisher's five folds, each Freesound recording in one fold.

Folds, labels and names are those of HEAR's directory (hear-preprocess 2021.1.1, esc50.py).
"""

from __future__ import annotations

from tasks.format.newtask import NewClip
from tasks.prepare.archive import Say
from tasks.prepare.corpus import ANY_ARCHIVE, Corpus
from tasks.prepare.folder import SourceFolder
from tasks.prepare.folds import clips_in_folds


def clips(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return the clips from the repository ``ESC-50`` or from GitHub's archive of it."""
    return clips_in_folds(
        folder,
        corpus="ESC-50",
        archives=("ESC-50*", "master.zip"),
        table="meta/esc50.csv",
        name="filename",
        label="category",
        audio="audio/{filename}",
    )


CORPUS = Corpus("esc50", clips, ("audio", *ANY_ARCHIVE), 48000)
