"""The folder of a run: the names of its own files, and whether it can be written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.core.errors import UserError

AUDIO_HASHES = "audio-hashes.json"
"""The hashes of all audio that the run has read."""

CHECKED_AUDIO = "checked-audio.json"
"""The audio files that were checked and found good."""


class UnwritableError(UserError):
    """A run's folder cannot be written."""


def refuse_unwritable(out: Path) -> None:
    """Make a run's folder if it does not exist.

    Raises:
        UnwritableError: it cannot be made, or not be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UnwritableError(
            f"--out {out} cannot be written ({error.strerror}), and the run is not finished in it: "
            "name another folder, or change its rights."
        ) from error
