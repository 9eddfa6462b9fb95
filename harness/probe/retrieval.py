"""Retrieval by cosine similarity: rankings of a gallery for each query."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

_CHUNK = 2**22  # similarities, or pairs of a query and a label in the gallery, at once


class Gallery:
    """The train clips, which are ranked by their cosine similarity to a query.

    A vector of zeros has the similarity 0 to all others.
    """

    def __init__(self, rows: Tensor, targets: Tensor, n_classes: int) -> None:
        """Take the clips.

        Args:
            rows: (m, features).
            targets: int64 (m,) classes or float32 (m, C) multi-hot.
            n_classes: C.
        """
        self._rows = functional.normalize(rows, dim=1)
        hot = functional.one_hot(targets, n_classes) if targets.dtype == torch.int64 else targets
        # Pairs of a label and a clip that has it, by label.
        self._label, self._clip = hot.T.nonzero(as_tuple=True)
        self._sizes = hot.sum(0).long()
        starts = self._sizes.cumsum(0) - self._sizes
        self._within = torch.arange(len(self._clip), device=rows.device) - starts[self._label]

    def similarities(self, queries: Tensor) -> Tensor:
        """Return the similarity to the most similar clip of each class: (n, C), in [0, 1].

        It is (1 + cosine) / 2, and 0 for a class without clips.
        """
        found = []
        for cosines in self._cosines(queries):
            best = cosines.new_full((len(cosines), len(self._sizes)), -1.0)
            label = self._label.expand(len(cosines), -1)
            found.append(best.scatter_reduce_(1, label, cosines[:, self._clip], "amax"))
        return ((1 + torch.cat(found)) / 2).clamp(0, 1)

    def rank(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return average precision and precision at 1 of each ranking, where one class is relevant.

        Both are float32 (n, C), NaN for a class without clips. In the average precision, clips of
        equal similarity have one rank, as in scikit-learn. The precision at 1 is the mean over the
        orders of the clips that are equally near: the share of them that are relevant.
        """
        found = [(self._average(each), self._first(each)) for each in self._cosines(queries)]
        average, first = zip(*found, strict=True)
        return torch.cat(average), torch.cat(first)

    def _first(self, cosines: Tensor) -> Tensor:
        nearest = (cosines == cosines.amax(1, keepdim=True)).double()
        share = nearest / nearest.sum(1, keepdim=True)
        total = share.new_zeros(len(cosines), len(self._sizes))
        total.index_add_(1, self._label, share[:, self._clip])
        return torch.where(self._sizes > 0, total, torch.nan).float()

    def _average(self, cosines: Tensor) -> Tensor:
        n, m = cosines.shape
        rising = cosines.sort(dim=1).values
        # The rank of a clip is the number of clips that are at least as similar.
        rank = m - torch.searchsorted(rising, cosines)
        # Sorted by label and then by rank, the pairs of a label have fixed places.
        keys = (self._label * (m + 1) + rank[:, self._clip]).sort(dim=1).values
        ranks = keys - self._label * (m + 1)
        hits = _last_of_equals(keys, self._within) + 1
        gains = hits.double() / ranks
        total = gains.new_zeros(n, len(self._sizes)).index_add_(1, self._label, gains)
        return (total / self._sizes).float()

    def _cosines(self, queries: Tensor) -> Iterator[Tensor]:
        """Yield the cosines (b, m) of a chunk of queries."""
        step = max(1, _CHUNK // max(len(self._rows), len(self._clip)))
        for part in queries.split(step):
            yield functional.normalize(part, dim=1) @ self._rows.T


def _last_of_equals(keys: Tensor, within: Tensor) -> Tensor:
    """Return for each sorted key (n, p) the place ``within`` (p,) of the last equal one."""
    places = torch.arange(keys.shape[1], device=keys.device).expand_as(keys)
    ends = torch.ones_like(keys, dtype=torch.bool)
    ends[:, :-1] = keys[:, 1:] != keys[:, :-1]
    later = torch.where(ends, places, keys.shape[1])
    last = later.flip(1).cummin(1).values.flip(1)
    return within[last]
