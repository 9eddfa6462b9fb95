from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hear_byola
from hear_byola.model import ByolA, grid_times, time_grid

# Encoder, hop in ms, first timestamp of the unmoved grid in ms.
GRIDS = [
    ("2020", 80, 35.0),
    ("2020", 40, 35.0),
    ("2020", 20, 35.0),
    ("2020", 10, 35.0),
    ("2022", 40, 15.0),
    ("2022", 20, 15.0),
    ("2022", 10, 15.0),
]
MAXIMUM = 20 * 60 * 16_000


@settings(max_examples=400, deadline=None)
@given(
    samples=st.one_of(st.integers(1, 5000), st.integers(1, MAXIMUM)), grid=st.sampled_from(GRIDS)
)
def test_the_grid_covers_every_clip(samples: int, grid: tuple[str, int, float]) -> None:
    _, hop_ms, natural_ms = grid
    hop, natural = hop_ms * 16, int(natural_ms * 16)
    first, count = time_grid(samples, hop, natural)
    last = first + (count - 1) * hop
    assert count >= 1
    assert 0 <= first <= hop
    assert last <= samples
    assert 2 * (samples - last) <= hop
    assert first == natural or abs(first - (samples - last)) <= 1


@pytest.mark.parametrize(
    ("hop_ms", "natural_ms"), sorted({(hop, first) for _, hop, first in GRIDS if first <= hop})
)
def test_the_grid_stays_where_it_covers_the_end(hop_ms: int, natural_ms: float) -> None:
    hop, natural = hop_ms * 16, int(natural_ms * 16)
    for rest in range(0, hop // 2 + 1, 7):
        assert time_grid(natural + 5 * hop + rest, hop, natural) == (natural, 6)
    first, count = time_grid(natural + 5 * hop + hop // 2 + 1, hop, natural)
    assert count in (6, 7)
    assert first != natural


@pytest.mark.parametrize("seconds", [1.07, 1.98, 4.0, 1.0, 0.81])
@pytest.mark.parametrize("encoder", ["2020", "2022"])
def test_the_official_validators_conditions(encoder: str, seconds: float) -> None:
    model = hear_byola.load_model(seed=0, encoder=encoder)
    audio = torch.zeros(2, int(seconds * 16_000))
    timestamps = hear_byola.get_timestamp_embeddings(audio, model)[1].numpy()
    assert timestamps.dtype == np.float32
    assert (np.diff(timestamps) == 40).all()
    assert timestamps.min() <= 40
    assert 1000 * seconds - 20 <= timestamps.max() <= 1000 * seconds


def test_the_default_grid_of_whole_seconds() -> None:
    audio = torch.zeros(1, 3 * 16_000)
    model = hear_byola.load_model(seed=0)
    timestamps = hear_byola.get_timestamp_embeddings(audio, model)[1][0]
    torch.testing.assert_close(timestamps, (4 * torch.arange(75.0) + 3.5) * 10, rtol=0, atol=0)


@pytest.mark.parametrize("samples", [MAXIMUM, MAXIMUM - 7777])
def test_twenty_minutes_do_not_drift(samples: int) -> None:
    first, count = time_grid(samples, 640, 560)
    exact = [(first + 640 * k) / 16 for k in range(count)]
    timestamps = grid_times(first, 640, count)
    # float32 resolves 1/16 ms at 17 minutes, 1/8 ms at 20.
    np.testing.assert_allclose(timestamps.double().numpy(), exact, rtol=0, atol=1 / 16)
    assert timestamps[-1] <= samples / 16


def responses(model: ByolA, clicks: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """How much each click changes each embedding of a silent clip; and the timestamps, in ms."""
    audio = torch.zeros(len(clicks) + 1, samples)
    audio[torch.arange(len(clicks)), clicks] = 1
    embeddings, timestamps = hear_byola.get_timestamp_embeddings(audio, model)
    return (embeddings[:-1] - embeddings[-1:]).square().sum(-1), timestamps[0]


# With a hop of 40 ms, 12,000 samples leave the grid of 2022 where it is and move that of 2020;
# 11,500 do the converse.
@pytest.mark.parametrize("samples", [12_000, 11_500])
@pytest.mark.parametrize(("encoder", "hop_ms", "natural_ms"), GRIDS)
def test_a_click_is_found_at_its_time(
    encoder: str, hop_ms: int, natural_ms: float, samples: int
) -> None:
    model = hear_byola.load_model(seed=0, encoder=encoder, hop_ms=hop_ms)
    # Kernels that look alike to both sides in time, so that no asymmetry of chance weights hides
    # or feigns a wrong centre; and a train of clicks at all phases of an 80 ms grid.
    for name, weight in model.encoder.state_dict().items():
        if name.startswith("features") and weight.ndim == 4:
            weight.copy_((weight + weight.flip(-1)) / 2)
    clicks = 5300 + 40 * torch.arange(32)
    response, timestamps = responses(model, clicks, samples)
    centroids = (response * timestamps).sum(1) / response.sum(1)
    error = centroids - clicks / 16
    assert error.abs().max() < 15
    assert error.mean().abs() < 0.5


@pytest.mark.parametrize(("encoder", "reach"), [("2020", 137), ("2022", 77)])
def test_a_timestamp_is_the_middle_of_what_its_embedding_depends_on(
    encoder: str, reach: int
) -> None:
    """With any weights: the receptive field reaches equally far to both sides of the timestamp."""
    model = hear_byola.load_model(seed=1, encoder=encoder)
    samples = 9_000
    frame = 7
    centre = time_grid(samples, 640, 560 if encoder == "2020" else 240)[0] + 640 * frame
    offsets = torch.cat(
        [torch.arange(-reach - 3, -reach + 20), torch.arange(reach - 19, reach + 4)]
    )
    response, timestamps = responses(model, centre + 16 * offsets, samples)
    assert timestamps[frame] == centre / 16
    heard = offsets[response[:, frame] > 1e-10]
    assert abs(heard.min() + heard.max()) <= 4
    assert reach - 12 <= heard.max() <= reach
