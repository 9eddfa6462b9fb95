"""Prepare NSynth with instrument families as classes and the publisher's three splits.

No instrument of the training split is in the other two splits.
"""

from __future__ import annotations

import json

from harness.core.errors import UserError
from tasks.format.newtask import NewClip
from tasks.prepare.archive import Say
from tasks.prepare.corpus import ANY_ARCHIVE, Corpus
from tasks.prepare.folder import SourceFolder


def clips(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return the clips in ``nsynth-{train,valid,test}/examples.json`` of the archives."""
    found = []
    for split in ("train", "valid", "test"):
        table = f"nsynth-{split}/examples.json"
        root = folder.root(table, (f"nsynth-{split}.jsonwav*",), f"NSynth's part '{split}'")
        for note, family in _families(folder, root + table).items():
            source = folder.get(f"{root}nsynth-{split}/audio/{note}.wav")
            found.append(NewClip(f"{note}.wav", split, source, (family,)))
    return found


def _families(folder: SourceFolder, table: str) -> dict[str, str]:
    try:
        notes = json.loads(folder.text(table))
        return {note: str(fields["instrument_family_str"]) for note, fields in notes.items()}
    except (ValueError, RecursionError) as error:  # also a number or a nesting that is too long
        raise UserError(f"{folder.path / table} is not JSON: {error}.") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder.path / table} must contain an object for each note, with "
            "'instrument_family_str'."
        ) from error


CORPUS = Corpus("nsynth_instrument", clips, ("nsynth-*", *ANY_ARCHIVE))
