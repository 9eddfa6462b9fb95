"""Nearest neighbours by cosine similarity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_CHUNK_ROWS = 1024
# Cosine distances are kept from 0, where a vote would be infinite: an exact copy outvotes the rest.
_LEAST_DISTANCE = 1e-6


def neighbour_scores(
    rows: Tensor, targets: Tensor, n_outputs: int, queries: Tensor, ks: Sequence[int]
) -> Iterator[np.ndarray]:
    """Yield, for each k, the classes' scores of every query: float32 (n, n_outputs) in [0, 1].

    Classes: each of the k nearest rows votes with weight 1 / (1 - cosine), and votes are divided
    by their sum. Labels: the mean of the k nearest rows' labels. Where fewer than k rows exist,
    all of them are neighbours. A vector of zeros has cosine 0 with all others.

    Args:
        rows: (m, features) float32.
        targets: int64 (m,) classes or float32 (m, n_outputs) multi-hot.
        n_outputs: classes of the vocabulary.
        queries: (n, features), on the same device as the rows.
        ks: numbers of neighbours.
    """
    classes = targets.dtype == torch.int64
    labels = functional.one_hot(targets, n_outputs).float() if classes else targets
    similarity, index = _nearest(rows, queries, min(max(ks), len(rows)))
    weight = 1 / (1 - similarity).clamp_min(_LEAST_DISTANCE)
    if not classes:
        weight = torch.ones_like(weight)
    for k in ks:
        votes = [
            torch.einsum("nk,nkc->nc", w, labels[i]) / w.sum(1, keepdim=True)
            for w, i in zip(
                weight[:, :k].split(_CHUNK_ROWS), index[:, :k].split(_CHUNK_ROWS), strict=True
            )
        ]
        yield torch.cat(votes).cpu().numpy()


def _nearest(rows: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return cosines (n, k), falling, and the indices of the rows they belong to."""
    unit_rows = functional.normalize(rows, dim=1)
    found = [
        (functional.normalize(part, dim=1) @ unit_rows.T).topk(k, dim=1)
        for part in queries.split(_CHUNK_ROWS)
    ]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])
