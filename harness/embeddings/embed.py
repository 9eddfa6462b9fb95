"""Stage 1 of an evaluation: embed one split of a task with a model.

Audio is decoded ahead in threads while the model works. Only clips of equal length share a call of
the model, so no clip is padded. Every embedding is checked before it is stored.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.core.errors import UserError
from harness.core.hashing import sha256_of
from harness.core.kinds import EmbeddingType
from harness.embeddings.store import DTYPES, FORMAT_VERSION, SplitWriter
from harness.models.backends import is_out_of_memory
from harness.models.module import HearModule
from harness.models.spec import ModelSpec, folder_name
from tasks.audio import ContentHashes, audio_path, read_ahead, source_rate
from tasks.format.task import Task

# Seconds of audio in one call of the model. Measured on a CPU with 32 MiB of last-level cache, one
# thread, clips of 1 s: compared with 10 s a call, a small HuBERT takes 1.6 times as long with one
# clip a call, and 1.5 times as long with 30 s, whose activations do not fit the cache. `hear_byola`
# limits its own batches: it takes 1.7 times as long with one clip, and the same from 10 s on. A GPU
# needs more audio to be busy; if it runs out of memory, calls are halved below.
CPU_CALL_SECONDS = 10.0
GPU_CALL_SECONDS = 480.0
# Most seconds of decoded audio that wait for clips of the same length (77 MB at 16 kHz).
WAITING_SECONDS = 1200.0


_OF_MODEL = {"label", "module", "checkpoint", "checkpoint_sha256", "fingerprint"}


def embedding_fingerprint(
    task: Task, split: str, module: HearModule, hashes: ContentHashes, *, dtype: str = "float32"
) -> str:
    """Return a hash of everything that the embeddings of a split depend on.

    These are the module's fingerprint, the task's version and split file, the clips' names and
    audio contents in order, the model's sample rate and that of the files, the stored dtype and the
    store's format.
    """
    rate = source_rate(task, module.sample_rate)
    clips = task.clips[split]
    return sha256_of(
        {
            "format_version": FORMAT_VERSION,
            "module": module.fingerprint,
            "task_version": task.version,
            "embedding_type": task.embedding_type,
            "split_file": task.split_sha256(split),
            "clips": [clip.name for clip in clips],
            "audio": _audio_sha256s(task, split, rate, hashes),
            "sample_rate": module.sample_rate,
            "source_rate": rate,
            "dtype": dtype,
        }
    )


def _audio_sha256s(task: Task, split: str, rate: int, hashes: ContentHashes) -> list[str]:
    return [hashes.sha256(audio_path(task, split, clip.name, rate)) for clip in task.clips[split]]


def embedding_directory(
    out: Path, spec: ModelSpec, task: Task, split: str, fingerprint: str
) -> Path:
    """Return the folder of a split's embeddings; it exists if and only if they are complete."""
    return out / "embeddings" / folder_name(spec.label) / task.name / f"{split}-{fingerprint[:16]}"


