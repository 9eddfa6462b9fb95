"""What the augmentations draw: ranges, distributions, and backgrounds out of the memory."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from hear_byola.pretraining.augment import Augmentations, Crop, draw_crop
from hear_byola.pretraining.config import PretrainConfig

SIZE = (64, 96)
# Draws are seeded, so these tests give one answer for ever; a right sampler would fail one of
# them for one seed in ten thousand.
UNLIKELY = 1e-4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def is_uniform(values: Tensor, low: float, high: float) -> bool:
    assert low <= values.min()
    assert values.max() <= high
    return bool(stats.kstest(values.double(), "uniform", (low, high - low)).pvalue > UNLIKELY)


def shares(lengths: Tensor, shortest: int, longest: int) -> Tensor:
    return torch.bincount(lengths, minlength=longest + 1)[shortest : longest + 1] / len(lengths)


def close_to(observed: Tensor, expected: Tensor, draws: int) -> bool:
    """Within five standard deviations of a share of so many draws."""
    deviation = (expected * (1 - expected) / draws).sqrt()
    return bool(((observed - expected).abs() <= 5 * deviation + 1e-12).all())


DRAWS = 100_000


def many_crops(seed: int = 0, **ranges: tuple[float, float]) -> Crop:
    return draw_crop(generator(seed), DRAWS, SIZE, **ranges)


def test_crops_are_truncated_and_clipped_to_the_canvas() -> None:
    crop = many_crops()
    # int(U(38.4, 96)) is 38 from 0.6 of a bin's draws, and everything from 64 on is clipped.
    heights = torch.full((27,), 1 / 57.6)
    heights[0], heights[-1] = 0.6 / 57.6, 32 / 57.6
    assert close_to(shares(crop.height, 38, 64), heights, DRAWS)
    widths = torch.full((87,), 1 / 86.4)  # int(U(57.6, 144))
    widths[0] = 0.4 / 86.4
    assert crop.height.min() == 38
    assert crop.height.max() == 64
    assert crop.width.min() == 57
    assert crop.width.max() == 143
    assert close_to(shares(crop.width, 57, 143), widths, DRAWS)
    for part in (crop.top, crop.left, crop.height, crop.width):
        assert (part.shape, part.dtype) == ((DRAWS,), torch.int64)


def test_crops_have_at_least_one_bin() -> None:
    crop = many_crops(frequency=(0.001, 0.002), time=(0.001, 0.002))
    assert set(crop.height.tolist()) == set(crop.width.tolist()) == {1}
    assert (crop.top.min(), crop.top.max()) == (0, 63)
    assert (crop.left.min(), crop.left.max()) == (0, 143)


def test_crops_lie_anywhere_on_the_canvas_alike() -> None:
    crop = many_crops(frequency=(0.5, 0.5), time=(0.75, 0.75))
    assert set(crop.height.tolist()) == {32}
    assert set(crop.width.tolist()) == {72}
    assert close_to(shares(crop.top, 0, 32), torch.full((33,), 1 / 33), DRAWS)
    assert close_to(shares(crop.left, 0, 72), torch.full((73,), 1 / 73), DRAWS)


def test_crops_stay_on_the_canvas_and_reach_its_edges() -> None:
    crop = many_crops()
    for start, length, limit in ((crop.top, crop.height, 64), (crop.left, crop.width, 144)):
        assert start.min() == 0
        assert (start + length).max() == limit


def test_the_parts_of_a_crop_are_independent() -> None:
    crop = many_crops()
    free = [(64 - crop.height).clamp(min=1), (144 - crop.width).clamp(min=1)]
    parts = [crop.height, crop.width, crop.top / free[0], crop.left / free[1]]
    room = (crop.height < 60) & (crop.width < 140)
    # Where there is room, places relative to it hardly depend on the sizes.
    correlation = torch.corrcoef(torch.stack([part.double()[room] for part in parts]))
    assert (correlation - torch.eye(4)).abs().max() < 0.04


def test_crops_follow_their_generator() -> None:
    global_state = torch.get_rng_state()
    one, same, other = many_crops(1), many_crops(1), many_crops(2)
    assert torch.equal(global_state, torch.get_rng_state())
    assert torch.equal(one.left, same.left)
    assert torch.equal(one.height, same.height)
    assert not torch.equal(one.left, other.left)


def only(name: str, **fields: object) -> PretrainConfig:
    return PretrainConfig(augmentations=(name,), post_norm=False, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("reach", [1.0, 0.3])
def test_fader_ends_are_uniform_and_independent(reach: float) -> None:
    x = torch.zeros(2000, 2, 5)
    views = Augmentations(only("linear_fader", fader_range=reach), (2, 5))(x, generator())
    ends = torch.cat([views[0][:, 0, [0, -1]], views[1][:, 0, [0, -1]]], dim=1).T
    for end in ends:
        assert is_uniform(end, -reach, reach)
    assert (torch.corrcoef(ends) - torch.eye(4)).abs().max() < 0.1


@pytest.mark.parametrize("alpha", [0.4, 0.1])
def test_noise_is_normal_with_a_uniform_deviation(alpha: float) -> None:
    silence = torch.full((1000, *SIZE), -100.0)
    for view in Augmentations(only("gaussian", gaussian_alpha=alpha), SIZE)(silence, generator()):
        deviation = view.flatten(1).std(dim=1)
        # A deviation measured on 6,144 bins is off by less than 4 %.
        assert is_uniform(deviation / 1.04, 0, alpha)
        standard = (view / deviation[:, None, None]).flatten()[::100]
        assert stats.kstest(standard.double(), "norm").pvalue > UNLIKELY


def test_noise_takes_its_share_from_the_sound() -> None:
    """One draw is both the share and the deviation: log((1 - mix) exp(x) + exp(noise))."""
    loud = torch.full((500, *SIZE), 12.0)  # exp(noise) vanishes beside exp(12)
    quiet = torch.full((500, *SIZE), -100.0)
    module = Augmentations(only("gaussian"), SIZE)
    share = -torch.expm1(module(loud, generator())[0].mean(dim=(1, 2)) - 12)
    deviation = module(quiet, generator())[0].std(dim=(1, 2))
    assert is_uniform(share, 0, 0.4)
    torch.testing.assert_close(share, deviation, rtol=0.05, atol=1e-3)


# Clip number i is a spectrogram of zeros with a one in bin i. So after a linear mixup, a bin other
# than the clip's own names the background, and its value is the background's share.
BINS = 256


def numbered(first: int, count: int) -> Tensor:
    numbers = torch.arange(first, first + count) % BINS
    return torch.eye(BINS)[numbers].view(count, 16, 16)


def backgrounds(view: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Number and share of each clip's background."""
    others = (view - x).flatten(1).clone()
    share, number = others.max(dim=1)
    return number, share


