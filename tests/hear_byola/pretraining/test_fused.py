from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hear_byola.encoder import Encoder
from hear_byola.pretraining.fused import local_features
from hear_byola.random_weights import random_encoder

BOTH = pytest.mark.parametrize(("version", "d"), [("2020", 512), ("2022", 2048)])
CONSTANTS = pytest.mark.parametrize("value", [0.0, 1.5, -3.0])
# Where two values of a pool, or a value and zero, are nearly equal, rounding decides which place
# gets the gradient, and float32 gradients jump. So gradients of any input are compared in float64,
# and those of float32 only for an input without near ties.
EXACT = 1e-10
# Rounding errors of two float32 computations of the same thing differ by a small factor.
FACTOR, FLOOR = 4.0, 1e-6


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


def noise(batch: int, bands: int = 64, frames: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(batch, 1, bands, frames, generator=torch.Generator().manual_seed(seed))


def with_a_silent_clip() -> Tensor:
    mel = noise(5)
    mel[2] = -1.0
    return mel


def plain_features(encoder: Encoder, mel: Tensor) -> Tensor:
    """The layers one after the other, and (mel, channel) flattened, channel fastest."""
    return encoder.features(mel).permute(0, 3, 2, 1).flatten(2)


def outcome(
    features: Callable[[Encoder, Tensor], Tensor],
    encoder: Encoder,
    mel: Tensor,
    dtype: torch.dtype,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Output and running statistics, and gradients, of a copy of the encoder in this type."""
    encoder = copy.deepcopy(encoder).to(dtype)
    output = features(encoder, mel.to(dtype))
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(5))
    output.backward(direction.to(dtype))
    values = {"output": output.detach(), **dict(encoder.features.named_buffers())}
    gradients = {
        name: parameter.grad
        for name, parameter in encoder.features.named_parameters()
        if not is_bias_of_convolution(encoder, name)
    }
    return values, gradients


def is_bias_of_convolution(encoder: Encoder, name: str) -> bool:
    """The next BatchNorm takes it away, so that its true gradient is zero."""
    index, kind = name.split(".")
    return isinstance(encoder.features[int(index)], nn.Conv2d) and kind == "bias"


def distance(ours: Tensor, reference: Tensor) -> float:
    """Relative to the reference's length, or to 1e-3 where that is less."""
    length = max(float(reference.double().norm()), 1e-3)
    return float((ours.double() - reference.double()).norm()) / length


def assert_exact(encoder: Encoder, mel: Tensor) -> None:
    """In float64, output, statistics and gradients are those of the plain layers."""
    ours = outcome(local_features, encoder, mel, torch.float64)
    plain = outcome(plain_features, encoder, mel, torch.float64)
    for our_part, plain_part in zip(ours, plain, strict=True):
        assert our_part.keys() == plain_part.keys()
        for name, expected in plain_part.items():
            assert our_part[name].shape == expected.shape
            assert distance(our_part[name], expected) < EXACT, name


def assert_as_precise(
    ours: dict[str, Tensor], plain: dict[str, Tensor], reference: dict[str, Tensor]
) -> None:
    """In float32, the error is not much larger than that of the plain layers in float32."""
    for name, expected in reference.items():
        bound = FACTOR * max(distance(plain[name], expected), FLOOR)
        assert distance(ours[name], expected) < bound, name


def assert_precise(encoder: Encoder, mel: Tensor, *, gradients: bool = False) -> None:
    ours = outcome(local_features, encoder, mel, torch.float32)
    plain = outcome(plain_features, encoder, mel, torch.float32)
    reference = outcome(plain_features, encoder, mel, torch.float64)
    assert_as_precise(ours[0], plain[0], reference[0])
    if gradients:
        assert_as_precise(ours[1], plain[1], reference[1])


def margin(encoder: Encoder, mel: Tensor) -> float:
    """How far the input is from a tie in a pool or at a ReLU, in standard deviations."""
    x, margins = mel.double(), []
    layers = list(copy.deepcopy(encoder).double().features)
    for conv, norm, relu, pool in zip(*[iter(layers)] * 4, strict=True):
        z = norm(conv(x))
        x = pool(relu(z))
        deviations = z / norm.weight.abs().view(1, -1, 1, 1)
        windows = deviations.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
        best, second = windows.detach().topk(2, dim=-1).values.unbind(-1)
        margins += [best.abs().min(), (best - second)[best > 0].min()]
    return float(torch.stack(margins).min())


def without_near_ties(encoder: Encoder, batch: int) -> Tensor:
    """A random input, small enough that few draws are needed."""
    inputs = (2 * noise(batch, 8, 8, seed) + 0.5 for seed in range(200))
    return next(mel for mel in inputs if margin(encoder, mel) > 1e-4)


@BOTH
@pytest.mark.parametrize("batch", [1, 2, 5])  # pieces are of 2 clips
def test_values_gradients_and_statistics_are_those_of_the_plain_layers(
    version: str, d: int, batch: int
) -> None:
    encoder, mel = make(version, d), 2 * noise(batch) + 0.5
    assert_exact(encoder, mel)
    assert_precise(encoder, mel)


@BOTH
@pytest.mark.parametrize("batch", [4, 5])
def test_gradients_in_float32_are_as_precise_as_those_of_the_plain_layers(
    version: str, d: int, batch: int
) -> None:
    encoder = make(version, d)
    assert_precise(encoder, without_near_ties(encoder, batch), gradients=True)


@BOTH
def test_a_second_batch_moves_the_statistics_on(version: str, d: int) -> None:
    encoder = make(version, d)
    local_features(encoder, noise(2))
    assert all(
        int(buffer) == 1
        for name, buffer in encoder.named_buffers()
        if name.endswith("num_batches_tracked")
    )
    assert_exact(encoder, noise(3, seed=1))


@BOTH
@CONSTANTS
def test_where_a_pool_has_equal_values_one_place_alone_gets_the_gradient(
    version: str, d: int, value: float
) -> None:
    # Away from the borders all of a constant input's values are equal; whichever of them the
    # gradient goes to, the weights' gradient is the same.
    encoder, mel = make(version, d), torch.full((5, 1, 64, 16), value)
    assert_exact(encoder, mel)
    assert_precise(encoder, mel)


def test_a_batch_with_one_silent_clip() -> None:
    encoder, mel = make("2020", 512), with_a_silent_clip()
    assert_exact(encoder, mel)
    assert_precise(encoder, mel)


def test_statistics_far_from_zero_keep_their_precision() -> None:
    encoder, mel = make("2020", 512), 0.05 * noise(4) + 3
    assert_exact(encoder, mel)
    assert_precise(encoder, mel)


def test_the_input_is_left_as_it_was() -> None:
    mel = noise(4)
    before = mel.clone()
    local_features(make("2020", 512), mel).sum().backward()
    assert mel.equal(before)


@BOTH
def test_bfloat16_is_as_precise_as_that_of_the_plain_layers(version: str, d: int) -> None:
    encoder, mel = make(version, d), 2 * noise(4) + 0.5
    reference = outcome(plain_features, encoder, mel, torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = outcome(local_features, encoder, mel, torch.float32)
        plain = outcome(plain_features, encoder, mel, torch.float32)
    assert ours[0]["output"].dtype == plain[0]["output"].dtype == torch.bfloat16
    for our_part, plain_part, expected in zip(ours, plain, reference, strict=True):
        assert_as_precise(our_part, plain_part, expected)
