"""Stage 1 of an evaluation: embed one split of a task with a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.errors import UserError
from harness.embeddings.embedder import Clips, Embedder, Read
from harness.embeddings.fingerprint import embedding_directory, embedding_fingerprint, manifest
from harness.embeddings.store import DTYPES, SplitWriter
from harness.models.module import HearModule
from tasks.audio import ContentHashes, read_audio
from tasks.format.task import Task


def embed_split(
    task: Task,
    split: str,
    module: HearModule,
    out: Path,
    hashes: ContentHashes,
    *,
    dtype: str = "float32",
    progress: Callable[[int], None] = lambda clips: None,
    read: Read = read_audio,
) -> Path:
    """Embed one split unless its folder exists; return the folder.

    Args:
        task, split: the task and the name of its split.
        module: the model.
        out: the run's folder.
        hashes: cache of the hashes of audio files.
        dtype: of the stored embeddings, ``"float32"`` or ``"float16"``.
        progress: called with the number of clips done since its last call.
        read: returns the audio of a file at a sample rate.

    Raises:
        UserError: the module fails on a clip, returns NaN or infinite values (the clip is named) or
            violates the HEAR API; audio cannot be read, or changes during the work.
    """
    if dtype not in DTYPES:
        raise UserError(f"Embeddings are stored as {' or '.join(DTYPES)}, not as '{dtype}'.")
    if not task.clips[split]:
        raise UserError(f"The split {split} of {task.name} has no clip to embed.")
    record = manifest(task, split, module, hashes, dtype=dtype)
    directory = embedding_directory(out, module.whole, task, split, record["fingerprint"])
    if directory.is_dir():
        return directory
    names = [clip.name for clip in task.clips[split]]
    clips = Clips.of(task, split, names, module, read)
    embedder = Embedder(module, clips, np.dtype(dtype))
    start = time.perf_counter()
    with SplitWriter(directory, split, embedder.width, dtype) as writer:
        embedder.run([len(names)], writer, progress)
        offsets = np.array(embedder.offsets, dtype=np.int64)
        timestamps = np.concatenate(embedder.times) if embedder.times else None
        now = embedding_fingerprint(task, split, module, hashes, dtype=dtype)
        if now != record["fingerprint"]:
            raise changed(task, split)
        record |= work_record(offsets, timestamps, embedder.width)
        record |= {
            "audio_seconds": round(embedder.samples / module.sample_rate, 3),
            "batch_halvings": embedder.halvings,
            "embed_seconds": round(time.perf_counter() - start, 3),
        }
        writer.finish(names, offsets, timestamps, record)
    return directory


def changed(task: Task, split: str) -> UserError:
    """Return the error on audio that changed since its split was planned."""
    return UserError(
        f"Audio of {task.name}, split {split}, changed while it was embedded: run again."
    )


def work_record(offsets: np.ndarray, timestamps: np.ndarray | None, width: int) -> dict[str, Any]:
    """Return the fields of a manifest on the rows that were made."""
    hop = None
    if timestamps is not None:
        spans = timestamps[offsets[1:] - 1] - timestamps[offsets[:-1]]
        steps = int(offsets[-1]) - len(spans)
        hop = sum(spans.tolist()) / steps if steps else None
    return {"rows": int(offsets[-1]), "embedding_size": width, "hop_ms": hop}
