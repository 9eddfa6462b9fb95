"""Group clips into calls of a model.

Only clips of equal length share a call, so no clip is padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

# Seconds of audio in one call of the model, measured with clips of 1 s on one thread of a CPU with
# 32 MiB of last-level cache. A small HuBERT takes 1.6 times as long in calls of 1 s as in calls of
# 10 s, and 1.5 times as long in calls of 30 s, whose activations do not fit the cache. `hear_byola`
# limits its own batches: it takes 1.7 times as long in calls of 1 s, and the same from 10 s on. A
# GPU needs more audio to be busy; if it runs out of memory, calls are halved (`embedder`).
CPU_CALL_SECONDS = 10.0
GPU_CALL_SECONDS = 480.0
# Most seconds of decoded audio that wait for clips of the same length (77 MB at 16 kHz).
WAITING_SECONDS = 1200.0

Audio = TypeVar("Audio", bound=Sized)
"""A clip, of which only the length is read here."""


class Limits(NamedTuple):
    """Most samples in one call, and most samples that wait for clips of the same length."""

    call: int
    waiting: int


def limits(rate: int, device: str, *, event: bool) -> Limits:
    """Return the limits for a model at ``rate`` Hz; the clips of an event task keep their order."""
    seconds = CPU_CALL_SECONDS if device == "cpu" else GPU_CALL_SECONDS
    return Limits(int(seconds * rate), 0 if event else int(WAITING_SECONDS * rate))


@dataclass
class Batch(Generic[Audio]):
    """Clips of equal length: their numbers and their audio."""

    clips: list[int] = field(default_factory=list)
    audio: list[Audio] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Number of samples of all clips."""
        return len(self.audio) * len(self.audio[0])


def batches(audio: Iterable[Audio], most: Limits, first: int = 0) -> Iterator[Batch[Audio]]:
    """Group a stream of clips by length into calls.

    A clip longer than a call is a call of its own. If too many samples would wait, the largest
    group is called next. Without waiting, only neighbours share a call and the order is kept.

    Args:
        audio: the clips, numbered from ``first`` on.
        most: the limits.
        first: number of the first clip.
    """
    waiting: dict[int, Batch[Audio]] = {}
    held = 0  # samples that wait
    for i, clip in enumerate(audio, first):
        n = len(clip)
        mates = waiting[n].samples if n in waiting else 0
        while held > mates and held - mates + n > most.waiting:
            largest = max((m for m in waiting if m != n), key=lambda m: waiting[m].samples)
            held -= waiting[largest].samples
            yield waiting.pop(largest)
        if n not in waiting:
            waiting[n] = Batch()
        waiting[n].clips.append(i)
        waiting[n].audio.append(clip)
        held += n
        if mates + 2 * n > most.call:
            held -= mates + n
            yield waiting.pop(n)
    yield from waiting.values()
