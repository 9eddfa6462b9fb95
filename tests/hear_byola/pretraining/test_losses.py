"""The losses against their definitions, element by element in double precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.plain_losses import plain_barlow_twins, plain_vicreg
from support.pretraining_runs import losses_of_half, views

from hear_byola.pretraining import losses


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
