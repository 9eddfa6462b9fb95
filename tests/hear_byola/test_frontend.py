from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_byola.frontend import CONVENTIONS, LOG_FLOOR, LogMel, extended, mel_filterbank

MEL = {"sr": 16_000, "n_fft": 1024, "n_mels": 64, "fmin": 60.0, "fmax": 7_800.0}
NOISE = torch.rand(2, 16_000, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_slaney_filterbank_is_librosas() -> None:
    expected = librosa.filters.mel(**MEL, dtype=np.float64)
    np.testing.assert_allclose(mel_filterbank("slaney").numpy(), expected, rtol=1e-6)


def test_slaney_log_mel_is_librosas() -> None:
    found = LogMel("slaney").log_mel(NOISE).numpy()
    for clip, log_mel in zip(NOISE.numpy(), found, strict=True):
        power = librosa.feature.melspectrogram(
            y=clip, **MEL, hop_length=160, pad_mode="reflect", power=2.0
        )
        np.testing.assert_allclose(np.exp(log_mel), power + LOG_FLOOR, rtol=1e-4)


def test_htk_is_torchaudios_default() -> None:
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate=16_000, n_fft=1024, hop_length=160, f_min=60.0, f_max=7_800.0, n_mels=64
    )
    torch.testing.assert_close(
        mel_filterbank("htk"), transform.mel_scale.fb.T, rtol=1e-6, atol=1e-9
    )
    expected = (transform(NOISE) + LOG_FLOOR).log()
    torch.testing.assert_close(LogMel("htk").log_mel(NOISE), expected, rtol=0, atol=1e-4)


def test_the_conventions_are_not_interchangeable() -> None:
    difference = LogMel("slaney").log_mel(NOISE) - LogMel("htk").log_mel(NOISE)
    assert difference.abs().median() > 1


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_normalisation_by_fixed_statistics(convention: str) -> None:
    frontend = LogMel(convention, mean=-7.5, std=3.0)
    torch.testing.assert_close(frontend(NOISE), (frontend.log_mel(NOISE) + 7.5) / 3.0)
    alone = frontend(NOISE[:1])
    torch.testing.assert_close(frontend(NOISE)[:1], alone, rtol=0, atol=1e-5)


def test_default_statistics_are_the_conventions() -> None:
    for name, convention in CONVENTIONS.items():
        frontend = LogMel(name)
        assert frontend.mean.item() == pytest.approx(convention.mean)
        assert frontend.std.item() == pytest.approx(convention.std)


def test_state_holds_statistics_only() -> None:
    assert set(LogMel().state_dict()) == {"mean", "std"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"convention": "slany"}, "unknown filterbank convention 'slany'.*'slaney', 'htk'"),
        ({"mean": 1.0}, "belong together"),
        ({"mean": 1.0, "std": 0.0}, "greater than 0"),
        ({"mean": float("nan"), "std": 1.0}, "finite"),
        ({"mean": "x", "std": 1.0}, "mean='x'"),
    ],
)
def test_unfit_options_are_refused(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LogMel(**options)


def test_filterbank_ignores_and_keeps_the_default_dtype() -> None:
    expected = mel_filterbank("slaney")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        found = mel_filterbank("slaney")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(513, 3000), start=st.integers(-2000, 4000), length=st.integers(1, 3000))
def test_a_clip_is_continued_by_its_mirror_image_then_by_zeros(
    samples: int, start: int, length: int
) -> None:
    clip = np.arange(1, samples + 1, dtype=np.float32)
    whole = np.pad(np.pad(clip, 512, mode="reflect"), 8000)
    expected = whole[8512 + start : 8512 + start + length]
    found = extended(torch.from_numpy(clip)[None], start, start + length)
    np.testing.assert_array_equal(found[0].numpy(), expected)


@settings(max_examples=30, deadline=None)
@given(samples=st.integers(1, 512), start=st.integers(-1200, 600))
def test_a_clip_of_half_a_window_is_continued_by_zeros(samples: int, start: int) -> None:
    clip = np.arange(1, samples + 1, dtype=np.float32)
    expected = np.pad(clip, 2000)[2000 + start : 2000 + start + 700]
    found = extended(torch.from_numpy(clip)[None], start, start + 700)
    np.testing.assert_array_equal(found[0].numpy(), expected)


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 9000), first=st.integers(0, 40), count=st.integers(1, 30))
def test_a_frame_depends_on_its_position_alone(samples: int, first: int, count: int) -> None:
    audio = NOISE[:, :samples]
    frontend = LogMel()
    whole = frontend(audio, -320, 80)
    part = frontend(audio, (first - 2) * 160, count)
    torch.testing.assert_close(part, whole[..., first : first + count], rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 159, 160, 511, 512, 513, 1023, 1024, 1025])
def test_very_short_clips_have_frames(samples: int) -> None:
    mel = LogMel()(NOISE[:, :samples])
    assert mel.shape == (2, 64, samples // 160 + 1)
    assert mel.isfinite().all()


def test_silence_lies_on_the_floor() -> None:
    mel = LogMel().log_mel(torch.zeros(1, 8000))
    torch.testing.assert_close(mel, torch.full_like(mel, float(np.log(LOG_FLOOR))))
