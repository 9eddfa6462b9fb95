"""Plan the embedding units of one model on one task; a long split is divided into chunks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.core.kinds import EmbeddingType
from harness.core.memory import FileMemory
from harness.embeddings.chunks import delete_chunks, plan_chunks
from harness.embeddings.fingerprint import (
    audio_sha256s,
    embedding_directory,
    fingerprint_of_audio,
)
from harness.models.module import HearModule
from harness.run.disk import rows_of
from harness.run.units import EmbeddingUnit, StoredEmbeddings
from tasks.audio import ContentHashes, audio_paths, resampled_length, source_rate
from tasks.check.sound import clip_frames
from tasks.format.task import Task, TaskSource


def stored_embeddings(
    module: HearModule,
    source: TaskSource,
    task: Task,
    out: Path,
    hashes: ContentHashes,
    memory: FileMemory,
    *,
    dtype: str,
    cached: float,
    read_only: bool = False,
) -> StoredEmbeddings:
    """Return the embeddings of one model on one task, done or not.

    Args:
        module: the model, identified.
        source: the task, with checked audio.
        task: what was read of it.
        out: the run's folder.
        hashes: the hashes of audio files.
        memory: what the check found out about audio files.
        dtype: of stored embeddings.
        cached: most bytes of resampled audio that the run's folder keeps.
        read_only: remove no leftovers.
    """
    units = []
    rate = source_rate(task, module.sample_rate)
    for split in task.splits:
        audio = audio_sha256s(task, split, rate, hashes)
        identity = functools.cache(
            functools.partial(fingerprint_of_audio, task, split, module, audio, dtype=dtype)
        )
        place = functools.partial(embedding_directory, out, module.whole, task, split)
        directory = place(identity(layers=tuple(module.layers)))
        every = place(identity(layers=tuple(range(module.n_layers))))
        if module.layers and every.is_dir():
            directory = every  # it contains the chosen layers
        unit = EmbeddingUnit(
            spec=module.spec,
            model_fingerprint=module.fingerprint,
            source=source,
            split=split,
            directory=directory,
            content=place(identity(layers=())).name,
            dtype=dtype,
            cached=cached,
        )
        if not directory.is_dir():
            unit = _divided(unit, task, module, audio, memory)
        elif not read_only:
            delete_chunks(directory)  # a process that joined them was stopped
        units.append(unit)
    return StoredEmbeddings(source, tuple(units), tuple(module.layers))


def _divided(
    unit: EmbeddingUnit, task: Task, module: HearModule, audio: Sequence[str], memory: FileMemory
) -> EmbeddingUnit:
    """Return a unit with its length and size, and with chunks if it is long."""
    sample_rate = module.sample_rate
    rate = source_rate(task, sample_rate)
    clips = task.clips[unit.split]
    frames = [clip_frames(path, memory) for path in audio_paths(task, unit.split, rate)]
    samples = [resampled_length(each, rate, sample_rate) for each in frames]
    event = task.embedding_type == EmbeddingType.EVENT
    chunks = plan_chunks(unit.directory, samples, audio, sample_rate, event=event)
    rows, width = len(clips), module.scene_embedding_size
    if event:
        rows = rows_of(samples, sample_rate, module.reference().times)
        width = module.timestamp_embedding_size
    seconds = sum(samples) / sample_rate
    return replace(unit, seconds=seconds, rows=rows, width=width, chunks=chunks)
