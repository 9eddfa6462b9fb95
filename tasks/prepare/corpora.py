"""The corpora that can be prepared, by the name of their task's card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tasks.format.newtask import NewClip
from tasks.prepare import (
    esc50,
    nsynth,
    speech_commands,
    spoken_digit,
    urbansound8k,
    voxceleb1,
    voxforge,
)
from tasks.prepare.archive import SUFFIXES, Say
from tasks.prepare.folder import SourceFolder


@dataclass(frozen=True)
class Corpus:
    """How a corpus becomes the clips of a task.

    Attributes:
        clips: lists the task's clips, told the source folder and where to say what is odd. A clip
            whose ``source`` is None is one that the corpus lists and the folder lacks.
        tops: patterns of the folders and archives that hold its sounds, and lie in the folder that
            is usually named.
        rate: of HEAR's sample rates, in Hz, the lowest that loses nothing of the corpus, up to
            48,000.
    """

    clips: Callable[[SourceFolder, Say], list[NewClip]]
    tops: tuple[str, ...]
    rate: int


_ARCHIVES = tuple(f"*{suffix}" for suffix in SUFFIXES)
_COMMANDS = ("speech_commands_*", *_ARCHIVES)

CORPORA: Mapping[str, Corpus] = {
    "nsynth_instrument": Corpus(nsynth.clips, ("nsynth-*", *_ARCHIVES), 16000),
    "urbansound8k": Corpus(urbansound8k.clips, ("audio", *_ARCHIVES), 48000),
    "voxceleb1": Corpus(voxceleb1.clips, ("wav", *_ARCHIVES), 16000),
    "voxforge": Corpus(voxforge.clips, tuple(voxforge.FOLDERS), 16000),
    "speech_commands_v2_12": Corpus(speech_commands.twelve_classes, _COMMANDS, 16000),
    "speech_commands_v2_35": Corpus(speech_commands.words, _COMMANDS, 16000),
    "speech_commands_5h": Corpus(speech_commands.five_hours, _COMMANDS, 16000),
    "speech_commands_full": Corpus(speech_commands.twelve_classes, _COMMANDS, 16000),
    "spoken_digit": Corpus(spoken_digit.clips, ("recordings", *_ARCHIVES), 16000),
    "esc50": Corpus(esc50.clips, ("audio", *_ARCHIVES), 48000),
}
