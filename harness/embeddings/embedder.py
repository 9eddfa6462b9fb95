"""Embed clips with a model, call by call, and write the checked embeddings into a store."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from harness.core.errors import UserError, text_of
from harness.core.kinds import EmbeddingType
from harness.core.worker import sign_of_life
from harness.embeddings.batches import Batch, batches, limits
from harness.embeddings.store import SplitWriter
from harness.models.backends import is_out_of_memory
from harness.models.module import HearModule
from hear_byola.core.heap import keep_freed_memory
from tasks.audio import audio_path, read_audio, source_rate
from tasks.format.task import Task
from tasks.read_ahead import read_ahead

Read = Callable[[Path, int], np.ndarray]
"""Returns a clip as :func:`tasks.audio.read_audio` does."""


@dataclass(frozen=True)
class Clips:
    """Clips to embed, in the order in which they are read.

    Attributes:
        names: their names.
        paths: their audio files.
        where: task and split, for messages.
        event: embed their time steps instead of the whole clips.
        read: returns the audio of a file at a sample rate.
    """

    names: Sequence[str]
    paths: Sequence[Path]
    where: str
    event: bool
    read: Read = read_audio

    @classmethod
    def of(
        cls, task: Task, split: str, names: Sequence[str], module: HearModule, read: Read
    ) -> Clips:
        """Return clips of a task's split, to embed with a model."""
        rate = source_rate(task, module.sample_rate)
        paths = [audio_path(task, split, name, rate) for name in names]
        event = task.embedding_type == EmbeddingType.EVENT
        return cls(names, paths, f"{task.name}, split {split}", event, read)


class Embedder:
    """Embeds clips, and counts the work.

    Attributes:
        offsets: (n + 1,) the first row of each clip.
        times: for event tasks, the timestamps of each clip in ms.
        samples: number of samples that were embedded.
        halvings: how often the model ran out of memory.
    """

    def __init__(self, module: HearModule, clips: Clips, dtype: np.dtype) -> None:
        self._module = module
        self._clips = clips
        self._dtype = dtype
        self._most_samples: int | None = None  # in a call, after the model ran out of memory
        self.halvings = 0
        self.samples = 0
        # Scenes are written in any order: row i is clip i. Events are written in clip order.
        self.offsets = [0] if clips.event else list(range(len(clips.names) + 1))
        self.times: list[np.ndarray] = []

    @property
    def width(self) -> int:
        """Size of an embedding."""
        module = self._module
        return module.timestamp_embedding_size if self._clips.event else module.scene_embedding_size

    def run(
        self, stretches: Sequence[int], writer: SplitWriter, progress: Callable[[int], None]
    ) -> None:
        """Embed all clips into the writer's rows.

        Args:
            stretches: numbers of consecutive clips. Clips of two stretches never share a call.
            writer: takes the embeddings.
            progress: called with the number of clips done since its last call.
        """
        module, event = self._module, self._clips.event
        if module.device == "cpu":
            keep_freed_memory()
        most = limits(module.sample_rate, module.device, event=event)
        # Audio is read while the module runs, which can change the working directory.
        paths = [path.absolute() for path in self._clips.paths]
        ahead = read_ahead(paths, module.sample_rate, read=self._clips.read)
        with contextlib.closing(ahead) as audio:
            first = 0
            for count in stretches:
                for batch in batches(itertools.islice(audio, count), most, first):
                    for clips, embeddings, times in self._calls(batch):
                        self._store(writer, clips, embeddings, times)
                        progress(len(clips))
                    self.samples += batch.samples
                first += count

    def _calls(
        self, batch: Batch[np.ndarray]
    ) -> Iterator[tuple[list[int], np.ndarray, np.ndarray | None]]:
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
                self.halvings += 1
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
            return self._embed(clips, audio)
        except Exception as error:  # a module can raise any exception
            if isinstance(error, UserError) or not is_out_of_memory(error):
                raise self._failure(clips, audio, error) from error
            if len(clips) == 1:
                seconds = audio.shape[1] / self._module.sample_rate
                raise UserError(
                    f"{self._module.spec.label} ran out of memory on one clip of {seconds:.1f} s "
                    f"{self._where(clips)}. Run it on a device with more memory."
                ) from error
            return None

    def _embed(
        self, clips: Sequence[int], audio: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        sign_of_life(self._where(clips).strip("()"), audio.size / self._module.sample_rate)
        if self._clips.event:
            return self._module.timestamps(audio)
        return self._module.scene(audio), None

    def _failure(self, clips: Sequence[int], audio: np.ndarray, error: Exception) -> UserError:
        """Return the error of a call; it names one clip if that alone fails likewise.

        Another clip must succeed alone: after some errors of a GPU, for example, every call fails.
        """
        failed: tuple[int, Exception] | None = None
        some_succeed = False
        for clip, samples in zip(clips, audio, strict=True) if len(clips) > 1 else ():
            try:
                self._embed([clip], samples[None])
                some_succeed = True
            except Exception as alone:  # a module can raise any exception
                if failed is None and type(alone) is type(error) and not is_out_of_memory(alone):
                    failed = clip, alone
            if some_succeed and failed is not None:
                clips, error = [failed[0]], failed[1]
                break
        if isinstance(error, UserError):
            return self._error(str(error), clips)
        return self._error(f"{self._module.spec.label} failed: {text_of(error)}", clips)

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
            for run in neighbours(clips):
                writer.write(clips[run.start], embeddings[run])
            return
        writer.write(self.offsets[-1], embeddings.reshape(-1, embeddings.shape[-1]))
        for row in times.astype(np.float64):
            self.times.append(row)
            self.offsets.append(self.offsets[-1] + len(row))

    def _check_finite(self, clips: Sequence[int], embeddings: np.ndarray) -> None:
        values = embeddings.reshape(len(clips), -1)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            wrong = int((~np.isfinite(values[bad[0]])).sum())
            hint = " (float16 is limited to 65504)" if self._dtype == np.float16 else ""
            text = f"{self._module.spec.label} gave {wrong} NaN or infinite values{hint} of "
            raise self._error(f"{text}{values.shape[1]}", [clips[bad[0]]])

    def _error(self, text: str, clips: Sequence[int]) -> UserError:
        """Return the error of a call, with the clips that it was given."""
        return UserError(f"{text.rstrip('.')} {self._where(clips)}.")

    def _where(self, clips: Sequence[int]) -> str:
        more = f" and {len(clips) - 1} more of its length" if len(clips) > 1 else ""
        return f"(clip '{self._clips.names[clips[0]]}'{more}, {self._clips.where})"


def neighbours(clips: Sequence[int]) -> Iterator[slice]:
    """Yield the slices of ``clips`` with consecutive numbers."""
    start = 0
    for i in range(1, len(clips) + 1):
        if i == len(clips) or clips[i] != clips[i - 1] + 1:
            yield slice(start, i)
            start = i
