"""Corpora whose publisher gives a CSV of clips with a label and a fold."""

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
    """Read the clips of a table with the column ``fold``, counted from 1; it becomes ``fold00``.

    Args:
        folder: where the corpus is.
        corpus: its name, for messages.
        archives: what its archives are called.
        table: path of the CSV in the corpus.
        name: column of the clip's file name.
        label: column of its class.
        audio: path of a clip in the corpus, with columns in braces.

    Raises:
        UserError: the table is not there, or not such a table.
    """
    root = folder.root(table, archives, corpus)
    clips = []
    for row in folder.table(root + table, ("fold", name, label)):
        if not re.fullmatch("[1-9][0-9]?", row["fold"]):
            raise UserError(
                f"{folder.path / (root + table)}: the fold of {row[name]} must be a number from "
                f"1 up, not '{row['fold']}'."
            )
        source = folder.get(root + audio.format(**row))
        clips.append(NewClip(row[name], f"fold{int(row['fold']) - 1:02d}", source, (row[label],)))
    return clips
