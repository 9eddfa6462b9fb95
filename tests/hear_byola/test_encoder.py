from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from support.plain_encoder import naive_frames, naive_scene
from torch import Tensor

from hear_byola.encoder import ENCODERS, Encoder, make_encoder, pool_over_time
from hear_byola.random_weights import random_encoder

ALL = [("2020", 512), ("2020", 1024), ("2020", 2048), ("2022", 2048), ("2022", 3072)]
SMALLEST = [("2020", 512), ("2022", 2048)]


def trained_looking(version: str, d: int, seed: int = 0) -> Encoder:
    """Random weights of the scale of trained ones, and BatchNorm statistics that matter."""
    encoder = random_encoder(version, d, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in encoder.state_dict().items():
        if name.endswith(("running_var", "features.1.weight", "features.5.weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("running_mean"):
            tensor.uniform_(-0.5, 0.5, generator=generator)
    return encoder


def random_mel(frames: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 1, 64, frames, generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize(
    ("version", "d", "parameters"),
    [
        ("2020", 512, 600_192),
        ("2020", 1024, 1_649_792),
        ("2020", 2048, 5_321_856),
        ("2022", 2048, 4_235_200),
        ("2022", 3072, 6_333_376),
    ],
)
def test_parameter_counts(version: str, d: int, parameters: int) -> None:
    assert sum(p.numel() for p in make_encoder(version, d).parameters()) == parameters


@pytest.mark.parametrize(("version", "numbers"), [("2020", (0, 4, 8)), ("2022", (0, 4))])
def test_state_dict_has_the_published_names(version: str, numbers: tuple[int, ...]) -> None:
    names = {f"fc.{i}.{kind}" for i in (0, 3) for kind in ("weight", "bias")}
    for number in numbers:
        names |= {f"features.{number}.{kind}" for kind in ("weight", "bias")}
        names |= {
            f"features.{number + 1}.{kind}"
            for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        }
    assert set(make_encoder(version).state_dict()) == names


@pytest.mark.parametrize(("version", "d"), ALL)
@pytest.mark.parametrize("frames", [8, 27])
def test_agrees_with_the_naive_encoder(version: str, d: int, frames: int) -> None:
    encoder = trained_looking(version, d)
    mel = random_mel(frames)
    with torch.no_grad():
        found = encoder(mel)
    expected = naive_frames(encoder.state_dict(), mel[0, 0].numpy())
    assert found.shape == (1, frames // encoder.window, d)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-4, atol=1e-5)
    scene = naive_scene(encoder.state_dict(), mel[0, 0].numpy())
    np.testing.assert_allclose(pool_over_time([found])[0].numpy(), scene, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("version", "d"), SMALLEST)
def test_a_smaller_stride_gives_the_outputs_of_shifted_passes(version: str, d: int) -> None:
    # In float64: in float32, kernels for inputs of different widths round differently.
    encoder = trained_looking(version, d).double()
    window, frames = encoder.window, 61
    mel = random_mel(frames, batch=2).double()
    stride = window
    with torch.no_grad():
        while stride:
            outputs = encoder(mel, stride)
            assert outputs.shape == (2, (frames - window) // stride + 1, d)
            for k in range(outputs.shape[1]):
                begin = k * stride
                if begin < window or begin + 2 * window > frames:
                    continue
                alone = encoder(mel[..., begin - window : begin + 2 * window])[:, 1]
                torch.testing.assert_close(outputs[:, k], alone, rtol=0, atol=1e-10)
            stride //= 2


@pytest.mark.parametrize(("version", "d", "field"), [("2020", 512, 22), ("2022", 2048, 10)])
def test_receptive_field(version: str, d: int, field: int) -> None:
    encoder = trained_looking(version, d)
    mel = random_mel(64).requires_grad_()
    encoder(mel)[0, 32 // encoder.window].sum().backward()
    assert mel.grad is not None
    touched = mel.grad[0, 0].abs().sum(0).nonzero().flatten()
    margin = (field - encoder.window) // 2
    assert touched.min() >= 32 - margin
    assert touched.max() <= 32 + encoder.window - 1 + margin
    # Max-pooling hides some frames from the gradient of one input, but not from all inputs.
    assert len(touched) >= field - 4


@pytest.mark.parametrize("stride", [3, 16, -1])
def test_an_unfit_stride_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match="must divide the window of 8"):
        make_encoder("2020")(random_mel(16), stride)


@pytest.mark.parametrize(("version", "d"), [("2020", 3072), ("2020", 0), ("2022", 512)])
def test_an_unpublished_size_is_refused(version: str, d: int) -> None:
    with pytest.raises(ValueError, match=f"d={d} is no size of the {version} encoder"):
        make_encoder(version, d)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown encoder '2021'.*'2020', '2022'"):
        make_encoder("2021", 512)


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("pytorch", "841b0c3a864f65178e2ed8d39dd19568715df1cf4e00e270bdf1c64670195b26"),
        ("contrast", "832d2fb9fd26515740de2ec6414486d382306c5f60a09291c1ee63e549071c48"),
    ],
)
def test_random_weights_are_the_same_on_every_machine(init: str, expected: str) -> None:
    digest = hashlib.sha256()
    for tensor in random_encoder("2020", 512, seed=0, init=init).state_dict().values():
        digest.update(tensor.numpy().tobytes())
    assert digest.hexdigest() == expected


@pytest.mark.parametrize("version", ENCODERS)
def test_random_weights_depend_on_the_seed_alone(version: str) -> None:
    state = torch.get_rng_state()
    one = random_encoder(version, None, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    again = random_encoder(version, None, seed=3).state_dict()
    other = random_encoder(version, None, seed=4).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["fc.0.weight"], other["fc.0.weight"])
    bound = one["fc.0.weight"].shape[1] ** -0.5
    assert 0.99 * bound < one["fc.0.weight"].abs().max() <= bound


@pytest.mark.parametrize("version", ENCODERS)
def test_the_contrast_init_answers_to_differences_alone_and_hands_them_on(version: str) -> None:
    encoder = random_encoder(version, None, seed=3, init="contrast").eval()
    mel = random_mel(64)
    # Off the edges, where the padding has a level of its own.
    inner = slice(3 * 64, -3 * 64)
    local = encoder.local_features(mel)[:, 3:-3, inner]
    shifted = encoder.local_features(mel + 5)[:, 3:-3, inner]
    assert local.std() > 0.1
    torch.testing.assert_close(shifted, local, atol=1e-4, rtol=1e-4)
    whole = encoder.local_features(mel)
    perceptron = encoder.fc(whole)
    same = min(perceptron.shape[2], whole.shape[2])
    torch.testing.assert_close(perceptron[..., :same], whole[..., :same])
    again = random_encoder(version, None, seed=3, init="contrast").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in encoder.state_dict().items())
    other = random_encoder(version, None, seed=4, init="contrast").state_dict()
    assert not torch.equal(again["features.0.weight"], other["features.0.weight"])


def test_pooling_in_pieces_is_pooling_at_once() -> None:
    frames = torch.randn(3, 50, 7, generator=torch.Generator().manual_seed(0))
    expected = frames.amax(1) + frames.mean(1)
    for size in (1, 7, 50):
        torch.testing.assert_close(pool_over_time(frames.split(size, dim=1)), expected)


def test_trains() -> None:
    encoder = make_encoder("2020", 512)
    frames = encoder(random_mel(96, batch=2))
    assert frames.shape == (2, 12, 512)
    frames.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
