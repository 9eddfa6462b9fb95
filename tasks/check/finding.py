"""What a check finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 3


@dataclass(frozen=True)
class AlikeClips:
    """Two clips that hold one recording; ``likeness`` of their waveforms is at most 1."""

    split: str
    clip: str
    other_split: str
    other_clip: str
    likeness: float
    same_samples: bool
    same_labels: bool


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a task directory.

    Attributes:
        severity: ``error`` (no score can be trusted or computed) or ``warning``.
        file: relative to the task directory; "" for the directory itself.
        reason: a sentence.
        split: of an error in one clip's audio, the clip's split, else "".
        clip: of an error in one clip's audio, the clip's name, else "".
        pairs: of a finding about clips that hold one recording, every pair.
    """

    severity: str
    file: str
    reason: str
    split: str = ""
    clip: str = ""
    pairs: tuple[AlikeClips, ...] = ()


def error(file: str, reason: str) -> Finding:
    """A finding that makes the task unfit."""
    return Finding("error", file, reason)


def warning(file: str, reason: str) -> Finding:
    """A finding that the user should know of."""
    return Finding("warning", file, reason)


def listing(names: Sequence[str]) -> str:
    """``'a'``, ``'a', 'b'`` or ``'a', 'b', 'c' and 6 more``."""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def clips(names: Sequence[str]) -> str:
    """``clip 'a'`` or ``9 clips ('a', 'b', 'c' and 6 more)``."""
    return f"clip {listing(names)}" if len(names) == 1 else f"{len(names)} clips ({listing(names)})"
