from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hear_byola.encoder import pool_over_time
from hear_byola.frontend import LogMel
from hear_byola.pretraining.collapse import MOST_VECTORS, VectorSpread, is_collapsed, spread
from hear_byola.random_weights import random_encoder


def normal(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def by_svd(vectors: Tensor) -> tuple[float, float, float]:
    """The definitions, in numpy."""
    x = vectors.double().numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    std = x.std(0, ddof=1) * x.shape[1] ** 0.5
    values = np.linalg.svd(x - x.mean(0), compute_uv=False)
    shares = values[values > 1e-6] / values[values > 1e-6].sum()
    return float(std.mean()), float(std.min()), float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize(("n", "dim"), [(40, 12), (12, 40), (64, 64), (2, 5), (200, 1)])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("mean", [0.0, 5.0])
def test_figures_are_those_of_numpys_svd(n: int, dim: int, decay: float, mean: float) -> None:
    vectors = mean + normal(n, dim) * torch.exp(-decay * torch.arange(dim))
    found = spread(vectors)
    expected = by_svd(vectors)
    if dim > 1:  # vectors of one dimension are 1 or -1
        assert (found.std, found.lowest_std) == pytest.approx(expected[:2], rel=1e-9)
        assert found.effective_rank == pytest.approx(expected[2], rel=1e-5)
    assert found.highest_rank == min(n - 1, dim)
    assert 0 <= found.effective_rank <= found.highest_rank + 1e-9


def test_known_values() -> None:
    isotropic = spread(normal(1000, 64))
    assert isotropic.std == pytest.approx(1, abs=0.02)
    assert isotropic.effective_rank > 60
    # Corners of a simplex: all singular values but one are equal.
    assert spread(torch.eye(10)).effective_rank == pytest.approx(9)
    # On a line, at both ends of it.
    line = torch.ones(8, 6) * torch.tensor([1.0, -1.0] * 4)[:, None]
    assert spread(line).effective_rank == pytest.approx(1)


def test_a_measure_does_not_depend_on_lengths_and_leaves_the_vectors_alone() -> None:
    vectors = normal(32, 16).requires_grad_()
    longer = vectors.detach() * torch.arange(1, 33)[:, None]
    kept = longer.clone()
    assert spread(longer).effective_rank == pytest.approx(spread(vectors).effective_rank)
    assert torch.equal(longer, kept)


def test_lost_dimensions_show_and_are_no_collapse() -> None:
    vectors = normal(256, 64)
    vectors[:, :48] = 0
    found = spread(vectors)
    assert found.lowest_std == 0
    assert found.effective_rank < 17
    assert not is_collapsed(found)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 16, 64, 256, 1024])
@pytest.mark.parametrize("dim", [2, 8, 64, 512])
def test_healthy_batches_of_any_size_are_no_collapse(n: int, dim: int) -> None:
    for seed in range(5):
        assert not is_collapsed(spread(normal(n, dim, seed)))


@pytest.mark.parametrize("n", [2, 8, 64, 300])
@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_vector_for_all_is_a_collapse(n: int, noise: float, dtype: torch.dtype) -> None:
    vectors = (normal(1, 128) + noise * normal(n, 128, 1)).to(dtype)
    assert is_collapsed(spread(vectors))
    assert is_collapsed(spread(torch.zeros(n, 128)))


@pytest.mark.parametrize("n", [9, 16, 64, 256])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_line_and_a_plane_are_a_collapse(n: int, directions: int) -> None:
    vectors = normal(n, directions) @ normal(directions, 64, 1) + 1e-4 * normal(n, 64, 2)
    found = spread(vectors)
    assert found.std > 0.5
    assert is_collapsed(found)


def test_equal_vectors_have_no_rank_though_rounding_tells_them_apart() -> None:
    scaled = normal(1, 64) * torch.linspace(1, 100, 50)[:, None]
    assert spread(scaled).effective_rank == 0


@pytest.mark.parametrize(("version", "d"), [("2020", 512), ("2022", 2048)])
def test_untrained_encoders_in_training_are_no_collapse(version: str, d: int) -> None:
    generator = torch.Generator().manual_seed(3)
    seconds = torch.arange(8000) / 16_000
    pitch = 100 * 40 ** torch.rand(16, 1, generator=generator)
    tones = 0.3 * torch.sin(2 * torch.pi * pitch * seconds)
    noise = torch.rand(16, 1, generator=generator) * torch.randn(16, 8000, generator=generator)
    mel = LogMel()(tones + 0.1 * noise)
    encoder = random_encoder(version, d, seed=0).train()
    with torch.no_grad():
        found = spread(pool_over_time([encoder(mel[:, None])]))
    assert not is_collapsed(found)


def trained(siamese: bool) -> VectorSpread:
    """Projections after 150 steps on noisy copies of 64 vectors.

    Without predictor and target, the two copies' projections are simply pulled together.
    """
    torch.manual_seed(0)
    online = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
    predictor = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
    target = copy.deepcopy(online)
    optimizer = torch.optim.Adam([*online.parameters(), *predictor.parameters()], 3e-3)
    clean = torch.randn(64, 20)
    for _ in range(150):
        one, other = clean + 0.3 * torch.randn(2, 64, 20)
        if siamese:
            guess, aim = online(one), online(other)
        else:
            guess, aim = predictor(online(one)), target(other).detach()
        loss = 1 - nn.functional.cosine_similarity(guess, aim).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.lerp_(fast, 0.05)
    return spread(online(clean))


def test_training_that_collapses_is_told_from_training_that_does_not() -> None:
    assert is_collapsed(trained(siamese=True))
    assert not is_collapsed(trained(siamese=False))


def test_numbers_that_are_not_finite_are_no_collapse_but_nan() -> None:
    vectors = normal(10, 4)
    vectors[3, 2] = torch.inf
    found = spread(vectors)
    assert math.isnan(found.std)
    assert math.isnan(found.effective_rank)
    assert not is_collapsed(found)


def test_a_large_batch_is_measured_by_its_first_vectors() -> None:
    vectors = normal(MOST_VECTORS + 500, 8)
    assert spread(vectors) == spread(vectors[:MOST_VECTORS])


@pytest.mark.parametrize("shape", [(1, 8), (0, 8), (8,), (4, 4, 4)])
def test_what_cannot_be_measured_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="it must be"):
        spread(torch.zeros(shape))
