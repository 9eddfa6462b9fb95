"""Read the embedding directory of the original kit; see :mod:`harness.embeddings.heareval`."""

from __future__ import annotations

import contextlib
import hashlib
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.core.counts import plural
from harness.core.errors import UserError, is_damage, text_of
from harness.core.kinds import EmbeddingType
from harness.embeddings.heareval import DONE, heareval_order
from harness.embeddings.store import SplitEmbeddings
from hear_byola.core import jsontext
from tasks.format.task import Task, read_task

_CLIPS_VERIFIED = 100
"""Number of clips whose own files are compared with the rows that the permutation assigns them."""


def read_layout(
    directory: Path, group_pattern: str = ""
) -> tuple[Task, Mapping[str, SplitEmbeddings]]:
    """Read an embedding directory of the kit, or one that :mod:`harness.embeddings.heareval` wrote.

    The rows are sorted into the order of the split files, in memory.

    Args:
        directory: it may contain a ``groups.csv`` with the task's groups.
        group_pattern: derives the groups if there is no such file
            (:func:`tasks.format.task.read_task`).

    Returns:
        The task (it has no audio) and the embeddings of each split, float32.

    Raises:
        UserError: the directory is not complete, or its files do not agree.
    """
    if not (directory / DONE).is_file():
        raise UserError(
            f"'{directory}' is not a finished embedding directory of heareval: it has no {DONE}."
        )
    task = read_task(directory, group_pattern)
    read = _read_scenes if task.embedding_type == EmbeddingType.SCENE else _read_events
    splits = {}
    for split, order in heareval_order(task).items():
        rows = _read_rows(directory, split)
        splits[split] = read(task, split, rows, order)
        _verify(directory, splits[split])
    return task, splits


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise UserError if a file is missing or its content cannot be read."""
    try:
        yield
    except Exception as error:  # damaged files raise all kinds
        if not is_damage(error):
            raise
        raise UserError(f"'{path}' cannot be read: {text_of(error)}.") from error


def _read_rows(directory: Path, split: str) -> np.ndarray:
    path = directory / f"{split}.embeddings.npy"
    dimensions = directory / f"{split}.embedding-dimensions.json"
    with _reading(dimensions):
        count, size = map(operator.index, jsontext.load(dimensions.read_bytes()))
        bytes_found = path.stat().st_size
    if count < 1 or bytes_found != 4 * count * size:
        raise UserError(
            f"'{path}' has {bytes_found} bytes, but {dimensions.name} lists {count} rows of "
            f"{size} float32: the directory is damaged, embed again."
        )
    return np.memmap(path, dtype=np.float32, mode="r", shape=(count, size))


def _read_scenes(task: Task, split: str, rows: np.ndarray, order: Sequence[int]) -> SplitEmbeddings:
    if len(rows) != len(order):
        raise UserError(
            f"'{task.directory}', split {split}: {plural(len(rows), 'embedding')}, but "
            f"{split}.json has {plural(len(order), 'clip')}."
        )
    embeddings = rows[np.argsort(order)]
    return _split(task, split, embeddings, np.arange(len(rows) + 1), None)


def _read_events(task: Task, split: str, rows: np.ndarray, order: Sequence[int]) -> SplitEmbeddings:
    path = task.directory / f"{split}.filename-timestamps.json"
    with _reading(path):
        listed = jsontext.load(path.read_bytes())
        stamps = [(Path(name).name, float(time)) for name, time in listed]
    if len(stamps) != len(rows):
        raise UserError(
            f"'{path}' has {plural(len(stamps), 'timestamp')} for {plural(len(rows), 'embedding')}."
        )
    places: dict[str, list[int]] = {}
    for row, (name, _) in enumerate(stamps):
        places.setdefault(name, []).append(row)
    wanted = [Path(clip.name).name for clip in task.clips[split]]
    if set(wanted) != set(places):
        odd = sorted(set(wanted) ^ set(places))[0]
        raise UserError(f"'{path}' and {split}.json do not name the same clips: '{odd}'.")
    index = np.concatenate([np.array(places[name]) for name in wanted])
    times = np.array([time for _, time in stamps])[index]
    lengths = [len(places[name]) for name in wanted]
    return _split(task, split, rows[index], np.cumsum([0, *lengths]), times)


def _split(
    task: Task,
    split: str,
    embeddings: np.ndarray,
    offsets: np.ndarray,
    timestamps: np.ndarray | None,
) -> SplitEmbeddings:
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    clips = tuple(clip.name for clip in task.clips[split])
    if bad.size:
        name = clips[int(np.searchsorted(offsets, bad[0], side="right")) - 1]
        raise UserError(
            f"'{task.directory}', split {split}: NaN or infinite values in the embedding of "
            f"clip '{name}'."
        )
    digest = hashlib.sha256(np.ascontiguousarray(embeddings).data)
    if timestamps is not None:
        digest.update(timestamps.tobytes())
    manifest = {
        "layout": "heareval",
        "fingerprint": digest.hexdigest(),
        "model": {"label": task.directory.resolve().parent.name},
        "task": {"name": task.name, "version": task.version, "sha256": task.sha256},
        "n_clips": len(clips),
        "rows": len(embeddings),
        "embedding_size": embeddings.shape[1],
        "hop_ms": _hop(offsets, timestamps),
        "dtype": "float32",
    }
    return SplitEmbeddings(split, clips, embeddings, offsets.astype(np.int64), timestamps, manifest)


def _hop(offsets: np.ndarray, timestamps: np.ndarray | None) -> float | None:
    """Return the mean time in ms between timestamps of one clip."""
    if timestamps is None or len(timestamps) == len(offsets) - 1:
        return None
    spans = timestamps[offsets[1:] - 1] - timestamps[offsets[:-1]]
    return float(spans.sum() / (len(timestamps) - len(spans)))


def _verify(directory: Path, embedded: SplitEmbeddings) -> None:
    """Compare rows with the kit's files of single clips, if there are any."""
    step = max(1, math.ceil(len(embedded.clips) / _CLIPS_VERIFIED))
    for i in range(0, len(embedded.clips), step):
        path = directory / embedded.split / f"{embedded.clips[i]}.embedding.npy"
        if not path.is_file():
            return
        with _reading(path):
            single = np.atleast_2d(np.load(path, allow_pickle=False)).astype(np.float32)
        rows = embedded.embeddings[embedded.offsets[i] : embedded.offsets[i + 1]]
        if not np.array_equal(single, rows):
            raise UserError(
                f"'{path}' differs from that clip's rows in {embedded.split}.embeddings.npy: the "
                "split file's order was changed after embedding. Embed again."
            )
