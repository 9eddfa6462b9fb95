"""The largest principal axes of rows, found by random projection."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# The axes of many rows are those of every k-th row, of which at least this many remain: 8 for each
# of 256 axes. With 4 an axis, a solver took up to 1.6 times as many steps.
_SAMPLE = 2048


@dataclass(frozen=True)
class Axes:
    """The largest principal axes: orthonormal ``axes`` (r, features), ``variances`` (r,) in them.

    ``rest`` is the mean variance in a direction that is orthogonal to all of them.
    """

    axes: Tensor
    variances: Tensor
    rest: float


def principal_axes(rows: Tensor, most: int) -> Axes:
    """Find up to ``most`` axes of centred rows (n, features), from a sample of many rows.

    A randomised range finder with one power iteration (Halko, Martinsson and Tropp, SIAM Review 53,
    2011, algorithm 4.4). The axes precondition a solver, so their accuracy does not change what it
    finds. The projection is drawn from a generator of its own, so that equal rows give equal axes.
    """
    directions = min(rows.shape)
    rows = rows[:: max(len(rows) // _SAMPLE, 1)]
    n, features = rows.shape
    rank = min(most, n, features)
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(rank, features, generator=generator).to(rows)
    back = (basis @ rows.T) @ rows
    basis = torch.linalg.qr(back.T)[0].T.contiguous()
    projected = basis @ rows.T
    variances, turn = torch.linalg.eigh((projected @ projected.T).double() / n)
    # The rest can be a millionth of the total, so squares are summed in double precision.
    total = float(torch.linalg.vector_norm(rows, dim=1).double().square().sum()) / n
    rest = max(total - float(variances.sum()), 0.0) / max(directions - rank, 1)
    axes = turn.T.to(rows.dtype) @ basis
    return Axes(axes, variances.clamp_min(0).to(rows.dtype), rest)
