"""Load the batches of crops of each training process, from any batch on."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Sampler

from hear_byola.pretraining.crops import CropSource


class Positions(Sampler[list[int]]):
    """Endless batches of positions in the stream of crops for one process.

    The batches b of all processes together take the crops from b * ranks * size on; each process
    takes `size` crops in a row.

    Args:
        size: crops in a batch of one process.
        rank, ranks: index of this process, and number of processes.
        first: first batch, above 0 in a resumed run.
    """

    def __init__(self, size: int, rank: int, ranks: int, first: int) -> None:
        self.size, self.rank, self.ranks, self.first = size, rank, ranks, first

    def __iter__(self) -> Iterator[list[int]]:
        """Yield lists of `size` positions."""
        for batch in itertools.count(self.first):
            start = (batch * self.ranks + self.rank) * self.size
            yield list(range(start, start + self.size))


def batches(source: CropSource, positions: Positions, workers: int, pinned: bool) -> DataLoader:
    """Return a loader of batches, float32 (size, crop_samples), read ahead by other processes.

    Args:
        source: the stream.
        positions: positions of the crops.
        workers: processes that read; 0 reads in the training process.
        pinned: use pinned memory, for faster copies to a GPU.
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
    # Ctrl-C and batch systems signal all processes at once. The training process ends the workers
    # after its current step.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
