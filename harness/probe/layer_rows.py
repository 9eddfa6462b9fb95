"""Rows of several layers of a model, read from the disk in batches, and their weighted sum."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from harness.core.errors import UserError
from harness.embeddings.store import SplitEmbeddings
from harness.probe.folddata import FoldData, refuse_not_finite, standardiser

# Elements of a batch (32 MB), and of rows that are kept in memory after they were read (512 MB).
_BATCH, _KEPT = 2**23, 2**27

Columns = Mapping[int, tuple[int, int]]
"""The first column of each layer in the rows of a store, and the one after its last."""


def layer_columns(data: FoldData) -> Columns:
    """Return the columns of the layers in the embeddings of a fold.

    Raises:
        UserError: the embeddings are not those of several layers.
    """
    found = data.embeddings[data.fold.test].manifest.get("layers", {})
    if len(found) < 2:
        raise UserError(
            f"{data.task.name}: the embeddings are not those of several layers. Give the model "
            "the option layer=all."
        )
    return {int(layer): (columns[0], columns[1]) for layer, columns in found.items()}


class LayerRows:
    """The rows of some splits, with the layers of a model side by side.

    Every column is standardised by the train rows, as the protocol ``linear`` does for one layer.
    Rows are read in batches each time, unless they are few: memory holds a batch and one mixture.

    Attributes:
        columns: of the layers.
        size: of a mixture: that of the largest layer. Smaller layers are filled up with zeros.
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        columns: Columns,
        statistics: tuple[np.ndarray, np.ndarray],
        device: str,
        kept: np.ndarray | None = None,
    ) -> None:
        """Take memory-mapped arrays (rows, columns), one after the other.

        Args:
            arrays: the embeddings of splits.
            columns: of the layers.
            statistics: mean and standard deviation (columns,).
            device: of the mixtures.
            kept: the only rows that are used, as rising indices; None for all.
        """
        self.columns = columns
        self.size = max(end - begin for begin, end in columns.values())
        self._arrays, self._statistics, self._device = arrays, statistics, device
        self._rows = _divided(arrays, kept)
        self._held: list[Tensor] | None = None

    @classmethod
    def of_train(cls, data: FoldData, kept: Tensor | None = None) -> LayerRows:
        """Return the train rows of a fold, or those that are kept.

        Raises:
            UserError: as :func:`layer_columns`; or embeddings are NaN or infinite.
        """
        columns = layer_columns(data)
        splits = [data.embeddings[split] for split in data.fold.train]
        arrays = [split.embeddings for split in splits]
        statistics = standardiser(*arrays, chunk=_rows_of_batch(arrays[0]))
        if not np.isfinite(statistics[0]).all():
            refuse_not_finite(data.task, splits)
        which = None if kept is None else kept.cpu().numpy()
        return cls(arrays, columns, statistics, data.device, which)

    def of(self, split: SplitEmbeddings) -> LayerRows:
        """Return the rows of another split, standardised by the same statistics."""
        return LayerRows([split.embeddings], self.columns, self._statistics, self._device)

    def __len__(self) -> int:
        return sum(map(len, self._rows))

    def mixed(self, weights: Tensor) -> Tensor:
        """Return the sum of the layers (n, size) with weights (layers,)."""
        found = torch.zeros(len(self), self.size, device=self._device)
        for begin, batch in self._batches():
            rows = found[begin : begin + len(batch)]
            for (first, end), weight in zip(self.columns.values(), weights.tolist(), strict=True):
                rows[:, : end - first].add_(batch[:, first:end], alpha=weight)
        return found

    def products(self, rows: Tensor) -> np.ndarray:
        """Return the inner product of each layer with rows (n, size): float64 (layers,)."""
        found = np.zeros(len(self.columns))
        for begin, batch in self._batches():
            own = rows[begin : begin + len(batch)]
            for number, (first, end) in enumerate(self.columns.values()):
                by_column = torch.linalg.vecdot(batch[:, first:end], own[:, : end - first], dim=0)
                found[number] += float(by_column.sum(dtype=torch.float64))
        return found

    def _batches(self) -> Iterator[tuple[int, Tensor]]:
        """Yield batches of standardised rows (b, columns) with the number of their first row."""
        begin = 0
        for batch in self._read() if self._held is None else self._held:
            yield begin, batch
            begin += len(batch)

    def _read(self) -> Iterator[Tensor]:
        mean, scale = self._statistics
        held: list[Tensor] | None = [] if len(self) * len(mean) <= _KEPT else None
        for array, which in zip(self._arrays, self._rows, strict=True):
            step = _rows_of_batch(array)
            for i in range(0, len(which), step):
                rows = which[i : i + step]
                chosen = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
                part = np.array(array[chosen], dtype=np.float32)
                part -= mean
                part /= scale
                batch = torch.from_numpy(part).to(self._device)
                if held is not None:
                    held.append(batch)
                yield batch
        self._held = held


def _rows_of_batch(array: np.ndarray) -> int:
    return max(1, _BATCH // array.shape[1])


def _divided(arrays: Sequence[np.ndarray], kept: np.ndarray | None) -> list[range | np.ndarray]:
    """Return the rows of each array that are used."""
    if kept is None:
        return [range(len(array)) for array in arrays]
    starts = np.cumsum([0, *map(len, arrays)])
    return [
        kept[(begin <= kept) & (kept < end)] - begin for begin, end in itertools.pairwise(starts)
    ]
