"""Define how the files of a corpus become the clips of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.format.newtask import NewClip
from tasks.prepare.archive import SUFFIXES, Say
from tasks.prepare.folder import SourceFolder

ANY_ARCHIVE = tuple(f"*{suffix}" for suffix in SUFFIXES)
"""Patterns of all readable archives, for :attr:`Corpus.tops`."""


@dataclass(frozen=True)
class Corpus:
    """How a corpus becomes the clips of one task.

    Attributes:
        name: name of the task and of its card.
        clips: returns the task's clips, given the source folder and a function that prints
            warnings. If the corpus lists a clip that the folder lacks, its ``source`` is None.
        tops: patterns of the folders and archives with the sounds, directly inside the folder that
            a user usually names.
        rate: the lowest of HEAR's sample rates, in Hz, that is not below the corpus's rate; at most
            48,000.
    """

    name: str
    clips: Callable[[SourceFolder, Say], list[NewClip]]
    tops: tuple[str, ...] = ANY_ARCHIVE
    rate: int = 16000
