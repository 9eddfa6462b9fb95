"""Batched augmentations against plain ones: same random draws in, same result out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_byola import PlainCrop
from support.plain_byola import canvas_size as plain_canvas_size
from support.plain_byola import gaussian as plain_gaussian
from support.plain_byola import linear_fader as plain_linear_fader
from support.plain_byola import linear_mixup as plain_linear_mixup
from support.plain_byola import mixup as plain_mixup
from support.plain_byola import post_norm as plain_post_norm
from support.plain_byola import random_resize_crop as plain_random_resize_crop
from torch import Tensor

from hear_byola.pretraining.augment import (
    Augmentations,
    Crop,
    gaussian,
    linear_fader,
    mixup,
    post_norm,
    random_resize_crop,
)
from hear_byola.pretraining.config import PretrainConfig

SIZE = (64, 96)
CANVAS = (1.0, 1.5)
WITHIN = {"rtol": 0.0, "atol": 1e-5}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def log_mels(batch: int, seed: int = 0, size: tuple[int, int] = SIZE) -> Tensor:
    """Of the mean and deviation that pre-normalised spectrograms have."""
    return torch.randn(batch, *size, generator=torch.Generator().manual_seed(seed))


def uniform(batch: int, seed: int, low: float, high: float) -> Tensor:
    return torch.empty(batch).uniform_(low, high, generator=torch.Generator().manual_seed(seed))


def crops(*rectangles: tuple[int, int, int, int]) -> Crop:
    """Of (top, left, height, width) each."""
    return Crop(*torch.tensor(rectangles).unbind(1))


def plain_crops(x: Tensor, crop: Crop, canvas: tuple[float, float]) -> Tensor:
    drawn = torch.stack([crop.top, crop.left, crop.height, crop.width], dim=1).tolist()
    return torch.stack(
        [plain_random_resize_crop(x[i], PlainCrop(*drawn[i]), canvas) for i in range(len(x))]
    )


def random_crops(batch: int, seed: int, canvas_bins: tuple[int, int] = (64, 144)) -> Crop:
    """Any rectangles at all on the canvas: more than are ever drawn."""
    generator = torch.Generator().manual_seed(seed)

    def stretch(limit: int) -> tuple[Tensor, Tensor]:
        ends = torch.randint(0, limit + 1, (2, batch), generator=generator)
        start = ends.amin(0).clamp(max=limit - 1)
        return start, (ends.amax(0) - start).clamp(min=1)

    (top, height), (left, width) = (stretch(limit) for limit in canvas_bins)
    return Crop(top, left, height, width)


@pytest.mark.parametrize(("log_exp", "plain"), [(True, plain_mixup), (False, plain_linear_mixup)])
def test_mixup_is_the_plain_one(log_exp: bool, plain: object) -> None:
    x, z, mix = 2 * log_mels(16, 1), 2 * log_mels(16, 2), uniform(16, 3, 0, 1)
    mix[:2] = torch.tensor([0.0, 1.0])
    expected = [plain(x[i], z[i], mix[i].item()) for i in range(16)]  # type: ignore[operator]
    torch.testing.assert_close(mixup(x, z, mix, log_exp), torch.stack(expected), **WITHIN)


def test_mixup_of_silence_stays_finite() -> None:
    silence = torch.full((1, *SIZE), -200.0)
    floor = torch.tensor(torch.finfo(torch.float32).eps).log()
    mixed = mixup(silence, silence, torch.tensor([0.3]))
    torch.testing.assert_close(mixed, floor.expand(1, *SIZE))


def test_gaussian_is_the_plain_one() -> None:
    x, mix = 2 * log_mels(16, 1), uniform(16, 3, 0, 0.4)
    noise = log_mels(16, 2) * mix[:, None, None]
    expected = [plain_gaussian(x[i], mix[i].item(), noise[i]) for i in range(16)]
    torch.testing.assert_close(gaussian(x, mix, noise), torch.stack(expected), **WITHIN)


@pytest.mark.parametrize("seed", range(4))
def test_crop_is_torch_interpolate_of_the_cut_out(seed: int) -> None:
    x, crop = log_mels(128, seed), random_crops(128, seed)
    torch.testing.assert_close(
        random_resize_crop(x, crop, CANVAS), plain_crops(x, crop, CANVAS), **WITHIN
    )


def test_extreme_crops_are_torch_interpolate_of_the_cut_out() -> None:
    crop = crops(
        (0, 0, 64, 144),  # the whole canvas
        (0, 24, 64, 96),  # x itself
        (10, 0, 20, 24),  # zeros left of x alone
        (10, 120, 20, 24),  # zeros right of it
        (10, 0, 20, 25),  # one frame of x at the right edge
        (10, 119, 20, 25),  # one at the left
        (63, 143, 1, 1),  # single bins, outside of x and inside
        (63, 119, 1, 1),
        (0, 24, 1, 1),
        (30, 0, 1, 144),  # one row, one column
        (0, 70, 64, 1),
        (5, 60, 2, 2),
        (5, 60, 3, 2),
    )
    x = log_mels(len(crop.top), 5)
    resized = random_resize_crop(x, crop, CANVAS)
    torch.testing.assert_close(resized, plain_crops(x, crop, CANVAS), **WITHIN)
    torch.testing.assert_close(resized[1], x[1], **WITHIN)
    assert not resized[2:4].any()


sides = st.integers(2, 17)


@settings(deadline=None, max_examples=60)
@given(bands=sides, frames=sides, wider=st.integers(0, 12), higher=st.integers(0, 12), seed=sides)
def test_crop_on_any_canvas(bands: int, frames: int, wider: int, higher: int, seed: int) -> None:
    canvas = ((bands + higher) / bands, (frames + wider) / frames)
    x = log_mels(8, seed, (bands, frames))
    crop = random_crops(8, seed, (bands + higher, frames + wider))
    assert plain_canvas_size(bands, frames, canvas) == (bands + higher, frames + wider)
    torch.testing.assert_close(
        random_resize_crop(x, crop, canvas), plain_crops(x, crop, canvas), **WITHIN
    )


@pytest.mark.parametrize("canvas", [(1.0, 1.1), (1.15, 1.0), (1.3, 1.7)])
def test_a_canvas_of_broken_bins_is_rounded(canvas: tuple[float, float]) -> None:
    """0.15 of 20 bands are 3, though 1.15 * 20 in floating point is a little less than 23."""
    x = log_mels(8, 0, (20, 96))
    crop = random_crops(8, 0, plain_canvas_size(20, 96, canvas))
    torch.testing.assert_close(
        random_resize_crop(x, crop, canvas), plain_crops(x, crop, canvas), **WITHIN
    )


def test_fader_is_the_plain_one() -> None:
    x, head, tail = log_mels(16), uniform(16, 1, -1, 1), uniform(16, 2, -1, 1)
    expected = [plain_linear_fader(x[i], head[i].item(), tail[i].item()) for i in range(16)]
    torch.testing.assert_close(linear_fader(x, head, tail), torch.stack(expected), **WITHIN)


def test_post_norm_is_the_plain_one_over_both_views() -> None:
    views = 3 * log_mels(8, 1) + 5, log_mels(8, 2) - 4
    expected = [torch.stack(view) for view in plain_post_norm([list(view) for view in views])]
    normalised = post_norm(views)
    for ours, plain in zip(normalised, expected, strict=True):
        torch.testing.assert_close(ours, plain, **WITHIN)
    together = torch.stack(list(normalised))
    torch.testing.assert_close(together.mean(), torch.tensor(0.0), **WITHIN)
    torch.testing.assert_close(together.std(), torch.tensor(1.0), **WITHIN)
    assert normalised[0].mean() > 0.5, "views are normalised together, not each by itself"


def all_but_the_crop(device: str) -> list[Tensor]:
    x, z, share = log_mels(4, 1).to(device), log_mels(4, 2).to(device), uniform(4, 3, 0, 1)
    share = share.to(device)
    return [
        mixup(x, z, share),
        mixup(x, z, share, log_exp=False),
        gaussian(x, share, z),
        linear_fader(x, -share, share),
        *post_norm((x, z)),
    ]


def every_function(device: str) -> list[Tensor]:
    drawn = random_crops(4, 1)
    parts = (drawn.top, drawn.left, drawn.height, drawn.width)
    crop = Crop(*(part.to(device) for part in parts))
    return [*all_but_the_crop(device), random_resize_crop(log_mels(4).to(device), crop, CANVAS)]


def all_float32_on(device: str, results: list[Tensor]) -> bool:
    return all(
        (result.device.type, result.dtype, result.shape) == (device, torch.float32, (4, *SIZE))
        for result in results
    )


@pytest.mark.parametrize("device", DEVICES)
def test_results_are_float32_where_the_input_is(device: str) -> None:
    assert all_float32_on(device, every_function(device))


def test_nothing_passes_through_the_cpu() -> None:
    """A meta tensor has no values to copy; autocast, which a crop switches off, knows no meta."""
    assert all_float32_on("meta", all_but_the_crop("meta"))


@pytest.mark.parametrize("device", DEVICES[1:])
def test_results_on_a_gpu_are_those_of_the_cpu(device: str) -> None:
    for there, here in zip(every_function(device), every_function("cpu"), strict=True):
        torch.testing.assert_close(there.cpu(), here, **WITHIN)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_takes_no_precision_away(device: str, dtype: torch.dtype) -> None:
    expected = every_function(device)
    with torch.autocast(device, dtype):
        cast = every_function(device)
    for result, exact in zip(cast, expected, strict=True):
        torch.testing.assert_close(result, exact, **WITHIN)


# The strung-together augmentations. Some are made deterministic by their fields: a crop of the
# whole canvas; Gaussian noise of no deviation, which is log(exp(x) + 1).
STILL = PretrainConfig(
    augmentations=(),
    post_norm=False,
    gaussian_alpha=0.0,
    crop_frequency=(1.0, 1.0),
    crop_time=(1.5, 1.5),
)


def replace(config: PretrainConfig, **fields: object) -> PretrainConfig:
    return config.model_copy(update=fields)


def augmented(
    config: PretrainConfig, x: Tensor, seed: int = 0, module: Augmentations | None = None
) -> Tensor:
    """Both views, (2, batch, F, T)."""
    module = module or Augmentations(config, (x.shape[1], x.shape[2]))
    generator = torch.Generator(x.device).manual_seed(seed)
    return torch.stack(list(module(x, generator)))


def after_noise(x: Tensor) -> Tensor:
    return torch.stack([plain_gaussian(clip, 0.0, torch.zeros_like(clip)) for clip in x])


def before_noise(x: Tensor) -> Tensor:
    return torch.expm1(x.double()).log()


def whole_canvas(x: Tensor) -> Tensor:
    return plain_crops(x, crops(*[(0, 0, 64, 144)] * len(x)), CANVAS)


def is_line_over_time(x: Tensor) -> bool:
    """Whether each (..., F, T) is the same line in every band."""
    x = x.float()
    share = torch.linspace(0, 1, x.shape[-1])
    line = torch.lerp(x[..., :1, :1], x[..., :1, -1:], share)
    return torch.allclose(x, line.expand_as(x), rtol=0, atol=1e-4)


def test_no_augmentations_leave_both_views_as_they_were() -> None:
    x = log_mels(4)
    assert torch.equal(augmented(STILL, x), torch.stack([x, x]))


def test_augmentations_are_applied_in_the_order_of_the_config() -> None:
    x = log_mels(4)
    crop_last = augmented(replace(STILL, augmentations=("gaussian", "random_resize_crop")), x)
    noise_last = augmented(replace(STILL, augmentations=("random_resize_crop", "gaussian")), x)
    for view in range(2):
        torch.testing.assert_close(crop_last[view], whole_canvas(after_noise(x)), **WITHIN)
        torch.testing.assert_close(noise_last[view], after_noise(whole_canvas(x)), **WITHIN)


def test_a_fader_comes_where_the_config_puts_it() -> None:
    x = log_mels(4)
    fader_last = augmented(replace(STILL, augmentations=("gaussian", "linear_fader")), x)
    noise_last = augmented(replace(STILL, augmentations=("linear_fader", "gaussian")), x)
    assert is_line_over_time(fader_last - after_noise(x))
    assert is_line_over_time(before_noise(noise_last) - x)
    assert not is_line_over_time(before_noise(fader_last) - x)


def test_post_norm_is_over_both_views_after_all_augmentations() -> None:
    config = PretrainConfig(augmentations=("mixup", "random_resize_crop", "linear_fader"))
    x = 2 * log_mels(8) + 1
    plain = plain_post_norm([list(view) for view in augmented(replace(config, post_norm=False), x)])
    expected = torch.stack([torch.stack(view) for view in plain])
    torch.testing.assert_close(augmented(config, x), expected, **WITHIN)


def test_the_input_is_left_as_it_was() -> None:
    config = PretrainConfig(augmentations=("mixup", "gaussian", "random_resize_crop"))
    module = Augmentations(config, SIZE)
    x = log_mels(4)
    before = x.clone()
    for seed in range(2):
        views = augmented(config, x, seed, module)
        assert not views.requires_grad
    assert torch.equal(x, before)


def test_the_same_generator_makes_the_same_views() -> None:
    config = PretrainConfig(
        augmentations=("mixup", "gaussian", "random_resize_crop", "linear_fader")
    )
    batches = [log_mels(4, seed) for seed in range(3)]

    def run(seed: int) -> Tensor:
        module, generator = Augmentations(config, SIZE), torch.Generator().manual_seed(seed)
        return torch.stack([torch.stack(list(module(x, generator))) for x in batches])

    torch.manual_seed(1)
    first = run(0)
    torch.manual_seed(2)
    assert torch.equal(first, run(0)), "draws depend on the generator alone"
    assert not torch.isclose(first, run(1)).all(dim=(-2, -1)).any(), "another seed, other views"
    assert not torch.isclose(first[:, 0], first[:, 1]).all(dim=(-2, -1)).any(), "views differ"


@pytest.mark.parametrize("device", DEVICES)
def test_autocast_takes_no_precision_from_both_views(device: str) -> None:
    config = PretrainConfig(augmentations=("mixup", "random_resize_crop", "linear_fader"))
    batches = [log_mels(4, seed).to(device) for seed in range(2)]
    plain, cast = Augmentations(config, SIZE).to(device), Augmentations(config, SIZE).to(device)
    for x in batches:
        expected = augmented(config, x, module=plain)
        with torch.autocast(device, torch.bfloat16):
            views = augmented(config, x, module=cast)
        torch.testing.assert_close(views, expected, **WITHIN)


@pytest.mark.parametrize("device", DEVICES[1:])
def test_a_gpu_never_waits_for_the_cpu(device: str) -> None:
    config = PretrainConfig(
        augmentations=("mixup", "gaussian", "random_resize_crop", "linear_fader")
    )
    module = Augmentations(config, SIZE).to(device)
    generator = torch.Generator(device).manual_seed(0)
    x = log_mels(8).to(device)
    module(x, generator)
    torch.cuda.set_sync_debug_mode("error")
    try:
        module(x, generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