def embed_split(
    task: Task,
    split: str,
    module: HearModule,
    out: Path,
    hashes: ContentHashes,
    *,
    dtype: str = "float32",
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Embed one split unless its folder exists; return the folder.

    Args:
        task, split: the task and the name of its split.
        module: the model.
        out: the run's folder.
        hashes: cache of the hashes of audio files.
        dtype: of the stored embeddings, ``"float32"`` or ``"float16"``.
        progress: called with the number of clips done since its last call.

    Raises:
        UserError: the module fails on a clip, returns NaN or infinite values (the clip is named) or
            violates the HEAR API; audio cannot be read, or changes during the work.
    """
    if dtype not in DTYPES:
        raise UserError(f"Embeddings are stored as {' or '.join(DTYPES)}, not as '{dtype}'.")
    if not task.clips[split]:
        raise UserError(f"The split {split} of {task.name} has no clip to embed.")
    fingerprint = embedding_fingerprint(task, split, module, hashes, dtype=dtype)
    directory = embedding_directory(out, module.spec, task, split, fingerprint)
    if directory.is_dir():
        return directory
    embedder = _Embedder(task, split, module, np.dtype(dtype))
    width = module.scene_embedding_size
    if task.embedding_type == EmbeddingType.EVENT:
        width = module.timestamp_embedding_size
    start = time.perf_counter()
    with SplitWriter(directory, split, width, dtype) as writer:
        embedder.run(writer, progress or (lambda clips: None))
        record = _manifest(task, split, module, fingerprint, dtype) | embedder.record()
        record["audio"] = _audio(task, split, module, hashes)
        if embedding_fingerprint(task, split, module, hashes, dtype=dtype) != fingerprint:
            raise UserError(
                f"Audio of {task.name}, split {split}, changed while it was embedded: run again."
            )
        record["embed_seconds"] = round(time.perf_counter() - start, 3)
        timestamps = np.concatenate(embedder.times) if embedder.times else None
        writer.finish(
            [clip.name for clip in task.clips[split]],
            np.array(embedder.offsets, dtype=np.int64),
            timestamps,
            record,
        )
    return directory


def _audio(task: Task, split: str, module: HearModule, hashes: ContentHashes) -> dict[str, Any]:
    """Return the rate and a hash of the recordings that does not depend on their order."""
    rate = source_rate(task, module.sample_rate)
    names = [clip.name for clip in task.clips[split]]
    heard = dict(zip(names, _audio_sha256s(task, split, rate, hashes), strict=True))
    return {"rate": rate, "sha256": sha256_of(heard)}


def _manifest(
    task: Task, split: str, module: HearModule, fingerprint: str, dtype: str
) -> dict[str, Any]:
    rate = source_rate(task, module.sample_rate)
    skipped = list(task.skipped.get(split, ()))
    return {
        "fingerprint": fingerprint,
        "model": {
            **module.info.model_dump(include=_OF_MODEL),
            "options": {key: _plain(value) for key, value in module.spec.options.items()},
        },
        "frontend_convention": module.frontend_convention,
        "task": {"name": task.name, "version": task.version, "sha256": task.sha256},
        "sample_rate": module.sample_rate,
        "resampled_from": None if rate == module.sample_rate else rate,
        "n_clips": len(task.clips[split]),
        "n_skipped": len(skipped),
        "skipped": skipped,
        "dtype": dtype,
        "device": module.device,
        "layers": {str(layer): columns for layer, columns in module.layers.items()},
        "harness_version": metadata.version("hear-byola"),
        "torch_version": torch.__version__,
    }


def _plain(value: object) -> object:
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


@dataclass
class _Batch:
    """Clips of equal length: their places in the split and their audio."""

    clips: list[int] = field(default_factory=list)
    audio: list[np.ndarray] = field(default_factory=list)

    @property
    def samples(self) -> int:
        return len(self.audio) * len(self.audio[0])


def batches(
    audio: Iterable[np.ndarray], call_samples: int, waiting_samples: int
) -> Iterator[_Batch]:
    """Group a stream of clips by length into calls of at most ``call_samples`` samples each.

    A longer clip is a call of its own. Clips that wait for others of their length have at most
    ``waiting_samples`` samples in total; otherwise the largest group is called next. With 0, only
    neighbours share a call and the order is kept.
    """
    waiting: dict[int, _Batch] = {}
    for i, clip in enumerate(audio):
        others = sum(batch.samples for n, batch in waiting.items() if n != len(clip))
        while others and others + len(clip) > waiting_samples:
            largest = max((n for n in waiting if n != len(clip)), key=lambda n: waiting[n].samples)
            others -= waiting[largest].samples
            yield waiting.pop(largest)
        batch = waiting.setdefault(len(clip), _Batch())
        batch.clips.append(i)
        batch.audio.append(clip)
        if batch.samples + len(clip) > call_samples:
            yield waiting.pop(len(clip))
    yield from waiting.values()


class _Embedder:
    """Embeds a split batch by batch and records the numbers for the manifest."""

    def __init__(self, task: Task, split: str, module: HearModule, dtype: np.dtype) -> None:
        self._task = task
        self._split = split
        self._module = module
        self._dtype = dtype
        self._event = task.embedding_type == EmbeddingType.EVENT
        self._names = [clip.name for clip in task.clips[split]]
        # Largest call after the model ran out of memory; None if it never did.
        self._most_samples: int | None = None
        self._halvings = 0
        self._samples = 0
        self._span = [0.0, 0]  # ms between first and last timestamps, and steps between them
        # Scenes are written in any order: row i is clip i. Events are written in clip order.
        self.offsets = [0] if self._event else list(range(len(self._names) + 1))
        self.times: list[np.ndarray] = []

    def run(self, writer: SplitWriter, progress: Callable[[int], None]) -> None:
        """Embed all clips into the writer's rows."""
        rate = self._module.sample_rate
        source = source_rate(self._task, rate)
        paths = [audio_path(self._task, self._split, name, source) for name in self._names]
        on_gpu = self._module.device != "cpu"
        seconds = GPU_CALL_SECONDS if on_gpu else CPU_CALL_SECONDS
        waiting = 0 if self._event else int(WAITING_SECONDS * rate)
        with contextlib.closing(read_ahead(paths, rate)) as audio:
            for batch in batches(audio, int(seconds * rate), waiting):
                for clips, embeddings, times in self._calls(batch):
                    self._store(writer, clips, embeddings, times)
                    progress(len(clips))
                self._samples += batch.samples

    def record(self) -> dict[str, Any]:
        """Return the manifest's fields on this work."""
        span, steps = self._span
        return {
            "rows": self.offsets[-1],
            "embedding_size": self._width,
            "hop_ms": span / steps if steps else None,
            "audio_seconds": round(self._samples / self._module.sample_rate, 3),
            "batch_halvings": self._halvings,
        }

    @property
    def _width(self) -> int:
        module = self._module
        return module.timestamp_embedding_size if self._event else module.scene_embedding_size

    def _calls(self, batch: _Batch) -> Iterator[tuple[list[int], np.ndarray, np.ndarray | None]]:
        """Embed a batch, in smaller calls if memory runs out: each failure halves the call."""
        length = len(batch.audio[0])
        start = 0
        while start < len(batch.clips):
            count = len(batch.clips) - start
            if self._most_samples is not None:
                count = min(count, max(1, self._most_samples // length))
            clips = batch.clips[start : start + count]
            answer = self._call(clips, np.stack(batch.audio[start : start + count]))
            if answer is None:
                self._halvings += 1
                self._most_samples = count // 2 * length
                torch.cuda.empty_cache()
                continue
            yield clips, *answer
            start += count

    def _call(
        self, clips: Sequence[int], audio: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Return the model's embeddings; None if it ran out of memory on more than one clip."""
        try:
            if self._event:
                return self._module.timestamps(audio)
            return self._module.scene(audio), None
        except UserError as error:
            raise UserError(f"{error} {self._where(clips)}") from error
        except Exception as error:
            if not is_out_of_memory(error):
                raise UserError(
                    f"{self._module.spec.label} failed: {type(error).__name__}: {error} "
                    f"{self._where(clips)}"
                ) from error
            if len(clips) == 1:
                seconds = audio.shape[1] / self._module.sample_rate
                raise UserError(
                    f"{self._module.spec.label} ran out of memory on one clip of {seconds:.1f} s. "
                    f"{self._where(clips)} Run it on a device with more memory."
                ) from error
            return None

    def _store(
        self,
        writer: SplitWriter,
        clips: Sequence[int],
        embeddings: np.ndarray,
        times: np.ndarray | None,
    ) -> None:
        with np.errstate(over="ignore"):  # too large values become infinite and are refused below
            embeddings = embeddings.astype(self._dtype, copy=False)
        self._check_finite(clips, embeddings)
        if times is None:
            for run in _neighbours(clips):
                writer.write(clips[run.start], embeddings[run])
            return
        writer.write(self.offsets[-1], embeddings.reshape(-1, embeddings.shape[-1]))
        for row in times.astype(np.float64):
            self.times.append(row)
            self.offsets.append(self.offsets[-1] + len(row))
            self._span[0] += row[-1] - row[0]
            self._span[1] += len(row) - 1

    def _check_finite(self, clips: Sequence[int], embeddings: np.ndarray) -> None:
        values = embeddings.reshape(len(clips), -1)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            wrong = int((~np.isfinite(values[bad[0]])).sum())
            hint = " (float16 is limited to 65504)" if self._dtype == np.float16 else ""
            raise UserError(
                f"{self._module.spec.label} gave {wrong} NaN or infinite values{hint} of "
                f"{values.shape[1]}. {self._where([clips[bad[0]]])}"
            )

    def _where(self, clips: Sequence[int]) -> str:
        more = f" and {len(clips) - 1} more of its length" if len(clips) > 1 else ""
        return f"(clip '{self._names[clips[0]]}'{more}, {self._task.name}, split {self._split})"


def _neighbours(clips: Sequence[int]) -> Iterator[slice]:
    """Yield slices of ``clips`` with consecutive numbers."""
    start = 0
    for i in range(1, len(clips) + 1):
        if i == len(clips) or clips[i] != clips[i - 1] + 1:
            yield slice(start, i)
            start = i
