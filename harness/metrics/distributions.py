"""Tails and quantiles of the distributions behind intervals and tests.

They are functions of ``scipy.special``, because every process would spend a second of CPU time on
the import of ``scipy.stats``. Even ``scipy.special`` takes a quarter of a second, so it is imported
at the first use. Arguments may be numbers or arrays.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike


def _special() -> ModuleType:
    from scipy import special

    return special


def normal_tail(z: ArrayLike) -> np.ndarray:
    """Return P(Z > z) of the standard normal distribution."""
    return _special().ndtr(-np.asarray(z))


def normal_quantile(share: ArrayLike) -> np.ndarray:
    """Return the z with P(Z <= z) = ``share`` of the standard normal distribution."""
    return _special().ndtri(share)


def t_tail(t: ArrayLike, freedom: ArrayLike) -> np.ndarray:
    """Return P(T > t) of Student's t distribution."""
    return _special().stdtr(freedom, -np.asarray(t))


def t_quantile(share: ArrayLike, freedom: ArrayLike) -> np.ndarray:
    """Return the t with P(T <= t) = ``share`` of Student's t distribution."""
    return _special().stdtrit(freedom, share)


def chi2_quantile(share: ArrayLike, freedom: ArrayLike) -> np.ndarray:
    """Return the x with P(X <= x) = ``share`` of the chi-squared distribution."""
    return 2 * _special().gammaincinv(np.asarray(freedom) / 2, share)


def binomial(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return P(X = k) of ``n`` trials with success probability ``p``; k is from 0 to n."""
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    ways = -_special().betaln(n - k + 1, k + 1) - np.log1p(n)
    return np.exp(ways + _special().xlogy(k, p) + _special().xlog1py(n - k, -np.asarray(p)))


def binomial_tail(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return P(X > k) of ``n`` trials with success probability ``p``; k is a whole number."""
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    inside = _special().betainc(np.clip(k, 0, None) + 1, np.clip(n - k, 1, None), p)
    return np.where(k < 0, 1.0, np.where(k >= n, 0.0, inside))


def binomial_quantile(share: ArrayLike, n: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the smallest k with P(X <= k) >= ``share``; 0 < share < 1."""
    near = np.nan_to_num(np.ceil(_special().bdtrik(share, n, p)))  # NaN without trials
    # The inverse is rounded: a smaller k can be enough.
    less = np.maximum(near - 1, 0)
    return np.where(1 - binomial_tail(less, n, p) >= share, less, near)
