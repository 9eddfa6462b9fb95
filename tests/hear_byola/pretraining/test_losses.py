"""The losses against their definitions, element by element in double precision."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from support.pretraining_runs import losses_of_half, views
from torch import Tensor

from hear_byola.pretraining import losses


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


@pytest.mark.parametrize("name", ["barlow_twins", "vicreg"])
def test_loss_is_its_definition(name: str) -> None:
    first, second = views()
    plain = {"barlow_twins": plain_barlow_twins, "vicreg": plain_vicreg}[name]
    found = float(getattr(losses, name)(first, second))
    assert found == pytest.approx(plain(first.double(), second.double()), rel=1e-4)


@pytest.mark.parametrize("name", ["byol", "barlow_twins", "vicreg"])
def test_loss_is_in_full_precision(name: str) -> None:
    first, second = (view.bfloat16() for view in views())
    found = getattr(losses, name)(first, second)
    assert found.dtype == torch.float32
    assert found.equal(getattr(losses, name)(first.float(), second.float()))


@pytest.mark.parametrize("name", ["barlow_twins", "vicreg"])
def test_decorrelated_equal_views_have_a_lower_loss_than_collapsed_ones(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    spread_out = 2 * torch.linalg.qr(torch.randn(16, 4, generator=generator))[0] * 4
    spread_out = spread_out - spread_out.mean(0)
    same = spread_out[:, :1].expand(-1, 4)
    loss = getattr(losses, name)
    assert loss(spread_out, spread_out) < loss(same, same)
    assert loss(spread_out, spread_out) < loss(spread_out, spread_out.flip(0))
    constant = torch.ones(16, 4)
    assert loss(spread_out, spread_out) < loss(constant, constant)


def test_two_processes_have_the_loss_and_gradients_of_the_whole_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(losses_of_half, (str(tmp_path),), nprocs=2)
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name in ("barlow_twins", "vicreg"):
        pair = [view.requires_grad_() for view in views(8)]
        whole = getattr(losses, name)(*pair)
        whole.backward()
        for half in halves:
            torch.testing.assert_close(half[name], whole.detach())
        for number, view in enumerate(pair):
            joined = torch.cat([half[f"{name} {number}"] for half in halves])
            torch.testing.assert_close(joined, view.grad)
