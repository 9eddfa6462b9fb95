"""Prepare UrbanSound8K with the publisher's ten folds, each Freesound recording in one fold."""

from __future__ import annotations

from tasks.format.newtask import NewClip
from tasks.prepare.archive import Say
from tasks.prepare.corpus import ANY_ARCHIVE, Corpus
from tasks.prepare.folder import SourceFolder
from tasks.prepare.folds import clips_in_folds


def clips(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return the clips from ``UrbanSound8K.tar.gz`` or its unpacked folder."""
    return clips_in_folds(
        folder,
        corpus="UrbanSound8K",
        archives=("UrbanSound8K*",),
        table="metadata/UrbanSound8K.csv",
        name="slice_file_name",
        label="class",
        audio="audio/fold{fold}/{slice_file_name}",
    )


CORPUS = Corpus("urbansound8k", clips, ("audio", *ANY_ARCHIVE), 48000)
