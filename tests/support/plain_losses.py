"""The losses by their definitions, element by element in double precision."""

from __future__ import annotations

import math

from torch import Tensor


def column(x: Tensor, j: int) -> list[float]:
    return [float(value) for value in x[:, j]]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def plain_barlow_twins(first: Tensor, second: Tensor) -> float:
    """Equation 1 with the correlations of equation 2, lambda 0.005; 1e-5 is BatchNorm's epsilon."""

    def correlation(i: int, j: int) -> float:
        one, other = column(first, i), column(second, j)
        a = [value - mean(one) for value in one]
        b = [value - mean(other) for value in other]
        covariance = mean([x * y for x, y in zip(a, b, strict=True)])
        variances = [mean([x * x for x in values]) + 1e-5 for values in (a, b)]
        return covariance / math.sqrt(variances[0] * variances[1])

    size = range(first.shape[1])
    invariance = math.fsum((1 - correlation(i, i)) ** 2 for i in size)
    redundancy = math.fsum(correlation(i, j) ** 2 for i in size for j in size if i != j)
    return invariance + 0.005 * redundancy


def plain_vicreg(first: Tensor, second: Tensor) -> float:
    """Equation 6 with weights 25, 25 and 1, and the mean square of algorithm 1."""
    clips, size = first.shape

    def covariance(x: Tensor, i: int, j: int) -> float:
        a, b = column(x, i), column(x, j)
        products = ((u - mean(a)) * (v - mean(b)) for u, v in zip(a, b, strict=True))
        return math.fsum(products) / (clips - 1)

    def short(x: Tensor) -> float:
        return mean([max(0, 1 - math.sqrt(covariance(x, i, i) + 1e-4)) for i in range(size)])

    def shared(x: Tensor) -> float:
        pairs = [(i, j) for i in range(size) for j in range(size) if i != j]
        return math.fsum(covariance(x, i, j) ** 2 for i, j in pairs) / size

    squares = [float((first[n, j] - second[n, j]) ** 2) for n in range(clips) for j in range(size)]
    spread = short(first) + short(second)
    return 25 * mean(squares) + 25 * spread + shared(first) + shared(second)
