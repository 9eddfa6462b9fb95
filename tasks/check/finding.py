"""Define the findings of a check of a task directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 3


@dataclass(frozen=True)
class AlikeClips:
    """Two clips of the same recording; ``likeness`` of their waveforms is at most 1.

    ``same_samples`` and ``same_labels`` are None where this is not known: for a clip that a corpus
    without labels contains.
    """

    split: str
    clip: str
    other_split: str
    other_clip: str
    likeness: float
    same_samples: bool | None
    same_labels: bool | None


@dataclass(frozen=True)
class Finding:
    """One fault of a task directory.

    Attributes:
        severity: ``error`` (no score can be computed or trusted) or ``warning``.
        file: relative to the task directory; "" for the directory itself.
        reason: a sentence.
        split: the clip's split, for an error in the audio of one clip; else "".
        clip: the clip's name, for an error in the audio of one clip; else "".
        pairs: every pair of clips, for a finding about clips of the same recording.
    """

    severity: str
    file: str
    reason: str
    split: str = ""
    clip: str = ""
    pairs: tuple[AlikeClips, ...] = ()


def error(file: str, reason: str) -> Finding:
    """Return a finding that makes the task unusable."""
    return Finding("error", file, reason)


def warning(file: str, reason: str, pairs: tuple[AlikeClips, ...] = ()) -> Finding:
    """Return a finding that does not stop a run."""
    return Finding("warning", file, reason, pairs=pairs)


def listing(names: Sequence[str]) -> str:
    """Return names as ``'a'``, ``'a', 'b'`` or ``'a', 'b', 'c' and 6 more``."""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def clips(names: Sequence[str]) -> str:
    """Return clip names as ``clip 'a'`` or ``9 clips ('a', 'b', 'c' and 6 more)``."""
    return f"clip {listing(names)}" if len(names) == 1 else f"{len(names)} clips ({listing(names)})"
