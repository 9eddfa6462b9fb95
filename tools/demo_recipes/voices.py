"""Read the voices of telephone prompts (Asterisk) and of characters in a strategy game (0 A.D.)."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from tools.demo_recipes.layout import SourceRecording
from tools.demo_recipes.sound import Sound, read
from tools.demo_recipes.sources import PinnedPackage, fetch

_CORE_VERSION = "1.6.1-1"
_ENGLISH = "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"
_FRENCH = "8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e"
_ITALIAN = "5a26638089e134b8ac39363fe249c5c93c50cd8bfdc9b2499ae61ec4a35e2fcb"
_RUSSIAN = "ccbfaebfa450b7a9ddf644ae0f3d1e9017d5df7c0aebe816e946345589d38201"
_MENARDI = "3094530d98f8758ac275572d59624c41f60969fef883f34f4886d144f3dfeb21"
_GAME = PinnedPackage(
    "debian",
    "0ad-data",
    "0.0.26-1",
    "53745ae74d05bccf6783400fa98f3932b21729ab9d2e86151aa2c331c3455178",
)


class Voice(ABC):
    """The recordings of one voice."""

    @property
    @abstractmethod
    def files(self) -> tuple[str, ...]:
        """The recordings, sorted."""

    @abstractmethod
    def sound(self, file: str) -> Sound:
        """Decode a recording."""

    @abstractmethod
    def recording(self, file: str) -> SourceRecording:
        """Return a recording with its author and licence."""


@dataclass(frozen=True)
class Prompts(Voice):
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
class GameVoice(Voice):
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


def all_voices(work: Path) -> dict[str, Voice]:
    """Return the twelve voices by name, such as ``english_f`` and ``persian_m``."""

    def core(language: str, sha256: str) -> PinnedPackage:
        name = f"asterisk-core-sounds-{language}-wav"
        return PinnedPackage("debian", name, _CORE_VERSION, sha256)

    menardi = PinnedPackage(
        "debian", "asterisk-prompt-it-menardi-wav", "1:1.4.22+mm20110907-3.1", _MENARDI
    )
    prompts = {
        "english_f": Prompts(
            work,
            core("en", _ENGLISH),
            "en_US_f_Allison",
            "Allison Smith",
            "CC-BY-SA-3.0",
            "http://www.theivrvoice.com",
        ),
        "french_f": Prompts(
            work,
            core("fr", _FRENCH),
            "fr_CA_f_June",
            "June Wallack",
            "CC-BY-SA-3.0",
            "http://www.junewallack.com",
        ),
        "italian_m": Prompts(
            work,
            core("it", _ITALIAN),
            "it_IT_m_Carlo",
            "Carlo Flora",
            "CC-BY-3.0",
            "http://www.carloflora.com",
        ),
        "russian_f": Prompts(
            work,
            core("ru", _RUSSIAN),
            "ru_RU_f_IvrvoiceRU",
            "provided by Maxim Topal",
            "CC-BY-3.0",
            "",
        ),
        "italian_f": Prompts(
            work,
            menardi,
            "it_IT_f_Menardi",
            "Marco Menardi and Paola Dal Zot",
            "CC-BY-SA-3.0",
            "http://www.voip.ammdomus.it",
        ),
    }
    people = (
        ("greek", "female"),
        ("latin", "female"),
        ("latin", "male"),
        ("napatan", "female"),
        ("napatan", "male"),
        ("persian", "female"),
        ("persian", "male"),
    )
    return prompts | {f"{who}_{sex[0]}": GameVoice(work, who, sex) for who, sex in people}
