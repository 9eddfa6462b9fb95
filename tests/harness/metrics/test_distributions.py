"""Tails and quantiles against those of ``scipy.stats``."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.metrics import distributions

SHARES = np.array([1e-12, 1e-4, 0.025, 0.3, 0.5, 0.9, 0.975, 1 - 1e-9])
VALUES = np.array([-30.0, -3.0, -0.1, 0.0, 0.4, 1.96, 8.0, 35.0])


def test_normal_distribution() -> None:
    np.testing.assert_allclose(distributions.normal_tail(VALUES), stats.norm.sf(VALUES), rtol=1e-12)
    np.testing.assert_allclose(
        distributions.normal_quantile(SHARES), stats.norm.ppf(SHARES), rtol=1e-12
    )


@pytest.mark.parametrize("freedom", [0.7, 1, 3.4, 50, 1e5, np.inf])
def test_t_distribution(freedom: float) -> None:
    tail = distributions.t_tail(VALUES, freedom)
    np.testing.assert_allclose(tail, stats.t.sf(VALUES, freedom), rtol=1e-9)
    quantile = distributions.t_quantile(SHARES, freedom)
    np.testing.assert_allclose(quantile, stats.t.ppf(SHARES, freedom), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("freedom", [0.5, 2, 31.7, 4000])
def test_chi_squared_distribution(freedom: float) -> None:
    found = distributions.chi2_quantile(SHARES, freedom)
    np.testing.assert_allclose(found, stats.chi2.ppf(SHARES, freedom), rtol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 7, 300, 20_000])
@pytest.mark.parametrize("p", [0.5, 0.03, 0.99, 1.0])
def test_binomial_distribution(n: int, p: float) -> None:
    k = np.unique(np.linspace(0, n, 40).round())
    np.testing.assert_allclose(
        distributions.binomial(k, n, p), stats.binom.pmf(k, n, p), rtol=1e-8, atol=1e-300
    )
    around = np.array([-2, -1, *k, n + 1])
    np.testing.assert_allclose(
        distributions.binomial_tail(around, n, p), stats.binom.sf(around, n, p), rtol=1e-8
    )
    if p < 1:
        found = distributions.binomial_quantile(SHARES, n, p)
        np.testing.assert_array_equal(found, stats.binom.ppf(SHARES, n, p))
