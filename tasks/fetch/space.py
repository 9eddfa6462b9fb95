"""How much disk a task takes, before it is there."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.filesize import decimal

from harness.core.errors import UserError
from tasks.cards.card import Card

_BYTES_PER_HOUR = 3600 * 48000 * 2
"""16-bit mono at 48 kHz, the one rate that archives are published at."""

_EXPANSION = 16
"""How much larger than its archive a task is taken to be where its hours are not known. The
published spoken_digit-1.0.9-small, padded with silence like most, is 9 times as large."""

_SLACK = 1 << 20
"""For tables and headers, which outweigh the audio of a tiny task."""

LIMIT = 3
"""An archive that unpacks to more than this many times the estimate is refused."""


def expanded_estimate(card: Card, archive_bytes: int) -> int:
    """Return about how many bytes a task takes once unpacked."""
    hours = card.hours
    if hours is None and card.clips is not None and card.clip_seconds is not None:
        hours = card.clips * card.clip_seconds / 3600
    if hours is None:
        return archive_bytes * _EXPANSION + _SLACK
    # What is in an archive is in the task: an estimate below that is a wrong card.
    return max(round(hours * _BYTES_PER_HOUR), archive_bytes) + _SLACK


def check_space(folder: Path, archives: int, expanded: int) -> None:
    """Refuse to begin what would not fit.

    Args:
        folder: where archives and tasks go; it exists.
        archives: bytes that are yet to be downloaded.
        expanded: bytes that are yet to be unpacked, by estimate.

    Raises:
        UserError: with the numbers.
    """
    free = shutil.disk_usage(folder).free
    if archives + expanded > free:
        raise UserError(
            f"This takes about {decimal(archives + expanded)} ({decimal(archives)} of archives and "
            f"{decimal(expanded)} unpacked), and {folder} has {decimal(free)} free. Make room, "
            "name another --tasks-dir, or fetch fewer at a time."
        )
