"""Read the voices of telephone prompts (Asterisk) and of characters in a strategy game (0 A.D.)."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from tools.demo_recipes.layout import SourceRecording
from tools.demo_recipes.sound import Sound, read
from tools.demo_recipes.sources import PinnedPackage, fetch

_GAME = PinnedPackage(
    "debian",
    "0ad-data",
    "0.0.26-1",
    "53745ae74d05bccf6783400fa98f3932b21729ab9d2e86151aa2c331c3455178",
)


@dataclass(frozen=True)
class Prompts:
    """A package of Asterisk's telephone prompts, 8 kHz."""

    work: Path
    package: PinnedPackage
    voice: str
    author: str
    licence: str
    url: str

    @cached_property
    def _folder(self) -> Path:
        return fetch(self.package, self.work) / "usr/share/asterisk/sounds" / self.voice

    @property
    def files(self) -> tuple[str, ...]:
        """The spoken prompts, without silence and without two jokes with animal voices."""
        names = (path.relative_to(self._folder) for path in self._folder.rglob("*.wav"))
        spoken = (n for n in names if n.parts[0] != "silence" and not n.name.startswith("tt-"))
        return tuple(sorted(name.as_posix() for name in spoken))

    def sound(self, file: str) -> Sound:
        """Decode a prompt."""
        return read(self._folder / file)

    def recording(self, file: str) -> SourceRecording:
        """Return a prompt with its author and licence."""
        return SourceRecording(
            self.package, f"{self.voice}/{file}", self.author, self.licence, self.url
        )


@dataclass(frozen=True)
class GameVoice:
    """The recordings of the men or of the women of one people in 0 A.D."""

    work: Path
    people: str
    sex: str

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        folder = fetch(_GAME, self.work) / "usr/share/games/0ad/mods/public"
        return zipfile.ZipFile(folder / "public.zip")

    @property
    def files(self) -> tuple[str, ...]:
        """The recordings of this people and sex, sorted."""
        pattern = f"audio/voice/{self.people}/civ/civ_{self.sex}_*.ogg"
        return tuple(sorted(n for n in self._archive.namelist() if fnmatch(n, pattern)))

    def sound(self, file: str) -> Sound:
        """Decode a recording."""
        return read(self._archive.read(file))

    def recording(self, file: str) -> SourceRecording:
        """Return a recording with author, licence and address, as the licence requires."""
        return SourceRecording(
            _GAME, file, "Wildfire Games", "CC-BY-SA-3.0", "http://www.wildfiregames.com/"
        )


Voice = Prompts | GameVoice


def _core(language: str, sha256: str) -> PinnedPackage:
    name = f"asterisk-core-sounds-{language}-wav"
    return PinnedPackage("debian", name, "1.6.1-1", sha256)


_PROMPTS = {
    "english_f": (
        _core("en", "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"),
        *("en_US_f_Allison", "Allison Smith", "CC-BY-SA-3.0", "http://www.theivrvoice.com"),
    ),
    "french_f": (
        _core("fr", "8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e"),
        *("fr_CA_f_June", "June Wallack", "CC-BY-SA-3.0", "http://www.junewallack.com"),
    ),
    "italian_m": (
        _core("it", "5a26638089e134b8ac39363fe249c5c93c50cd8bfdc9b2499ae61ec4a35e2fcb"),
        *("it_IT_m_Carlo", "Carlo Flora", "CC-BY-3.0", "http://www.carloflora.com"),
    ),
    "russian_f": (
        _core("ru", "ccbfaebfa450b7a9ddf644ae0f3d1e9017d5df7c0aebe816e946345589d38201"),
        *("ru_RU_f_IvrvoiceRU", "provided by Maxim Topal", "CC-BY-3.0", ""),
    ),
    "italian_f": (
        PinnedPackage(
            "debian",
            "asterisk-prompt-it-menardi-wav",
            "1:1.4.22+mm20110907-3.1",
            "3094530d98f8758ac275572d59624c41f60969fef883f34f4886d144f3dfeb21",
        ),
        *("it_IT_f_Menardi", "Marco Menardi and Paola Dal Zot", "CC-BY-SA-3.0"),
        "http://www.voip.ammdomus.it",
    ),
}
"""The package, voice, author, licence and address of each voice of telephone prompts."""

_PEOPLE = {"greek": "f", "latin": "fm", "napatan": "fm", "persian": "fm"}
_SEXES = {"f": "female", "m": "male"}


def all_voices(work: Path) -> dict[str, Voice]:
    """Return the twelve voices by name, such as ``english_f`` and ``persian_m``."""
    prompts = {name: Prompts(work, *origin) for name, origin in _PROMPTS.items()}
    return prompts | {
        f"{people}_{sex}": GameVoice(work, people, _SEXES[sex])
        for people, sexes in _PEOPLE.items()
        for sex in sexes
    }
