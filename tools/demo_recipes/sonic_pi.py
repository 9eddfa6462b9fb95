"""Read the samples of Sonic Pi: drums, tablas, synthesisers and ambience, mostly CC0."""

from __future__ import annotations

from pathlib import Path

from tools.demo_recipes.layout import SourceRecording
from tools.demo_recipes.sound import Sound, read
from tools.demo_recipes.sources import PinnedPackage, copyright_stanzas, fetch

PACKAGE = PinnedPackage(
    "debian",
    "sonic-pi-samples",
    "3.2.2~repack-8",
    "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d",
)


class Samples:
    """The package's samples by name, such as ``"bd_808"``."""

    def __init__(self, work: Path) -> None:
        root = fetch(PACKAGE, work)
        self._folder = root / "usr/share/sonic-pi/samples"
        self._recordings: dict[str, SourceRecording] = {}
        text = (root / "usr/share/doc/sonic-pi-samples/copyright").read_text("utf-8")
        for stanza in copyright_stanzas(text):
            for file in stanza.get("Files", "").split():
                name = file.removeprefix("etc/samples/").removesuffix(".flac")
                if file.startswith("etc/samples/") and (self._folder / f"{name}.flac").exists():
                    self._recordings[name] = _recording(name, stanza)

    def recording(self, name: str) -> SourceRecording:
        """Return the file of a sample with its author and licence."""
        return self._recordings[name]

    def sound(self, name: str) -> Sound:
        """Decode a sample."""
        return read(self._folder / f"{name}.flac")


def _recording(name: str, stanza: dict[str, str]) -> SourceRecording:
    licence = stanza["License"].split("\n")[0].strip()
    author = stanza["Copyright"].split("\n")[0].lstrip("0123456789-, ")
    return SourceRecording(
        package=PACKAGE,
        file=f"{name}.flac",
        author=author.split(" <")[0],
        licence="CC0-1.0" if licence == "CC0" else licence,
        url=stanza.get("Source", "").split("\n")[0],
    )
