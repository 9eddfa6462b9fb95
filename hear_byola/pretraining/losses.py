"""The losses of the two views of a batch: BYOL's, Barlow Twins' and VICReg's.

Each takes float (batch, projection) of both views, computes in float32, and returns a scalar.
Statistics over a batch are those of all training processes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hear_byola.pretraining.distributed import batch_moments, mean_over_ranks, ranks

OFF_DIAGONAL = 5e-3
"""Weight of Barlow Twins' redundancy term: lambda of arXiv 2103.03230 (implementation details)."""
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
"""Weights of VICReg's terms: lambda, mu and nu of arXiv 2105.04906 (implementation details)."""
_LEAST_DEVIATION = 1.0  # gamma of arXiv 2105.04906, equation 1
_VARIANCE_FLOOR = 1e-4  # epsilon of arXiv 2105.04906, equation 1
_NORM_FLOOR = 1e-5  # epsilon of BatchNorm, with which arXiv 2103.03230 normalises


def byol(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean of 2 - 2 cos(prediction, target) (arXiv 2103.06695, section III-A)."""
    similarity = nn.functional.cosine_similarity(prediction.float(), target.float(), dim=-1)
    return (2 - 2 * similarity).mean()


def barlow_twins(first: Tensor, second: Tensor) -> Tensor:
    """Return the loss of Barlow Twins (arXiv 2103.03230, equations 1 and 2).

    The cross-correlation matrix of both views' projections is drawn to the identity: the squared
    distance of its diagonal from 1, plus `OFF_DIAGONAL` times the sum of the other squares.
    """
    one, other = (_standardised(view.float()) for view in (first, second))
    correlation = mean_over_ranks(one.T @ other / len(one))
    diagonal = correlation.diagonal()
    rest = correlation.square().sum() - diagonal.square().sum()
    return (diagonal - 1).square().sum() + OFF_DIAGONAL * rest


def _standardised(x: Tensor) -> Tensor:
    mean, variance, _ = batch_moments(x)
    return (x - mean) * torch.rsqrt(variance + _NORM_FLOOR)


def vicreg(first: Tensor, second: Tensor) -> Tensor:
    """Return the loss of VICReg (arXiv 2105.04906, equations 1 to 6 and algorithm 1).

    `INVARIANCE` times the mean squared difference of the views, over all elements as in algorithm
    1 (equation 5 has the sum over dimensions); plus, for each view, `VARIANCE` times the mean of
    max(0, 1 - deviation) of the dimensions, and `COVARIANCE` times the squared covariances between
    dimensions, divided by the number of dimensions.
    """
    first, second = first.float(), second.float()
    difference = mean_over_ranks((first - second).square().mean())
    spreads = [_variance_and_covariance(view) for view in (first, second)]
    variance = sum(spread for spread, _ in spreads)
    covariance = sum(shared for _, shared in spreads)
    return INVARIANCE * difference + VARIANCE * variance + COVARIANCE * covariance


def _variance_and_covariance(x: Tensor) -> tuple[Tensor, Tensor]:
    count = len(x) * ranks()
    centred = x - mean_over_ranks(x.mean(0))
    covariance = mean_over_ranks(centred.T @ centred) * (ranks() / (count - 1))
    variances = covariance.diagonal()
    short = (_LEAST_DEVIATION - (variances + _VARIANCE_FLOOR).sqrt()).relu().mean()
    return short, (covariance.square().sum() - variances.square().sum()) / len(covariance)
