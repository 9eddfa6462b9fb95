"""Detect collapse in a batch of embeddings or projections.

A self-supervised network can lower its loss by mapping all sounds to one vector, or to vectors on a
line or a plane. The standard deviation of the dimensions detects the first (Chen and He 2021, arXiv
2011.10566, section 4.1), the effective rank the second (Roy and Vetterli, EUSIPCO 2007). The rank
is that of the differences between vectors and does not depend on their size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# The cost grows with the cube of this number, and the result hardly changes.
MOST_VECTORS = 1024

# The mean cosine similarity of two vectors is then about 1 - 0.06**2 = 0.996. Embeddings are
# non-negative, so their spread is far below 1 without collapse; untrained encoders are above 0.06.
COLLAPSED_STD = 0.06

# Vectors on a line or a plane, plus the rank that noise adds, stay below four.
COLLAPSED_RANK = 4.0
# Share of the rank that the batch allows: few vectors have a low rank without collapse.
COLLAPSED_SHARE = 0.25


@dataclass(frozen=True)
class VectorSpread:
    """Spread of n vectors of dimension dim around their mean, each divided by its length.

    Attributes:
        std: mean standard deviation of the dimensions, times sqrt(dim): 1 for vectors in uniform
            directions, 0 for equal vectors. About sqrt(1 - c) for a mean cosine similarity c.
        lowest_std: the same for the dimension with the lowest value; 0 if a unit is dead.
        effective_rank: exp(entropy) of the normalised singular values of the centred vectors, from
            1 to `highest_rank`; 0 for equal vectors.
        highest_rank: min(n - 1, dim).

    All but the last are NaN if a vector has a number that is not finite.
    """

    std: float
    lowest_std: float
    effective_rank: float
    highest_rank: int


def spread(vectors: Tensor) -> VectorSpread:
    """Return the spread of a batch, of at most its first `MOST_VECTORS` vectors.

    Args:
        vectors: floating point (n, dim), n >= 2, on any device; of sounds or frames.

    Raises:
        ValueError: another shape, or fewer than two vectors.
    """
    if vectors.ndim != 2 or len(vectors) < 2:
        raise ValueError(
            f"the vectors have shape {tuple(vectors.shape)}: it must be (n, dim) with n >= 2."
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
    # The eigenvalues of the smaller product are the squared singular values, and are faster to
    # compute.
    product = centred @ centred.T if n < dim else centred.T @ centred
    squares = torch.linalg.eigvalsh(product).clamp(min=0)
    # Rounding of equal float32 vectors has full rank; its squared singular values are below this.
    squares[squares < n * torch.finfo(torch.float32).eps ** 2] = 0
    if not squares.any():
        return 0.0
    values = squares.sqrt()
    return float(torch.special.entr(values / values.sum()).sum().exp())


def is_collapsed(measured: VectorSpread) -> bool:
    """Return whether a batch has collapsed to a point (`std`), line or plane (`effective_rank`).

    Losing some dimensions is not a collapse. Fewer than six vectors cannot show a collapse of rank,
    and NaN does not count as one.
    """
    least_rank = min(COLLAPSED_RANK, COLLAPSED_SHARE * measured.highest_rank)
    return measured.std < COLLAPSED_STD or measured.effective_rank < least_rank
