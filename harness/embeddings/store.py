"""The embedding store on disk: one folder per model, task and split, complete or absent.

A folder contains ``<split>.npy`` (one row per clip or timestamp), ``<split>.index.npz`` (clip
names, the first row of each clip, timestamps in ms) and ``manifest.json``. It is written under a
temporary name, synced to the disk and renamed, so a folder under its final name is complete.
Temporary folders of killed processes are never read. No file is a pickle.

If a model embeds several layers, a row contains their embeddings one after the other, and the
manifest has the columns of each. The path :func:`layers_path` opens some of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from pydantic import ConfigDict

from harness.core.arrays import read_arrays
from harness.core.counts import plural
from harness.core.errors import Damaged, UserError, damage_in, state_of
from harness.core.files import new_directory
from hear_byola.core import jsontext
from hear_byola.core.schema import Schema, Whole, read

FORMAT_VERSION = 1
DTYPES = ("float32", "float16")


class _Manifest(Schema):
    """The fields of ``manifest.json`` that are read again; the others document the work."""

    model_config = ConfigDict(extra="allow")

    format_version: Whole
    split: str
    fingerprint: str = ""
    hop_ms: float | None = None
    resampled_from: int | None = None
    n_skipped: int = 0
    skipped: tuple[str, ...] = ()
    batch_halvings: int = 0
    embed_seconds: float | None = None
    audio_seconds: float | None = None
    device: str = ""
    audio: Mapping[str, Any] = {}
    layers: Mapping[str, tuple[int, int]] = {}


@dataclass(frozen=True, eq=False)
class SplitEmbeddings:
    """The embeddings of one split.

    Attributes:
        split: the split's name.
        clips: clip names, in the order of the task's split file.
        embeddings: ``(rows, size)`` float32 or float16, memory-mapped if read from the store.
        offsets: ``(n_clips + 1,)`` int64; clip i has the rows ``offsets[i]:offsets[i + 1]``.
        timestamps: ``(rows,)`` float64 in ms, or None for scene embeddings.
        manifest: the record of how they were made.
    """

    split: str
    clips: tuple[str, ...]
    embeddings: np.ndarray
    offsets: np.ndarray
    timestamps: np.ndarray | None
    manifest: Mapping[str, Any]


class SplitWriter:
    """Writes the rows of a split as they are made, in any order, in constant memory.

    It is a context manager. If the block ends without :meth:`finish`, the written rows are deleted.
    """

    def __init__(self, directory: Path, split: str, size: int, dtype: str) -> None:
        self._directory = directory
        self._split = split
        self._size = size
        self._dtype = np.dtype(dtype)

    def __enter__(self) -> SplitWriter:
        self._stack = contextlib.ExitStack()
        self._temporary = self._stack.enter_context(new_directory(self._directory))
        rows = self._temporary / f"{self._split}.npy"
        self._file = self._stack.enter_context(rows.open("wb"))
        self._header(0)
        self._start = self._file.tell()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After finish() the stack is empty. Before, an exception makes it delete the folder.
        dropped = error or GeneratorExit()
        self._stack.__exit__(type(dropped), dropped, traceback)

    def _header(self, rows: int) -> None:
        # numpy pads the header so that the first axis can grow without changing its length.
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (rows, self._size),
            },
        )

    def write(self, row: int, embeddings: np.ndarray) -> None:
        """Write ``(k, size)`` embeddings into the rows ``row:row + k``."""
        self._file.seek(self._start + row * self._size * self._dtype.itemsize)
        self._file.write(np.ascontiguousarray(embeddings, dtype=self._dtype).data)

    def finish(
        self,
        clips: Sequence[str],
        offsets: np.ndarray,
        timestamps: np.ndarray | None,
        manifest: Mapping[str, object],
    ) -> None:
        """Write index and manifest, and give the folder its final name."""
        self._file.seek(0)
        self._header(int(offsets[-1]))
        assert self._file.tell() == self._start
        index: dict[str, Any] = {"clips": np.array(list(clips), dtype=np.str_), "offsets": offsets}
        if timestamps is not None:
            index["timestamps"] = timestamps
        np.savez(self._temporary / f"{self._split}.index.npz", **index)
        record = {**manifest, "format_version": FORMAT_VERSION, "split": self._split}
        (self._temporary / "manifest.json").write_text(json.dumps(record, indent=1, sort_keys=True))
        self._stack.close()


def write_split(
    directory: Path,
    split: str,
    clips: Sequence[str],
    embeddings: np.ndarray,
    offsets: np.ndarray,
    timestamps: np.ndarray | None,
    manifest: Mapping[str, object],
) -> None:
    """Write a split from memory; :class:`SplitEmbeddings` gives the shapes."""
    with SplitWriter(directory, split, embeddings.shape[1], str(embeddings.dtype)) as writer:
        writer.write(0, embeddings)
        writer.finish(clips, offsets, timestamps, manifest)


def layers_path(directory: Path, first: int, last: int) -> Path:
    """Return the path that opens the layers from ``first`` to ``last`` of a folder with several."""
    return directory / f"layers-{first}-{last}"


def read_split(directory: Path) -> SplitEmbeddings:
    """Open a finished folder, or some of its layers; the embeddings stay on disk, memory-mapped.

    Raises:
        UserError: the folder does not exist or has another format version.
        Damaged: a file is damaged, or the files do not match.
    """
    if ends := re.fullmatch(r"layers-(\d+)-(\d+)", directory.name):
        return _layers(directory.parent, range(int(ends[1]), int(ends[2]) + 1))
    manifest_path = directory / "manifest.json"
    if not manifest_path.is_file():
        raise UserError(f"There are no embeddings in '{directory}': it has no manifest.json.")
    with damage_in(directory):
        content = jsontext.load(manifest_path.read_bytes())
        manifest = read(_Manifest, content, "manifest.json", ValueError)
    if manifest.format_version != FORMAT_VERSION:
        raise UserError(
            f"The embeddings in '{directory}' have format version {manifest.format_version}, and "
            f"this program reads version {FORMAT_VERSION}: delete the folder and embed again."
        )
    split = manifest.split
    with damage_in(directory):
        embeddings = np.load(directory / f"{split}.npy", mmap_mode="r", allow_pickle=False)
        if embeddings.ndim != 2 or embeddings.dtype.name not in DTYPES:
            raise ValueError(f"embeddings are not of two axes and {' or '.join(DTYPES)}")
        index = read_arrays(directory / f"{split}.index.npz")
        clips, offsets, timestamps = _checked_index(index, len(embeddings))
    known = manifest.model_dump(mode="json", exclude_unset=True)
    return SplitEmbeddings(split, clips, embeddings, offsets, timestamps, known)


def _checked_index(
    index: Mapping[str, np.ndarray], rows: int
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray | None]:
    """Return the clips, offsets and timestamps of a split.

    Raises:
        KeyError: an array is missing.
        ValueError: the arrays do not match; the message names one.
    """
    names, offsets, timestamps = index["clips"], index["offsets"], index.get("timestamps")
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError("clips are not names")
    if offsets.shape != (len(names) + 1,) or offsets.dtype.kind not in "iu":
        raise ValueError(f"offsets are not {len(names) + 1} whole numbers")
    if offsets[0] != 0 or offsets[-1] != rows or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"{plural(rows, 'row')}, but the index lists {offsets[-1]}")
    if timestamps is not None and (
        timestamps.shape != (rows,) or timestamps.dtype.kind not in "fiu"
    ):
        raise ValueError(f"{plural(rows, 'row')}, but timestamps of shape {timestamps.shape}")
    return tuple(names.tolist()), offsets, timestamps


def _layers(directory: Path, layers: Sequence[int]) -> SplitEmbeddings:
    """Open some layers; their columns are counted from the first one."""
    state, whole = state_of(directory), read_split(directory)
    known = whole.manifest.get("layers", {})
    if lacking := [layer for layer in layers if str(layer) not in known]:
        raise Damaged(directory, f"it has no layer {lacking[0]}", state)
    columns = {str(layer): known[str(layer)] for layer in layers}
    first, end = columns[str(layers[0])][0], columns[str(layers[-1])][1]
    shifted = {layer: (a - first, b - first) for layer, (a, b) in columns.items()}
    return dataclasses.replace(
        whole,
        embeddings=whole.embeddings[:, first:end],
        manifest={**whole.manifest, "layers": shifted},
    )
