"""What a unit has done so far, kept on disk, so that a unit that is stopped goes on from there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from harness.core.files import write_file

_FIELDS, _DIGEST = "fields", "sha256"


class Partial:
    """The file of an unfinished unit.

    It is written whole or not at all, as safetensors with the fields as JSON in its metadata. It is
    a convenience: a unit does not fail if the file cannot be written or read.
    """

    def __init__(self, path: Path | None = None, every: float = 30.0) -> None:
        """Name the file.

        Args:
            path: named by all that the unit depends on. If None, nothing is kept.
            every: seconds of work between two saves.
        """
        self._path = path
        self._every = every
        self._last = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time to save."""
        return self._path is not None and time.monotonic() - self._last >= self._every

    def save(self, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Replace what is kept by JSON fields (NaN and infinity included) and tensors."""
        if self._path is None:
            return
        kept = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        text = json.dumps(fields)
        content = safetensors.torch.save(kept, {_FIELDS: text, _DIGEST: _digest(text, kept)})
        with contextlib.suppress(OSError):
            write_file(self._path, content)
        self._last = time.monotonic()

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return the fields and tensors (on the CPU) that an earlier process saved, if any.

        A file that is not exactly what was saved counts as absent.
        """
        if self._path is None or not self._path.is_file():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                text, digest = file.metadata()[_FIELDS], file.metadata()[_DIGEST]
                # Copies are aligned as torch aligns its own, on which the bits of products depend.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return (json.loads(text), tensors) if _digest(text, tensors) == digest else None
        except Exception:  # damaged files raise all kinds
            return None

    def remove(self) -> None:
        """Remove the file of a finished unit."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def _digest(fields: str, tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256(fields.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
