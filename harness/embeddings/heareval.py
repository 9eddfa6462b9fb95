"""Read and write the embedding directory of the original kit (heareval 2021.1.3).

Files: copies of the task's metadata, vocabulary and split files; per split the rows as float32
without a header (``<split>.embeddings.npy``, despite the name), their shape
(``<split>.embedding-dimensions.json``), the labels of each row (``<split>.target-labels.pkl``)
and for events file and time in ms of each row (``<split>.filename-timestamps.json``); and an empty
``.done.embeddings``. The files of a split are permuted by ``random.Random(0)``, with one generator
for all splits in metadata order. The reader repeats this permutation to assign scene rows to clips.

The pickles are written because the kit's second stage reads them. They are never read here: the
split files contain the same labels.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import operator
import pickle
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.core.counts import plural
from harness.core.errors import UserError, is_damage, text_of
from harness.core.files import new_directory, write_file
from harness.core.kinds import EmbeddingType
from harness.embeddings.store import SplitEmbeddings
from harness.metrics.events import frame_targets
from hear_byola.core import jsontext
from tasks.format.groups import GROUPS, groups_table
from tasks.format.task import Task, read_task

DONE = ".done.embeddings"
SCORES = "test.predicted-scores.json"

# Number of clips whose own files are compared with the rows that the permutation assigns to them.
CLIPS_VERIFIED = 100


def write_layout(task: Task, embeddings: Mapping[str, SplitEmbeddings], directory: Path) -> None:
    """Write embeddings so that ``python -m heareval.predictions.runner DIRECTORY`` runs on them.

    The kit's copies of each clip's embedding are omitted, because its second stage does not read
    them. A directory with these embeddings is not changed. An older one written by this function is
    replaced, unless it contains results of the kit.

    Args:
        task: its split files are copied without the clips that were left out.
        embeddings: of every split of the task.
        directory: ``EMBEDDINGS/MODULE/TASK``; the last part must be the task directory's name.

    Raises:
        UserError: the directory exists and must not be replaced.
    """
    mark = "".join(f"{embeddings[split].manifest['fingerprint']}\n" for split in task.splits)
    if directory.exists():
        # In the kit's own directories this file is empty; the kit only checks that it exists.
        done = directory / DONE
        if done.is_file() and done.read_text() == mark:
            _write_groups(task, directory)
            return
        if not done.is_file() or not done.read_text() or (directory / SCORES).exists():
            raise UserError(
                f"'{directory}' contains another model's or task's embeddings, or results of the "
                "original kit: move it away, or choose another --out."
            )
        shutil.rmtree(directory)
    with new_directory(directory) as temporary:
        for name in ("task_metadata.json", "labelvocabulary.csv"):
            shutil.copyfile(task.directory / name, temporary / name)
        for split, order in heareval_order(task).items():
            _write_split_file(task, split, temporary)
            _write_rows(task, embeddings[split], order, temporary, directory)
        _write_groups(task, temporary)
        (temporary / DONE).write_text(mark)


def _write_groups(task: Task, directory: Path) -> None:
    # Apply the card's pattern here: the directory may be used where the card is missing.
    path = directory / GROUPS
    if not task.has_groups:
        path.unlink(missing_ok=True)
        return
    groups = {clip.name: clip.group for split in task.splits for clip in task.clips[split]}
    content = groups_table(groups)
    if not path.is_file() or path.read_text("utf-8") != content:
        write_file(path, content)


def heareval_order(task: Task) -> dict[str, list[int]]:
    """Return each split's clips as indices, in the order of the kit's rows.

    Training reads rows in this order, every epoch: the kit never shuffles again.
    """
    sizes = [len(task.clips[split]) for split in task.splits]
    return dict(zip(task.splits, permutations(sizes), strict=True))


def permutations(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yield the order of files in the kit's rows, split by split: row i is file ``order[i]``.

    ``random.Random.shuffle`` depends only on the list's length, so the orders equal the kit's.
    """
    generator = random.Random(0)
    for size in sizes:
        order = list(range(size))
        generator.shuffle(order)
        yield order


def _write_split_file(task: Task, split: str, directory: Path) -> None:
    source = task.directory / f"{split}.json"
    kept = {clip.name for clip in task.clips[split]}
    content = json.loads(source.read_bytes())
    if len(kept) == len(content):
        shutil.copyfile(source, directory / source.name)
    else:
        rest = {name: labels for name, labels in content.items() if name in kept}
        (directory / source.name).write_text(json.dumps(rest, indent=1))


def _write_rows(
    task: Task, embedded: SplitEmbeddings, order: Sequence[int], folder: Path, final: Path
) -> None:
    split, offsets = embedded.split, embedded.offsets
    with (folder / f"{split}.embeddings.npy").open("wb") as file:
        for i in order:
            rows = embedded.embeddings[offsets[i] : offsets[i + 1]]
            file.write(np.ascontiguousarray(rows, dtype=np.float32).data)
    _write_json(folder / f"{split}.embedding-dimensions.json", list(embedded.embeddings.shape))
    labels: list[list[str]] = []
    stamps: list[tuple[str, float]] = []
    for i in order:
        clip = task.clips[split][i]
        if embedded.timestamps is None:
            labels.append(list(clip.labels))
            continue
        times = embedded.timestamps[offsets[i] : offsets[i + 1]]
        active = frame_targets(times, clip.events, task.labels)
        labels += [[task.labels[k] for k in np.flatnonzero(row)] for row in active]
        stamps += [(str(final / split / clip.name), float(time)) for time in times]
    with (folder / f"{split}.target-labels.pkl").open("wb") as file:
        pickle.dump(labels, file)
    if embedded.timestamps is not None:
        _write_json(folder / f"{split}.filename-timestamps.json", stamps)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def read_layout(
    directory: Path, group_pattern: str = ""
) -> tuple[Task, Mapping[str, SplitEmbeddings]]:
    """Read an embedding directory of the kit or of :func:`write_layout`.

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
    except Exception as error:
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
    step = max(1, math.ceil(len(embedded.clips) / CLIPS_VERIFIED))
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
