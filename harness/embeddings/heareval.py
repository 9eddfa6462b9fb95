"""Write the embedding directory of the original kit (heareval 2021.1.3).

Files: copies of the task's metadata, vocabulary and split files; per split the rows as float32
without a header (``<split>.embeddings.npy``, despite the name), their shape
(``<split>.embedding-dimensions.json``), the labels of each row (``<split>.target-labels.pkl``)
and for events file and time in ms of each row (``<split>.filename-timestamps.json``); and an empty
``.done.embeddings``. The files of a split are permuted by ``random.Random(0)``, with one generator
for all splits in metadata order. The reader repeats this permutation to assign scene rows to clips.

The pickles are written because the kit's second stage reads them. They are never read here: the
split files contain the same labels. :mod:`harness.embeddings.heareval_reader` reads the directory.
"""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.core.errors import UserError
from harness.core.files import new_directory, write_file
from harness.embeddings.store import SplitEmbeddings
from harness.metrics.events import frame_targets
from tasks.format.groups import GROUPS, groups_table
from tasks.format.task import Task

DONE = ".done.embeddings"
SCORES = "test.predicted-scores.json"


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
