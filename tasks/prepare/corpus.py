"""A corpus: how what its publisher packs becomes the clips of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.format.newtask import NewClip
from tasks.prepare.archive import SUFFIXES, Say
from tasks.prepare.folder import SourceFolder

ANY_ARCHIVE = tuple(f"*{suffix}" for suffix in SUFFIXES)
"""Patterns of all archives that can be read, for :attr:`Corpus.tops`."""


@dataclass(frozen=True)
class Corpus:
    """How a corpus becomes the clips of one task.

    Attributes:
        name: of the task and its card.
        clips: lists the task's clips, given the source folder and a function that prints what is
            odd. A clip whose ``source`` is None is one that the corpus lists and the folder lacks.
        tops: patterns of the folders and archives that hold its sounds, and lie in the folder that
            is usually named.
        rate: the lowest of HEAR's sample rates, in Hz, that loses nothing of the corpus, up to
            48,000.
    """

    name: str
    clips: Callable[[SourceFolder, Say], list[NewClip]]
    tops: tuple[str, ...] = ANY_ARCHIVE
    rate: int = 16000
