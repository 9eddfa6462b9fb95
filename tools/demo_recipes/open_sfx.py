"""Read the sounds of OpenSFX, the free sound set of OpenTTD: vehicles, horns, animals, machines."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from tools.demo_recipes.layout import SourceRecording
from tools.demo_recipes.sound import Sound, read
from tools.demo_recipes.sources import PinnedPackage, fetch

PACKAGE = PinnedPackage(
    "debian",
    "openttd-opensfx",
    "1.0.3-2",
    "2898b4677a3caccc4abc08fb4cf83319047b5a04729291deb5c77a8cd713c006",
)
_LICENCES = {
    "Zero 1.0": "CC0-1.0",
    "Attribution 3.0": "CC-BY-3.0",
    "Attribution-ShareAlike 3.0": "CC-BY-SA-3.0",
}
_CATALOGUE = "usr/share/games/openttd/baseset/opensfx/opensfx.cat"
_NAME = re.compile(
    r'"(?P<title>.+?)"\. *(?P<author>.+?)\. License: Creative Commons (?P<licence>\S+ \d\.\d)'
)
"""Matches, for example, ``"Cow". Original "Moan" by "Jo". License: Creative Commons Zero 1.0.``"""


@dataclass(frozen=True)
class _Entry:
    title: str
    author: str
    licence: str
    wav: bytes


class SoundSet:
    """The sounds by OpenTTD's numbers."""

    def __init__(self, work: Path) -> None:
        self._entries = _read_catalogue((fetch(PACKAGE, work) / _CATALOGUE).read_bytes())

    def sound(self, number: int) -> Sound:
        """Decode a sound."""
        return read(self._entries[number].wav)

    def recording(self, number: int) -> SourceRecording:
        """Return a sound's file, author and licence as the catalogue states them."""
        entry = self._entries[number]
        return SourceRecording(PACKAGE, f"{number:02d} {entry.title}", entry.author, entry.licence)


def _read_catalogue(data: bytes) -> list[_Entry]:
    """Read OpenTTD's sample catalogue.

    It begins with two little-endian 32-bit numbers per sound: offset and length. The first offset
    is the length of this table and so gives the number of sounds (its highest bit marks the newer
    layout). At each offset are a length byte, a name with a final zero, and a wav file.
    """
    mask = 0x7FFFFFFF
    count = (struct.unpack_from("<I", data, 0)[0] & mask) // 8
    entries = []
    for i in range(count):
        offset = struct.unpack_from("<I", data, 8 * i)[0] & mask
        start = offset + 1 + data[offset]
        name = data[offset + 1 : start].rstrip(b"\0").decode()
        wav_size = 8 + struct.unpack_from("<I", data, start + 4)[0]
        named = _NAME.match(name)
        if named is None:
            raise RuntimeError(f"the catalogue's sound {i} has no title, credit and licence")
        licence = _LICENCES[named["licence"]]
        wav = data[start : start + wav_size]
        entries.append(_Entry(named["title"], " ".join(named["author"].split()), licence, wav))
    return entries
