"""Read archives of arrays (npz) that may be damaged or made by others."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

_MOST_EXPANDED = 1 << 29
"""Bytes that the content of an archive may have beyond the archive's own. Archives are compressed
up to a thousand times, so that a small file could exhaust the memory."""


def read_arrays(source: Path | BinaryIO) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by their names; nothing is unpickled.

    Raises:
        OSError: the file cannot be read.
        Exception: the content is damaged, or too large for the size of the file. Libraries raise
            all kinds for wrong content (:func:`harness.core.errors.is_damage`).
    """
    if not zipfile.is_zipfile(source):
        # numpy would take it for a pickle, and its error would advise to allow pickles.
        if isinstance(source, Path):
            source.stat()  # raises OSError if the file is not there
        raise ValueError("it is not an archive of arrays")
    with zipfile.ZipFile(source) as archive:
        expanded = sum(member.file_size for member in archive.infolist())
        if expanded > _size(source) + _MOST_EXPANDED:
            raise ValueError(
                f"its content has {expanded:,} bytes, more than {_MOST_EXPANDED:,} above its size"
            )
    if not isinstance(source, Path):
        source.seek(0)
    with np.load(source, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if odd := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{odd[0]} is not an array")
    return arrays


def _size(source: Path | BinaryIO) -> int:
    if isinstance(source, Path):
        return source.stat().st_size
    return source.seek(0, os.SEEK_END)
