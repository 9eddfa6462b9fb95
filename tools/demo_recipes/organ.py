"""Read the recordings of GrandOrgue's demo organ: six stops, recorded at two keys per octave."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from tools.demo_recipes.layout import SourceRecording
from tools.demo_recipes.sound import Sound, read
from tools.demo_recipes.sources import PinnedPackage, fetch

PACKAGE = PinnedPackage(
    "debian",
    "grandorgue-demo",
    "3.9.5-1",
    "e189e3540e24842da3806f7ed6a8c10308f43310da86fea2d6efc2c617c6a0e7",
)
_ARCHIVE = "usr/share/GrandOrgue/packages/demo-4232D4C616E4B99145537F02B34D342D4E3E3808.orgue"
_TRANSPOSED = {"Octavin2": 24}
"""Semitones between the pressed key and the higher note of a stop (two octaves at 2 foot)."""

BLOWER = "Sounds/Motor.wav"
"""File with 30 s of the organ's blower."""


class Organ:
    """The organ's recordings, decoded from WavPack."""

    def __init__(self, work: Path) -> None:
        self._archive = zipfile.ZipFile(fetch(PACKAGE, work) / _ARCHIVE)
        if shutil.which("wvunpack") is None:
            raise RuntimeError("wvunpack is needed to decode the organ: install wavpack.")

    def notes(self, stop: str) -> dict[int, str]:
        """Return the recorded notes of a stop: sounding MIDI note -> file."""
        found = {}
        for file in self._archive.namelist():
            if named := re.fullmatch(rf"{stop}/(\d{{3}})-.+\.wav", file):
                found[int(named[1]) + _TRANSPOSED.get(stop, 0)] = file
        return found

    def sound(self, file: str) -> Sound:
        """Decode a file of the archive."""
        with tempfile.TemporaryDirectory() as folder:
            packed, wav = Path(folder) / "in.wv", Path(folder) / "out.wav"
            packed.write_bytes(self._archive.read(file))
            subprocess.run(["wvunpack", "-q", str(packed), "-o", str(wav)], check=True)
            return read(wav)

    def recording(self, file: str) -> SourceRecording:
        """Return a file with its author and licence."""
        return SourceRecording(
            package=PACKAGE,
            file=file,
            author="Lars Palo, for Milan Digital Audio LLC and the GrandOrgue contributors",
            licence="CC-BY-SA-2.5",
        )
