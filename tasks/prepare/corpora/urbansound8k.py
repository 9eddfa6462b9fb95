"""UrbanSound8K: its ten folds, which keep the excerpts of a Freesound recording together."""

from __future__ import annotations

from tasks.format.newtask import NewClip
from tasks.prepare.archive import Say
from tasks.prepare.corpus import ANY_ARCHIVE, Corpus
from tasks.prepare.folder import SourceFolder
from tasks.prepare.folds import clips_in_folds


def clips(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Read the layout of ``UrbanSound8K.tar.gz``."""
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
