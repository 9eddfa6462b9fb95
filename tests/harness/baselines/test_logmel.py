from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from harness.baselines import logmel
from harness.core.errors import UserError
from harness.models.source import find_source

MODEL = logmel.load_model()
RNG = np.random.default_rng(0)


def noise(n: int, samples: int) -> torch.Tensor:
    return torch.from_numpy(RNG.uniform(-0.5, 0.5, (n, samples)).astype(np.float32))


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "f_min", "f_max"),
    [(16000, 1024, 64, 60, 7800), (16000, 400, 40, 0, 8000), (44100, 2048, 128, 20, 20000)],
)
def test_the_filterbank_is_slaneys(rate, n_fft, n_mels, f_min, f_max):
    ours = logmel.slaney_filterbank(rate, n_fft, n_mels, f_min, f_max)
    theirs = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9)


def test_the_scene_embedding_is_the_log_mels_mean_and_deviation():
    audio = noise(2, 24000)
    mel = librosa.feature.melspectrogram(
        y=audio.numpy(), sr=16000, n_fft=1024, hop_length=160, n_mels=64, fmin=60, fmax=7800,
        pad_mode="reflect",
    )  # fmt: skip
    log_mel = np.log(mel + np.finfo(np.float32).eps)
    expected = np.concatenate([log_mel.mean(-1), log_mel.std(-1)], 1)
    ours = logmel.get_scene_embeddings(audio, MODEL)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_batch_mates_change_nothing():
    audio = noise(5, 16000)
    together = logmel.get_scene_embeddings(audio, MODEL)
    alone = torch.cat([logmel.get_scene_embeddings(clip[None], MODEL) for clip in audio])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 100, 512, 513, 799, 800, 1024, 16001])
def test_clips_of_any_length_and_silence(samples):
    audio = torch.cat([noise(1, samples), torch.zeros(1, samples)])
    scene = logmel.get_scene_embeddings(audio, MODEL)
    vectors, times = logmel.get_timestamp_embeddings(audio, MODEL)
    assert scene.shape == (2, 128)
    assert vectors.shape == (2, 1 + samples // 800, 128)
    assert times.shape == vectors.shape[:2]
    assert scene.isfinite().all()
    assert vectors.isfinite().all()
    assert {scene.dtype, vectors.dtype, times.dtype} == {torch.float32}
    end = samples / 16
    assert end - 50 < times[0, -1] <= end


def test_timestamps_do_not_drift_in_20_minutes():
    with torch.no_grad():
        _, times = logmel.get_timestamp_embeddings(torch.zeros(1, 20 * 60 * 16000), MODEL)
    np.testing.assert_array_equal(times[0].numpy(), np.arange(24001) * 50.0)


def test_timestamps_are_true_centres():
    off = []
    for start in RNG.integers(8000, 24000, 40):
        audio = torch.zeros(1, 32000)
        audio[0, start] = 1.0
        vectors, times = logmel.get_timestamp_embeddings(audio, MODEL)
        heard = vectors[0, :, :64].mean(1) > np.log(np.finfo(np.float32).eps) + 0.1
        off.append(times[0, heard].mean().item() - start / 16)
    assert abs(np.mean(off)) < 5
    assert max(map(abs, off)) <= 25


def test_a_checkpoint_is_refused():
    with pytest.raises(UserError, match="no weights"):
        logmel.load_model("weights.pt")


def test_its_source_is_itself_and_the_foundation() -> None:
    files = {name for name, _ in find_source(logmel).files}
    assert files == {"logmel.py", "__init__.py", "../core/errors.py", "../core/__init__.py"}
