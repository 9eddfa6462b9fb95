"""Prepare VoxCeleb1 for speaker identification with the publisher's split, ``iden_split.txt``."""

from __future__ import annotations

from harness.core.errors import UserError
from tasks.format.newtask import NewClip
from tasks.prepare.archive import File, Say
from tasks.prepare.corpus import ANY_ARCHIVE, Corpus
from tasks.prepare.folder import SourceFolder

ARCHIVES = ("vox1_*wav*.zip",)
_SPLITS = {"1": "train", "2": "valid", "3": "test"}


def clips(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return the clips of ``iden_split.txt``; a line is a split (1 to 3) and a path.

    A path is ``speaker/video/number.wav``. The sounds of both archives of the publisher (``dev``
    and ``test``) are used, in any folders.
    """
    table = "iden_split.txt"
    root = folder.root(table, (), "the list of VoxCeleb1's identification split")
    folder.open_archives(ARCHIVES)
    sounds: dict[str, File] = {}
    for match, file in folder.find(r"(?:.*/)?(?P<path>id\d+/[^/]+/\d+\.wav)"):
        sounds.setdefault(match["path"], file)
    if not sounds:
        folder.refuse("id10001/*/*.wav", ARCHIVES, "VoxCeleb1's sounds")
    found = []
    for number, line in enumerate(folder.text(root + table).splitlines(), 1):
        part, _, path = line.strip().partition(" ")
        speaker = path.split("/")[0]
        if part not in _SPLITS or path.count("/") != 2:
            raise UserError(
                f"{folder.path / (root + table)}, line {number}: must have the form "
                f"'1 id10001/1zcIwhmdeo4/00001.wav', not '{line}'."
            )
        name = path.replace("/", "-")
        found.append(NewClip(name, _SPLITS[part], sounds.get(path), (speaker,)))
    return found


CORPUS = Corpus("voxceleb1", clips, ("wav", *ANY_ARCHIVE))
