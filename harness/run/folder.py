"""The folder of a run: the names of its files, and a check that it can be written."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from harness.core.errors import Damaged, UserError, state_of
from harness.core.files import remove_abandoned
from harness.core.lease import claim_on, lease, remove_abandoned_claims
from hear_byola.core.owner import temporary_beside

AUDIO_HASHES = "audio-hashes.json"
"""The hashes of all audio that the run has read."""

CHECKED_AUDIO = "checked-audio.json"
"""The audio files that passed the checks."""

RESAMPLED_AUDIO = "resampled-audio"
"""The folder of audio at the sample rates of models (:mod:`tasks.audio_cache`)."""


_KEEP_LOGS = 30 * 86_400.0
"""Seconds for which the logs of failed splits are kept. A model that changed never writes to the
old ones again."""

_POLL = 0.1
"""Seconds between two looks whether another process has removed a folder."""


def clean(out: Path) -> None:
    """Remove temporary files and claims of killed processes, and old logs, from a run's folder."""
    _remove_old_logs(out)
    places = [out, *(out / name for name in ("models", "errors", "plans"))]
    places += (
        place for kind in ("embeddings", "probes", "results") for place in out.glob(f"{kind}/*/*")
    )
    chunks = [*out.glob("embeddings/*/*/*-chunks")]
    for place in [*places, *chunks]:
        with contextlib.suppress(OSError):  # another process can remove the same
            remove_abandoned(place)
            held = {claim.unit for claim in remove_abandoned_claims(place)}
            for partial in place.glob("*.partial"):
                if partial.with_suffix("").is_dir():  # the unit is finished
                    partial.unlink(missing_ok=True)
            for failure in place.glob("*.failed"):
                if failure.with_suffix("").is_dir():  # another process has embedded the split
                    failure.unlink(missing_ok=True)
            for progress in place.glob("*.progress"):
                if progress.with_suffix("") not in held:
                    progress.unlink(missing_ok=True)
    for place in chunks:
        unit = place.with_name(place.name.removesuffix("-chunks"))
        if unit.is_dir() and not claim_on(unit):  # the chunks have been joined
            shutil.rmtree(place, ignore_errors=True)


def _remove_old_logs(out: Path) -> None:
    logs = [*out.glob("embeddings/*/*/*.log"), *out.glob("embeddings/*/*/*-chunks/*.log")]
    for path in [*logs, *out.glob("embeddings/*/*/*.failed")]:
        with contextlib.suppress(OSError):  # another process can remove the same
            if path.stat().st_mtime < time.time() - _KEEP_LOGS:
                path.unlink()


def remove_damaged(error: Damaged) -> bool:
    """Remove a damaged folder of a run; return False if another process has removed it before.

    Several processes can find the same damage. None removes what another has made in its place.
    """
    while error.state is not None and state_of(error.folder) == error.state:
        with lease(error.folder) as mine:
            if mine and state_of(error.folder) == error.state:
                aside = temporary_beside(error.folder)  # in one step, as others may read it
                with contextlib.suppress(OSError):
                    error.folder.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
                return True
        time.sleep(_POLL)
    return False


def failure_of(split: Path) -> Path:
    """Return the file with the error for which ``embed`` gave up a split, beside its embeddings.

    The next attempt to embed the split removes it.
    """
    return split.with_name(f"{split.name}.failed")


class Folders:
    """Which folders exist in a run's folder, from one listing of each folder above them.

    A listing is much quicker than a look at each of thousands of folders of a network file system.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._listed: dict[str, set[str]] = {}

    def __contains__(self, folder: str) -> bool:
        """Return whether a folder, given by its path within the run's folder, exists."""
        above, _, name = folder.rpartition("/")
        if above not in self._listed:
            self._listed[above] = set()
            with contextlib.suppress(OSError), os.scandir(self._out / above) as entries:
                self._listed[above] = {entry.name for entry in entries if entry.is_dir()}
        return name in self._listed[above]


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
