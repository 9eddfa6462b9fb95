"""Embed a long split in chunks of clips: workers share it, and a stop loses one chunk.

Each chunk is a store of its own, in a folder beside that of the split. When all are done they are
joined. On a CPU, the joined store has the same bytes as if the split had been embedded at once,
because chunks are cut between the calls of the model.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.core.hashing import sha256_of
from harness.embeddings.batches import batches, limits
from harness.embeddings.embed import changed, work_record
from harness.embeddings.embedder import Clips, Embedder, Read, neighbours
from harness.embeddings.fingerprint import manifest
from harness.embeddings.store import SplitWriter, read_split
from harness.models.module import HearModule
from tasks.audio import ContentHashes, read_audio
from tasks.format.task import Task

# Seconds of audio in a chunk. `hear_byola` embeds 200 s in 0.3 s on a CPU core, a small transformer
# in 20 s, and a chunk costs 5 ms besides.
SHORTEST_SECONDS = 200.0
LONGEST_SECONDS = 600.0
# Chunks of a split with which several workers end at nearly the same time.
ENOUGH = 12


@dataclass(frozen=True, eq=False)
class Chunk:
    """Clips of a split that are embedded as one unit.

    Attributes:
        directory: of its embeddings; exists when they are done.
        clips: (n,) numbers of the clips in the split, in the order in which they are embedded.
        calls: numbers of consecutive clips that share a call of the model on a CPU.
        audio: hash of the hashes of their files.
        seconds: length of their audio.
    """

    directory: Path
    clips: np.ndarray
    calls: tuple[int, ...]
    audio: str
    seconds: float


def plan_chunks(
    directory: Path, samples: Sequence[int], audio: Sequence[str], rate: int, *, event: bool
) -> tuple[Chunk, ...]:
    """Divide the clips of a split.

    Args:
        directory: of the split's embeddings.
        samples: length of each clip at the model's sample rate.
        audio: hash of each clip's file.
        rate: the model's sample rate in Hz.
        event: the clips of an event task keep their order.

    Returns:
        At least two chunks of similar length; none for a split shorter than 1.5 of the shortest.
    """
    total = sum(samples)
    seconds = total / rate
    count = min(round(seconds / SHORTEST_SECONDS), max(ENOUGH, round(seconds / LONGEST_SECONDS)))
    if count < 2:
        return ()
    divided: list[list[list[int]]] = [[] for _ in range(count)]
    done = 0
    for batch in batches(map(range, samples), limits(rate, "cpu", event=event)):
        divided[(2 * done + batch.samples) * count // (2 * total)].append(batch.clips)
        done += batch.samples
    folder = _folder(directory)
    chunks = []
    for calls in filter(None, divided):
        clips = [clip for call in calls for clip in call]
        sizes = tuple(len(call) for call in calls)
        content = sha256_of([audio[clip] for clip in clips])
        name = sha256_of([directory.name, clips, sizes, content])[:16]
        seconds = sum(samples[clip] for clip in clips) / rate
        chunks.append(Chunk(folder / name, np.array(clips), sizes, content, seconds))
    return tuple(chunks)


def embed_chunk(
    chunk: Chunk,
    task: Task,
    split: str,
    module: HearModule,
    hashes: ContentHashes,
    *,
    dtype: str = "float32",
    progress: Callable[[int], None] = lambda clips: None,
    read: Read = read_audio,
) -> None:
    """Embed one chunk, unless its folder exists.

    Arguments and errors are those of :func:`harness.embeddings.embed.embed_split`.

    Raises:
        UserError: the audio is not that of the plan.
    """
    names = [task.clips[split][i].name for i in chunk.clips]
    clips = Clips.of(task, split, names, module, read)
    embedder = Embedder(module, clips, np.dtype(dtype))
    calls = chunk.calls if module.device == "cpu" else [len(names)]
    start = time.perf_counter()
    with SplitWriter(chunk.directory, split, embedder.width, dtype) as writer:
        embedder.run(calls, writer, progress)
        if sha256_of([hashes.sha256(path) for path in clips.paths]) != chunk.audio:
            raise changed(task, split)
        record = {
            "samples": embedder.samples,
            "batch_halvings": embedder.halvings,
            "embed_seconds": time.perf_counter() - start,
            "device": module.device,
        }
        timestamps = np.concatenate(embedder.times) if clips.event else None
        writer.finish(names, np.array(embedder.offsets, dtype=np.int64), timestamps, record)


def join_chunks(
    directory: Path,
    chunks: Sequence[Chunk],
    task: Task,
    split: str,
    module: HearModule,
    hashes: ContentHashes,
    *,
    dtype: str = "float32",
) -> None:
    """Make the embeddings of a split of its finished chunks, and delete these.

    Raises:
        UserError: the audio of the split changed; a chunk is damaged.
    """
    record = manifest(task, split, module, hashes, dtype=dtype)
    if not directory.name.endswith(record["fingerprint"][:16]):
        raise changed(task, split)
    names = [clip.name for clip in task.clips[split]]
    parts = [read_split(chunk.directory) for chunk in chunks]
    rows = np.zeros(len(names), dtype=np.int64)
    for chunk, part in zip(chunks, parts, strict=True):
        rows[chunk.clips] = np.diff(part.offsets)
    offsets = np.concatenate([[0], np.cumsum(rows)])
    timestamps = None if parts[0].timestamps is None else np.empty(offsets[-1])
    with SplitWriter(directory, split, parts[0].embeddings.shape[1], dtype) as writer:
        for chunk in chunks:
            part = read_split(chunk.directory)  # opened here, so that its pages are freed
            clips = chunk.clips.tolist()
            for run in neighbours(clips):
                first, last = clips[run.start], clips[run.stop - 1]
                source = slice(part.offsets[run.start], part.offsets[run.stop])
                writer.write(int(offsets[first]), part.embeddings[source])
                if timestamps is not None and part.timestamps is not None:
                    timestamps[offsets[first] : offsets[last + 1]] = part.timestamps[source]
        record |= work_record(offsets, timestamps, parts[0].embeddings.shape[1])
        done = [part.manifest for part in parts]
        record |= {
            "audio_seconds": round(sum(each["samples"] for each in done) / module.sample_rate, 3),
            "batch_halvings": sum(each["batch_halvings"] for each in done),
            "embed_seconds": round(sum(each["embed_seconds"] for each in done), 3),
            "device": ", ".join(sorted({each["device"] for each in done})),
        }
        writer.finish(names, offsets, timestamps, record)
    delete_chunks(directory)


def delete_chunks(directory: Path) -> None:
    """Delete the chunks of a split whose embeddings are in ``directory``."""
    shutil.rmtree(_folder(directory), ignore_errors=True)


def _folder(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-chunks")
