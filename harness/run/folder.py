"""The folder of a run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.core.errors import UserError


class UnwritableError(UserError):
    """A run's folder cannot be written."""


def refuse_unwritable(out: Path) -> None:
    """Make a run's folder, where it is not there.

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
