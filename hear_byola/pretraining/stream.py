"""Batches of crops for the processes of a training, from any batch on."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Sampler

from hear_byola.pretraining.crops import CropSource


class Positions(Sampler[list[int]]):
    """Positions in the stream of crops that the batches of one process take, without an end.

    Batch b of all processes together takes the crops from b * ranks * size on, one stretch of
    `size` each.

    Args:
        size: crops in a batch of one process.
        rank, ranks: which process of how many.
        first: the first batch, for a run that goes on.
    """

    def __init__(self, size: int, rank: int, ranks: int, first: int) -> None:
        self.size, self.rank, self.ranks, self.first = size, rank, ranks, first

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of `size` positions."""
        for batch in itertools.count(self.first):
            start = (batch * self.ranks + self.rank) * self.size
            yield list(range(start, start + self.size))


def batches(source: CropSource, positions: Positions, workers: int, pinned: bool) -> DataLoader:
    """A loader of float32 (size, crop_samples), read ahead by other processes.

    Args:
        source: the stream.
        positions: which crops.
        workers: processes that read; 0 reads when asked.
        pinned: for a quick way onto a GPU.
    """
    return DataLoader(
        source,  # type: ignore[arg-type]
        batch_size=None,
        sampler=positions,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,
        worker_init_fn=_prepare_worker,
    )


def _prepare_worker(_: int) -> None:
    torch.set_num_threads(1)
    # Ctrl-C and batch systems signal all processes at once: the one that trains ends the others,
    # after the step that it is in.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
