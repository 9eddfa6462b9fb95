from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from hear_byola.encoder import Encoder, random_encoder
from hear_byola.pretraining.fused import local_features

BOTH = pytest.mark.parametrize(("version", "d"), [("2020", 512), ("2022", 2048)])


def make(version: str, d: int) -> Encoder:
    """An encoder in training whose BatchNorms have weights of both signs, and some history."""
    encoder = random_encoder(version, d, seed=3).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(4)
    for layer in encoder.features:
        if isinstance(layer, nn.BatchNorm2d):
            for parameter in layer.parameters():
                nn.init.normal_(parameter, generator=generator)
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return encoder.train()


def plain_features(encoder: Encoder, mel: Tensor) -> Tensor:
    """The layers one after the other, and (mel, channel) flattened, channel fastest."""
    return encoder.features(mel).permute(0, 3, 2, 1).flatten(2)


def distance(ours: Tensor, reference: Tensor) -> float:
    """Relative to the reference's length, or to 1 where that is nothing."""
    length = max(float(reference.norm()), 1e-3)
    return float((ours.detach().double() - reference).norm()) / length


def compare(encoder: Encoder, mel: Tensor, tolerance: float) -> None:
    reference = copy.deepcopy(encoder).double()
    torch.manual_seed(5)
    ours, expected = local_features(encoder, mel), plain_features(reference, mel.double())
    assert ours.shape == expected.shape
    assert distance(ours, expected.detach()) < tolerance
    direction = torch.randn(ours.shape)
    ours.backward(direction)
    expected.backward(direction.double())
    for name, parameter in reference.features.named_parameters():
        gradient = encoder.features.get_parameter(name).grad
        layer = reference.features[int(name.split(".")[0])]
        if isinstance(layer, nn.Conv2d) and name.endswith("bias"):
            # The next BatchNorm takes it away, so that the true gradient is zero.
            assert gradient is None
            continue
        assert gradient is not None
        assert distance(gradient, parameter.grad) < tolerance, name
    for name, buffer in reference.features.named_buffers():
        assert distance(encoder.features.get_buffer(name), buffer.double()) < tolerance, name


@BOTH
@pytest.mark.parametrize("batch", [2, 4, 7])  # pieces are of 4 clips
def test_values_gradients_and_statistics_are_those_of_the_plain_layers(
    version: str, d: int, batch: int
) -> None:
    encoder = make(version, d)
    mel = torch.randn(batch, 1, 64, 16, generator=torch.Generator().manual_seed(batch))
    compare(encoder, 2 * mel + 0.5, tolerance=2e-5)


@BOTH
def test_a_second_batch_moves_the_statistics_on(version: str, d: int) -> None:
    encoder = make(version, d)
    local_features(encoder, torch.randn(2, 1, 64, 16))
    assert all(
        int(buffer) == 1
        for name, buffer in encoder.named_buffers()
        if name.endswith("num_batches_tracked")
    )
    compare(encoder, torch.randn(3, 1, 64, 16), tolerance=2e-5)


@BOTH
@pytest.mark.parametrize("value", [0.0, 1.5, -3.0])
def test_where_a_pool_has_equal_values_one_place_alone_gets_the_gradient(
    version: str, d: int, value: float
) -> None:
    # Away from the borders all of a constant input's values are equal; whichever of them the
    # gradient goes to, the weights' gradient is the same.
    compare(make(version, d), torch.full((5, 1, 64, 16), value), tolerance=1e-4)


def test_a_batch_with_one_silent_clip() -> None:
    mel = torch.randn(5, 1, 64, 16)
    mel[2] = -1.0
    compare(make("2020", 512), mel, tolerance=2e-5)


def test_statistics_far_from_zero_keep_their_precision() -> None:
    mel = torch.randn(4, 1, 64, 16) * 0.05 + 3
    compare(make("2020", 512), mel, tolerance=1e-3)


def test_the_input_is_left_as_it_was() -> None:
    mel = torch.randn(2, 1, 64, 16)
    before = mel.clone()
    local_features(make("2020", 512), mel).sum().backward()
    assert mel.equal(before)
