"""The auxiliary task against computations of one crop in numpy, from the textbook definitions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from support.pretraining_runs import tiny
from torch import Tensor

from hear_byola.frontend import LogMel
from hear_byola.pretraining.auxiliary import (
    FEATURES,
    Regression,
    Targets,
    chroma,
    chroma_matrix,
)
from hear_byola.pretraining.byol import ByolTraining
from hear_byola.pretraining.corpus import scan
from hear_byola.pretraining.crops import CROP_SAMPLES, CropSource, Sampling

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def crops(count: int = 3) -> Tensor:
    """Noise with a rising level and a tone of each crop's own."""
    generator = torch.Generator().manual_seed(1)
    time = torch.arange(CROP_SAMPLES) / 16_000
    noise = torch.rand(count, CROP_SAMPLES, generator=generator) - 0.5
    tones = torch.stack([torch.sin(2 * math.pi * 300 * (n + 1) * time) for n in range(count)])
    return 0.2 * noise * time + 0.3 * tones * (time > 0.3)


def plain_power(audio: np.ndarray) -> np.ndarray:
    """Power spectrum of one crop, (513, frames)."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    padded = np.pad(audio.astype(np.float64), 512, mode="reflect")
    starts = range(0, len(padded) - 1024 + 1, 160)
    frames = [np.fft.rfft(padded[start : start + 1024] * window) for start in starts]
    return np.abs(np.array(frames).T) ** 2


def plain_features(audio: np.ndarray) -> dict[str, np.ndarray]:
    """Each feature of one crop, (values, frames)."""
    log_mel = LogMel("slaney").log_mel(torch.from_numpy(audio)[None])[0].double().numpy()
    bands, frames = log_mel.shape
    slopes = np.zeros_like(log_mel)
    for t in range(frames):
        for n in (1, 2):
            later, earlier = log_mel[:, min(t + n, frames - 1)], log_mel[:, max(t - n, 0)]
            slopes[:, t] += n * (later - earlier) / (2 * (1 + 4))
    rises = np.zeros((1, frames))
    for t in range(1, frames):
        rises[0, t] = np.mean([max(log_mel[b, t] - log_mel[b, t - 1], 0) for b in range(bands)])
    power = plain_power(audio)
    classes = np.zeros((12, frames))
    for index in range(513):
        hertz = index * 16_000 / 1024
        if 110 <= hertz <= 4186:
            midi = round(69 + 12 * math.log2(hertz / 440))
            classes[midi % 12] += power[index]
    classes /= classes.sum(0) + np.finfo(np.float32).eps
    return {"log_mel": log_mel, "deltas": slopes, "chroma": classes, "onset_strength": rises}


def test_targets_are_summaries_of_the_plain_features() -> None:
    audio = crops()
    found = Targets("slaney", list(FEATURES))(audio).double().numpy()
    assert found.shape == (3, 3 * (64 + 64 + 12 + 1))
    for row, crop in zip(found, audio.numpy(), strict=True):
        plain = plain_features(crop)
        parts = [
            summary(plain[name], axis=1)
            for name in FEATURES
            for summary in (np.mean, np.std, np.max)
        ]
        np.testing.assert_allclose(row, np.concatenate(parts), rtol=1e-3, atol=1e-3)


def test_targets_can_be_chosen() -> None:
    audio = crops(2)
    both = Targets("slaney", ["onset_strength", "chroma"])(audio)
    whole = Targets("slaney", list(FEATURES))(audio)
    assert both.equal(torch.cat([whole[:, -3:], whole[:, 384:420]], dim=1))


@pytest.mark.parametrize(
    ("hertz", "name"), [(440, "A"), (261.63, "C"), (1479.98, "F#"), (880, "A")]
)
def test_a_tone_has_the_chroma_of_its_note(hertz: float, name: str) -> None:
    time = torch.arange(CROP_SAMPLES) / 16_000
    tone = torch.sin(2 * math.pi * hertz * time)
    spectrum = torch.stft(
        tone[None], 1024, 160, window=torch.hann_window(1024), return_complex=True
    )
    found = chroma(spectrum.abs().square())[0].mean(1)
    assert int(found.argmax()) == NAMES.index(name)
    assert float(found.sum()) == pytest.approx(1, abs=1e-4)


def test_each_bin_belongs_to_one_pitch_class_at_most_and_silence_has_none() -> None:
    matrix = chroma_matrix()
    assert set(matrix.sum(0).tolist()) == {0.0, 1.0}
    assert (matrix.sum(1) > 10).all()
    assert not chroma(torch.zeros(1, 513, 4)).any()


def test_loss_is_the_mean_square_of_standardised_errors() -> None:
    audio = crops()
    targets = Targets("slaney", ["onset_strength"])
    regression = Regression(8, targets)
    generator = torch.Generator().manual_seed(3)
    regression.begin([(torch.randn(3, 8, generator=generator), audio)])
    embedding = torch.randn(3, 8, generator=generator)
    predicted, plain = regression.head(embedding), targets(audio).double()
    mean, std = plain.mean(0), plain.std(0, correction=0)
    errors = [
        (predicted[n, k] - (plain[n, k] - mean[k]) / max(float(std[k]), 1e-4)) ** 2
        for n in range(3)
        for k in range(3)
    ]
    found = regression(embedding, audio).double()
    torch.testing.assert_close(found, sum(errors) / 9, rtol=1e-4, atol=1e-6)


def test_head_begins_as_the_ridge_regression() -> None:
    audio = crops(40)
    targets = Targets("slaney", ["onset_strength", "chroma"])
    regression = Regression(8, targets)
    embeddings = torch.randn(40, 8, generator=torch.Generator().manual_seed(3))
    regression.begin((embeddings[n : n + 10], audio[n : n + 10]) for n in range(0, 40, 10))
    plain = targets(audio).double().numpy()
    wanted = (plain - plain.mean(0)) / np.maximum(plain.std(0), 1e-4)
    variance = float(embeddings.var(0, correction=0).mean())
    ridge = Ridge(alpha=0.01 * variance * 40).fit(embeddings.double(), wanted)
    found = regression.head.weight.double().detach().numpy()
    np.testing.assert_allclose(found, ridge.coef_, rtol=1e-4, atol=1e-6)
    expected = torch.from_numpy(ridge.predict(embeddings.double()))
    torch.testing.assert_close(regression.head(embeddings).double(), expected, rtol=1e-4, atol=1e-5)


def test_head_begins_at_the_mean_where_embeddings_are_equal() -> None:
    regression = Regression(8, Targets("slaney", ["onset_strength"]))
    regression.begin([(torch.ones(4, 8), crops(4))])
    assert not regression.head(torch.ones(4, 8)).any()  # standardised targets have the mean 0


def test_head_begins_with_what_the_encoder_knows(audio: Path) -> None:
    source = CropSource(scan(audio), Sampling(), seed=42)
    module = ByolTraining(tiny(auxiliary={}), -9.7, 4.7, 10)
    before = {name: value.clone() for name, value in module.online.state_dict().items()}

    def error() -> float:
        module.training_step(source.crops(range(4)), 0)
        module.online.load_state_dict(before)
        return module.take_mean_losses()["auxiliary"]

    module.begin_regression(source)
    assert all(value.equal(before[name]) for name, value in module.online.state_dict().items())
    fitted = error()
    assert module.regression is not None
    module.regression.head.reset_parameters()
    assert fitted < min(0.9, 0.7 * error())  # a constant head has 1