def linear_mixup(memory: int, alpha: float = 0.4) -> Augmentations:
    config = only("mixup", mixup_log_exp=False, mixup_memory=memory, mixup_alpha=alpha)
    return Augmentations(config, (16, 16))


@pytest.mark.parametrize("post_norm", [False, True])
def test_the_first_batch_is_unchanged(post_norm: bool) -> None:
    config = PretrainConfig(augmentations=("mixup",), post_norm=post_norm)
    x = numbered(0, 8)
    expected = (x - x.mean()) / x.std(correction=0) if post_norm else x
    for view in Augmentations(config, (16, 16))(x, generator()):
        torch.testing.assert_close(view, expected)


def ages(memory: int, batch: int, steps: int) -> list[tuple[int, int, int]]:
    """(clips seen before the batch, place in the batch, clips ago) of all backgrounds drawn."""
    module, draws = linear_mixup(memory), generator()
    found = []
    for step in range(steps):
        x = numbered(step * batch, batch)
        views = module(x, draws)
        if step == 0:
            continue
        for view in views:
            numbers, _ = backgrounds(view, x)
            found += [
                (step * batch, place, (step * batch - number) % BINS)
                for place, number in enumerate(numbers.tolist())
            ]
    return found


@pytest.mark.parametrize(
    ("memory", "batch"), [(4, 3), (7, 3), (8, 4), (5, 5), (4, 10), (1, 3), (100, 7)]
)
def test_backgrounds_are_the_last_inputs_before_the_batch(memory: int, batch: int) -> None:
    """Each clip enters once, though two views are made of it; the oldest are overwritten."""
    found = ages(memory, batch, steps=100)
    # 0 would be the batch's first clip, numbers below it its others: none of them is there yet.
    assert all(1 <= age <= min(seen, memory) for seen, _, age in found)
    late = [age for seen, _, age in found if seen >= memory]
    alike = torch.full((memory,), 1 / memory)
    assert close_to(shares(torch.tensor(late), 1, memory), alike, len(late))
    assert set(late) == set(range(1, memory + 1))


def test_backgrounds_are_drawn_for_each_clip_and_view() -> None:
    module, draws = linear_mixup(memory=64), generator()
    module(numbered(0, 64), draws)
    x = numbered(64, 128)
    (first, _), (second, _) = (backgrounds(view, x) for view in module(x, draws))
    assert len(first.unique()) > 32
    assert (first == second).float().mean() < 0.2


@pytest.mark.parametrize("alpha", [0.4, 0.2, 1.0])
def test_shares_of_backgrounds_are_uniform(alpha: float) -> None:
    module, draws = linear_mixup(memory=128, alpha=alpha), generator()
    module(numbered(0, 128), draws)
    shares_drawn = []
    for _ in range(10):
        x = numbered(128, 128)
        shares_drawn += [
            share[number < 128] for number, share in (backgrounds(v, x) for v in module(x, draws))
        ]
        module.memory.add(numbered(0, 128))  # type: ignore[union-attr]
    assert len(torch.cat(shares_drawn)) == 2560
    assert is_uniform(torch.cat(shares_drawn), 0, alpha)


def test_the_memory_keeps_inputs_as_they_came_in() -> None:
    """Neither mixed, nor cropped, nor a reference to a batch that is overwritten later."""
    config = PretrainConfig(
        augmentations=("random_resize_crop", "mixup"),
        post_norm=False,
        mixup_log_exp=False,
        mixup_memory=1,
        mixup_alpha=1.0,
        crop_frequency=(1.0, 1.0),
        crop_time=(1.5, 1.5),
    )
    module, draws = Augmentations(config, (16, 16)), generator()
    x = torch.randn(3, 16, 16, generator=draws)
    last = x[-1].clone()
    module(x, draws)
    x.zero_()
    silence = torch.zeros(1, 16, 16)
    for view in module(silence, draws):
        share = (view[0] * last).sum() / last.square().sum()
        torch.testing.assert_close(view[0], share * last)


def test_a_restored_memory_goes_on_as_if_never_interrupted() -> None:
    batches = [numbered(3 * step, 3) for step in range(6)]
    module, draws = linear_mixup(memory=7), generator()
    for x in batches[:3]:
        module(x, draws)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    at = draws.get_state()
    expected = [module(x, draws) for x in batches[3:]]

    restored, later = linear_mixup(memory=7), generator(99)
    restored.load_state_dict(state)
    later.set_state(at)
    for x, views in zip(batches[3:], expected, strict=True):
        for ours, theirs in zip(restored(x, later), views, strict=True):
            assert torch.equal(ours, theirs)
