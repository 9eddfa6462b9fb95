"""Two processes, each with half a batch, against one with the whole."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from support.pretraining_runs import (
    joint_work,
    norm_layers,
    normalised,
    norms_of_half,
    one_of_two,
    results,
)
from torch import nn

from hear_byola.pretraining.distributed import BatchNorm, synchronise, track

# Relative, and absolute for gradients that almost cancel.
TOLERANCES = {
    torch.bfloat16: (2e-2, 0.0),
    torch.float32: (1e-4, 1e-6),
    torch.float64: (1e-9, 1e-12),
    torch.int64: (0.0, 0.0),
}


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(one_of_two, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_halves_are_one_batch(halves: list[dict[str, torch.Tensor]]) -> None:
    joint = results(joint_work(0), slice(None))
    assert halves[0].keys() == joint.keys()
    for name, expected in joint.items():
        shared = name.startswith("all ")
        ours = halves[0][name] if shared else torch.cat([half[name] for half in halves])
        distance = (ours - expected).double().norm()
        assert distance <= 3e-6 * expected.double().norm() + 1e-6, name


def test_processes_agree_to_the_last_bit(halves: list[dict[str, torch.Tensor]]) -> None:
    for name, ours in halves[0].items():
        if name.startswith("all "):
            assert ours.equal(halves[1][name]), name


def test_halves_are_normalised_as_one_batch_by_torchs_own_layers(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(norms_of_half, (str(tmp_path),), nprocs=2)
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name, expected in normalised(norm_layers(), 0, 1).items():
        parts = [half[name] for half in halves]
        if name.startswith("sum of "):
            ours = parts[0] + parts[1]
        elif name.startswith("all "):
            ours = parts[0]
            assert ours.equal(parts[1]), name
        else:
            ours = torch.cat(parts)
            assert ours.dtype == expected.dtype
        tolerance, least = TOLERANCES[ours.dtype]
        distance = (ours - expected).double().norm()
        assert distance <= tolerance * expected.double().norm() + least, (name, ours, expected)


def test_synchronising_keeps_parameters_and_statistics() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()))
    network(torch.randn(8, 3))
    before = copy.deepcopy(network.state_dict())
    weights = [id(p) for p in network.parameters()]
    synchronise(network, "cpu")
    assert isinstance(network[1][0], BatchNorm)
    assert [id(p) for p in network.parameters()] == weights
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].equal(before[name]) for name in before)


@pytest.mark.parametrize("training", [True, False])
def test_alone_it_is_torchs_own(training: bool) -> None:
    ours, plain = BatchNorm(5).train(training), nn.BatchNorm2d(5).train(training)
    x = torch.randn(3, 5, 4, 2)
    assert ours(x).equal(plain(x))
    assert ours.running_var.equal(plain.running_var)
    with pytest.raises(ValueError, match="needs"):
        ours(torch.randn(3))


def test_tracked_statistics_are_those_that_the_layer_itself_would_keep() -> None:
    plain, ours = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    x = torch.randn(6, 4) * 3 + 1
    plain(x)
    track(ours, x.mean(0), x.var(0, correction=0), len(x))
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer)
