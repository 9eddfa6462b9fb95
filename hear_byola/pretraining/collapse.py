"""How far a batch of embeddings or projections is from collapse.

A self-supervised network can lower its loss by mapping all sounds to one vector, or to vectors of
a line or a plane. The standard deviation of the dimensions shows the first (Chen and He 2021, arXiv
2011.10566, section 4.1), the effective rank the second (Roy and Vetterli, EUSIPCO 2007). They are
told apart: the rank is that of the differences between vectors, however small these are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# The time of a measurement grows with the cube of this, and what it says hardly changes.
MOST_VECTORS = 1024

# The mean cosine similarity of two sounds' vectors is then about 1 - 0.06**2 = 0.996. Embeddings
# are non-negative and so never far from each other: 1 is no yardstick, but untrained encoders are,
# and lie above this in training.
COLLAPSED_STD = 0.06

# Three directions hold no more than a line or a plane, and what noise adds to its rank.
COLLAPSED_RANK = 4.0
# Of the rank that a sample allows: few vectors span few directions without having collapsed.
COLLAPSED_SHARE = 0.25


@dataclass(frozen=True)
class VectorSpread:
    """How n vectors of a dimension dim, each divided by its length, lie around their mean.

    Attributes:
        std: mean over dimensions of the standard deviation, times sqrt(dim): 1 for vectors that
            point everywhere alike, 0 for equal ones. About sqrt(1 - c), where c is the mean cosine
            similarity between two of them.
        lowest_std: the same of the dimension where it is lowest: 0 where a unit is dead.
        effective_rank: exp(entropy) of the singular values, divided by their sum, of the vectors
            less their mean: from 1 to `highest_rank`; 0 for equal vectors.
        highest_rank: min(n - 1, dim).

    All but the last are NaN where a vector holds a number that is not finite.
    """

    std: float
    lowest_std: float
    effective_rank: float
    highest_rank: int


def spread(vectors: Tensor) -> VectorSpread:
    """Measure a batch; of more than `MOST_VECTORS` the first.

    Args:
        vectors: floating point (n, dim), n >= 2, on any device; each from another sound.

    Raises:
        ValueError: another shape, or fewer than two vectors.
    """
    if vectors.ndim != 2 or len(vectors) < 2:
        raise ValueError(
            f"vectors of shape {tuple(vectors.shape)}: needed is (n, dim) with n of 2 or more."
        )
    vectors = vectors[:MOST_VECTORS].detach().cpu().double()
    n, dim = vectors.shape
    highest_rank = min(n - 1, dim)
    if not vectors.isfinite().all():
        return VectorSpread(math.nan, math.nan, math.nan, highest_rank)
    unit = nn.functional.normalize(vectors, dim=1)
    centred = unit - unit.mean(0)
    std = centred.square().sum(0).div(n - 1).mul(dim).sqrt()
    return VectorSpread(float(std.mean()), float(std.min()), _effective_rank(centred), highest_rank)


def _effective_rank(centred: Tensor) -> float:
    n, dim = centred.shape
    # The eigenvalues of the smaller product are the squares of the singular values, and come in a
    # small part of the time.
    product = centred @ centred.T if n < dim else centred.T @ centred
    squares = torch.linalg.eigvalsh(product).clamp(min=0)
    # Vectors of length 1 as float32 has them differ by rounding, of full rank, in squares.
    squares[squares < n * torch.finfo(torch.float32).eps ** 2] = 0
    if not squares.any():
        return 0.0
    values = squares.sqrt()
    return float(torch.special.entr(values / values.sum()).sum().exp())


def is_collapsed(measured: VectorSpread) -> bool:
    """Whether a batch has collapsed, to a point (`std`) or to a line or plane (`effective_rank`).

    A network that has lost some of its dimensions has not: its figures fall, and downstream tasks
    show what it costs. Nor can fewer than six vectors show a collapse of rank. NaN is none.
    """
    least_rank = min(COLLAPSED_RANK, COLLAPSED_SHARE * measured.highest_rank)
    return measured.std < COLLAPSED_STD or measured.effective_rank < least_rank
