"""Read the clips of a corpus whose publisher gives a CSV with a label and a fold per clip."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.core.errors import UserError
from tasks.format.newtask import NewClip
from tasks.prepare.folder import SourceFolder


def clips_in_folds(
    folder: SourceFolder,
    *,
    corpus: str,
    archives: Sequence[str],
    table: str,
    name: str,
    label: str,
    audio: str,
) -> list[NewClip]:
    """Return the clips of a table with the column ``fold``; fold 1 becomes the split ``fold00``.

    Args:
        folder: the source folder.
        corpus: name of the corpus, for messages.
        archives: patterns of the names of its archives.
        table: path of the CSV in the corpus.
        name: column of the clip's file name.
        label: column of its class.
        audio: path of a clip in the corpus, with columns in braces.

    Raises:
        UserError: the table is missing or invalid.
    """
    root = folder.root(table, archives, corpus)
    clips = []
    for row in folder.table(root + table, ("fold", name, label)):
        if not re.fullmatch("[1-9][0-9]?", row["fold"]):
            raise UserError(
                f"{folder.path / (root + table)}: the fold of {row[name]} must be a whole number, "
                f"1 or more, not '{row['fold']}'."
            )
        source = folder.get(root + audio.format(**row))
        clips.append(NewClip(row[name], f"fold{int(row['fold']) - 1:02d}", source, (row[label],)))
    return clips
