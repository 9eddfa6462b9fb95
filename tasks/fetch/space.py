"""Estimate the disk space of tasks before they are downloaded and unpacked."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.filesize import decimal

from harness.core.errors import UserError
from tasks.cards.card import Card

_BYTES_PER_HOUR = 3600 * 48000 * 2
"""16-bit mono at 48 kHz, the only rate of the published archives."""

_EXPANSION = 16
"""Assumed ratio of a task's size to its archive's size if the hours of audio are unknown. It is 9
for the published spoken_digit-1.0.9-small, which is padded with silence like most tasks."""

_SLACK = 1 << 20
"""Bytes for tables and headers, which are larger than the audio of a tiny task."""

LIMIT = 3
"""An archive that unpacks to more than this multiple of the estimate is refused."""


def expanded_estimate(card: Card, archive_bytes: int) -> int:
    """Return the estimated size of an unpacked task, in bytes."""
    hours = card.hours
    if hours is None and card.clips is not None and card.clip_seconds is not None:
        hours = card.clips * card.clip_seconds / 3600
    if hours is None:
        return archive_bytes * _EXPANSION + _SLACK
    # A task is not smaller than its archive, so a smaller estimate comes from a wrong card.
    return max(round(hours * _BYTES_PER_HOUR), archive_bytes) + _SLACK


def check_space(folder: Path, archives: int, expanded: int) -> None:
    """Check that there is enough space on the disk.

    Args:
        folder: existing folder for archives and tasks.
        archives: bytes still to be downloaded.
        expanded: estimated bytes still to be unpacked.

    Raises:
        UserError: there is not enough; the message contains the numbers.
    """
    free = shutil.disk_usage(folder).free
    if archives + expanded > free:
        raise UserError(
            f"This needs about {decimal(archives + expanded)} ({decimal(archives)} of archives and "
            f"{decimal(expanded)} unpacked), but {folder} has {decimal(free)} free. Make room, "
            "name another --tasks-dir, or fetch fewer tasks at a time."
        )
