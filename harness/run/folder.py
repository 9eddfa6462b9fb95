"""The folder of a run: the names of its files, and a check that it can be written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.core.errors import UserError

AUDIO_HASHES = "audio-hashes.json"
"""The hashes of all audio that the run has read."""

CHECKED_AUDIO = "checked-audio.json"
"""The audio files that passed the checks."""

RESAMPLED_AUDIO = "resampled-audio"
"""The folder of audio at the sample rates of models (:mod:`tasks.audio_cache`)."""


class UnwritableError(UserError):
    """A run's folder cannot be written."""


def refuse_unwritable(out: Path) -> None:
    """Make a run's folder if it does not exist, and check that it can be written.

    Raises:
        UnwritableError: it cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UnwritableError(
            f"--out {out} cannot be written ({error.strerror}), and the run in it is not finished. "
            "Name another folder, or change its permissions."
        ) from error
