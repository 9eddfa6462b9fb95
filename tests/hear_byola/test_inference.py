"""The inference form against the plain module: equal results, never with old weights."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import hear_byola
from hear_byola.core.precision import PRECISIONS
from hear_byola.encoder import Encoder
from hear_byola.inference import InferenceForm, has_arithmetic
from hear_byola.model import ByolA
from hear_byola.random_weights import random_encoder

VERSIONS = [("2020", 512), ("2020", 2048), ("2022", 2048), ("2022", 3072)]


def trained_looking(version: str, d: int, seed: int = 1, init: str = "pytorch") -> Encoder:
    """Random weights, and statistics and scales of BatchNorm of either sign."""
    encoder = random_encoder(version, d, seed, init).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in encoder.named_buffers():
        if name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
    with torch.no_grad():
        for layer in encoder.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator) * 0.3)
    return encoder


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def sound(clips: int = 2, seconds: float = 1.2) -> Tensor:
    """Tones that rise and fall in noise."""
    time = torch.arange(int(seconds * 16_000)) / 16_000
    tones = [torch.sin(440 * (clip + 1) * time.square()) * time for clip in range(clips)]
    return 0.3 * torch.stack(tones) + 0.02 * noise(clips, len(time))


def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    return float((found - expected).abs().max() / expected.abs().max())


def plainly(model: ByolA, audio: Tensor) -> tuple[Tensor, Tensor]:
    """Scene and timestamp embeddings by the plain modules, which compute the gradients."""
    with torch.enable_grad():
        return (
            model.scene_embeddings(audio).detach(),
            model.timestamp_embeddings(audio)[0].detach(),
        )


def assert_as_plain(model: ByolA, audio: Tensor) -> None:
    scenes, frames = plainly(model, audio)
    assert relative_error(hear_byola.get_scene_embeddings(audio, model), scenes) < 1e-5
    assert relative_error(hear_byola.get_timestamp_embeddings(audio, model)[0], frames) < 1e-5


@pytest.mark.parametrize(("version", "d"), VERSIONS)
@pytest.mark.parametrize("clips", [1, 3])
def test_the_form_equals_the_plain_encoder(version: str, d: int, clips: int) -> None:
    encoder = trained_looking(version, d)
    form = InferenceForm(encoder, torch.float32)
    with torch.no_grad():
        for frames in (*range(encoder.window, encoder.window + 9), 101, 330):
            stride = encoder.window
            while stride:
                mel = noise(clips, 1, 64, frames)
                assert relative_error(form(mel, stride), encoder(mel, stride)) < 1e-5
                stride //= 2


@pytest.mark.parametrize("options", [{}, {"init": "contrast"}, {"encoder": "2022"}], ids=str)
def test_a_loaded_model_equals_its_plain_form(options: dict) -> None:
    assert_as_plain(hear_byola.load_model(seed=0, **options), sound())


def test_the_form_is_built_once() -> None:
    model = hear_byola.load_model(seed=0)
    hear_byola.get_scene_embeddings(sound(), model)
    form = model._inference
    assert form is not None
    hear_byola.get_timestamp_embeddings(sound(), model)
    assert model._inference is form


def test_the_state_of_the_model_is_as_before() -> None:
    model = hear_byola.load_model(seed=0)
    before = copy.deepcopy(model.state_dict())
    hear_byola.get_scene_embeddings(sound(), model)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(name.startswith("_inference") for name, _ in model.named_modules())


def other_state() -> dict[str, Tensor]:
    return trained_looking("2020", 512, seed=7).state_dict()


def train_a_step(model: ByolA) -> None:
    model.train()
    optimizer = torch.optim.Adam(model.encoder.parameters(), lr=0.01)
    model.encoder(model.frontend(sound())[:, None]).square().mean().backward()
    optimizer.step()
    model.eval()


def fine_tune_in_eval_mode(model: ByolA) -> None:
    optimizer = torch.optim.SGD(model.encoder.parameters(), lr=1.0)
    model.scene_embeddings(sound()).mean().backward()
    optimizer.step()


def estimate_statistics(model: ByolA) -> None:
    """As training without an optimizer: BatchNorm's running statistics alone change."""
    model.train()
    with torch.no_grad():
        model.encoder(model.frontend(sound())[:, None])
    model.eval()


def move_as_an_average(model: ByolA) -> None:
    """In place through .data, which PyTorch does not count as a new version."""
    state = other_state()
    for name, parameter in model.encoder.named_parameters():
        if name.startswith("features"):
            parameter.data.mul_(0.5).add_(state[name], alpha=0.5)


