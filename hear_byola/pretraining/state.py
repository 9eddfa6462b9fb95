"""The state of a run on disk, whole or absent, and read without unpickling code."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from hear_byola.pretraining.errors import PretrainError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file takes the place of `path` once it is written and synced.

    Its name depends on `path` alone: what a killed process left is written over. Only one process
    may write a `path` at a time.

    Raises:
        PretrainError: it could not be written, for instance because the disk is full; `path` is
            what it was.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    # PyTorch's writer reports a full disk as a RuntimeError.
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        before = "what was saved before is whole" if path.exists() else "nothing was saved before"
        raise PretrainError(
            f"{path} could not be written ({reason}); {before}. Make room, and give the same "
            "command to go on."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


class WholeFiles(CheckpointIO):
    """How Lightning writes and reads the state that a run resumes from."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Replace the file in one step."""
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read tensors and plain values, and no code."""
        try:
            content = torch.load(path, map_location=map_location or "cpu", weights_only=True)
            content["pytorch-lightning_version"]
            return content
        except Exception as error:
            raise PretrainError(
                f"{path} cannot be read ({type(error).__name__}): it is damaged, or no state of a "
                "run. Delete it to start anew."
            ) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)
