"""Write and read the saved state of a run; no code is unpickled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from hear_byola.core import wholefile
from hear_byola.core.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file of the run, as `hear_byola.core.wholefile.replacing` does.

    Raises:
        UserError: the file could not be written, for example because the disk is full.
    """
    try:
        with wholefile.replacing(path) as temporary:
            yield temporary
    # PyTorch's writer raises a RuntimeError when the file raises an OSError.
    except (OSError, RuntimeError) as error:
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        reason = getattr(cause, "strerror", None) or str(cause).splitlines()[0]
        before = "the older file is complete" if path.exists() else "nothing was saved before"
        raise UserError(
            f"{path} could not be written ({reason}); {before}. Make room, and repeat the command "
            "to resume."
        ) from error


class WholeFiles(CheckpointIO):
    """Lightning's reader and writer of the state that a run resumes from."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Replace the file in one step."""
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and plain values only."""
        try:
            content = torch.load(path, map_location=map_location or "cpu", weights_only=True)
            content["pytorch-lightning_version"]
            return content
        except Exception as error:  # damaged files raise all kinds
            raise UserError(
                f"{path} cannot be read ({type(error).__name__}): it is damaged, or not the state "
                "of a run. Delete it to start again."
            ) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)