def replace_a_parameter(model: ByolA) -> None:
    conv = model.encoder.features[4]
    assert isinstance(conv, nn.Conv2d)
    conv.weight = nn.Parameter(conv.weight.detach() * 1.5)


def change_the_perceptron(model: ByolA) -> None:
    with torch.no_grad():
        model.encoder.fc[3].weight.mul_(-0.5)


def move_the_perceptron_as_an_average(model: ByolA) -> None:
    state = other_state()
    for name, parameter in model.encoder.named_parameters():
        if name.startswith("fc"):
            parameter.data.mul_(0.5).add_(state[name], alpha=0.5)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "change",
    [
        move_the_perceptron_as_an_average,
        train_a_step,
        fine_tune_in_eval_mode,
        estimate_statistics,
        move_as_an_average,
        replace_a_parameter,
        change_the_perceptron,
        lambda model: model.encoder.load_state_dict(other_state()),
        lambda model: model.encoder.load_state_dict(other_state(), assign=True),
    ],
)
@pytest.mark.filterwarnings("ignore:precision='bf16'")
def test_changed_weights_are_used(change: Callable[[ByolA], object], precision: str) -> None:
    model = hear_byola.load_model(seed=0, precision=precision)
    audio = sound()
    old = hear_byola.get_scene_embeddings(audio, model)
    untouched = copy.deepcopy(model)
    change(model)
    expected, _ = plainly(model, audio)
    found = hear_byola.get_scene_embeddings(audio, model)
    assert relative_error(found, expected) < (1e-5 if precision == "float32" else 0.02)
    assert relative_error(found, old) > 0.05
    assert torch.equal(hear_byola.get_scene_embeddings(audio, untouched), old)


@pytest.mark.parametrize(
    "copy_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_a_copy_has_weights_of_its_own(copy_of: Callable[[ByolA], ByolA]) -> None:
    model = hear_byola.load_model(seed=0)
    before = hear_byola.get_scene_embeddings(sound(), model)
    copied = copy_of(model)
    assert torch.equal(hear_byola.get_scene_embeddings(sound(), copied), before)
    copied.encoder.load_state_dict(other_state())
    assert_as_plain(copied, sound())
    assert_as_plain(model, sound())


def test_gradients_reach_audio_and_weights() -> None:
    model = hear_byola.load_model(seed=0)
    audio = sound().requires_grad_()
    hear_byola.get_scene_embeddings(audio, model)
    model.scene_embeddings(audio).sum().backward()
    assert audio.grad is not None
    assert audio.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.encoder.parameters())


# Half precision


@pytest.mark.parametrize("options", [{}, {"d": 2048}, {"encoder": "2022"}], ids=str)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close(precision: str, options: dict) -> None:
    plain = hear_byola.load_model(seed=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half = hear_byola.load_model(seed=0, precision=precision, **options)
    audio = sound(3)
    for embed in (
        hear_byola.get_scene_embeddings,
        lambda *given: hear_byola.get_timestamp_embeddings(*given)[0],
    ):
        found, expected = embed(audio, half), embed(audio, plain)
        assert found.dtype == torch.float32
        assert not torch.equal(found, expected)
        assert nn.functional.cosine_similarity(found, expected, dim=-1).min() > 0.9999


@pytest.mark.parametrize(("version", "d"), [("2020", 512), ("2022", 2048)])
def test_rounded_float32_gives_what_bfloat16_arithmetic_gives(version: str, d: int) -> None:
    encoder, mel = trained_looking(version, d), noise(2, 1, 64, 40)
    with torch.no_grad():
        native = InferenceForm(encoder, torch.bfloat16, emulated=False)(mel)
        emulated = InferenceForm(encoder, torch.bfloat16, emulated=True)(mel)
        exact = encoder(mel)
    # The sums differ in their order, so single values are rounded to the next number of 8 bits.
    apart = (native - emulated).norm() / exact.norm()
    assert apart < 0.3 * (emulated - exact).norm() / exact.norm()


def test_half_precision_on_a_cpu_without_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for precision, dtype in PRECISIONS.items():
        if has_arithmetic(dtype, torch.device("cpu")):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                hear_byola.load_model(seed=0, precision=precision)
        else:
            with pytest.warns(UserWarning, match="this CPU has no such arithmetic") as caught:
                hear_byola.load_model(seed=0, precision=precision)
            assert caught[0].filename == __file__


def test_precision_is_no_part_of_the_state() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half = hear_byola.load_model(seed=0, precision="bf16")
    plain = hear_byola.load_model(seed=0)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(half.state_dict()[name], tensor)
