"""The cache of resampled audio: exact, bounded, and never of another recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import task_directories

from tasks.audio import BadAudio, ContentHashes, read_audio
from tasks.audio_cache import AudioCache


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """One second at 48 kHz."""
    sound = np.random.default_rng(0).uniform(-0.9, 0.9, 48000)
    task_directories.write_wav(tmp_path / "a.wav", sound, 48000)
    return tmp_path / "a.wav"


def cache(root: Path, limit: float = 1e9) -> AudioCache:
    return AudioCache(root / "cache", limit, ContentHashes(root / "hashes.json"))


def kept(root: Path) -> list[Path]:
    return sorted((root / "cache").rglob("*.npy"))


def test_kept_audio_has_the_bits_of_resampled_audio(tmp_path, path):
    expected = read_audio(path, 16000)
    for _ in range(2):
        found = cache(tmp_path).read(path, 16000)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    (file,) = kept(tmp_path)
    assert file.stat().st_size == pytest.approx(4 * 16000, abs=200)
    np.testing.assert_array_equal(cache(tmp_path).read(path, 22050), read_audio(path, 22050))
    assert len(kept(tmp_path)) == 2


def test_the_kept_audio_is_read(tmp_path, path):
    cache(tmp_path).read(path, 16000)
    (file,) = kept(tmp_path)
    np.save(file, np.ones(5, np.float32))
    np.testing.assert_array_equal(cache(tmp_path).read(path, 16000), np.ones(5))


def test_another_recording_under_the_name_is_resampled_anew(tmp_path, path):
    old = cache(tmp_path).read(path, 16000)
    task_directories.write_wav(path, np.zeros(48000), 48000)
    assert np.abs(old).max() > 0.5
    assert np.abs(cache(tmp_path).read(path, 16000)).max() == 0


def test_a_file_that_was_cut_off_is_made_again(tmp_path, path):
    cache(tmp_path).read(path, 16000)
    (file,) = kept(tmp_path)
    for content in (file.read_bytes()[:5000], b""):
        file.write_bytes(content)
        np.testing.assert_array_equal(cache(tmp_path).read(path, 16000), read_audio(path, 16000))
        assert file.stat().st_size > 64000


def test_the_size_is_bounded_and_what_is_kept_stays(tmp_path):
    for i in range(6):
        sound = np.random.default_rng(i).uniform(-0.9, 0.9, 48000)
        task_directories.write_wav(tmp_path / f"{i}.wav", sound, 48000)
    for _ in range(2):
        for reader in (cache(tmp_path, 200_000), cache(tmp_path, 200_000)):
            for i in range(6):
                path = tmp_path / f"{i}.wav"
                np.testing.assert_array_equal(reader.read(path, 16000), read_audio(path, 16000))
    assert len(kept(tmp_path)) == 3
    assert sum(file.stat().st_size for file in kept(tmp_path)) < 200_000


def test_a_cache_that_cannot_be_written_is_not_needed(tmp_path, path):
    (tmp_path / "cache").write_text("a file in its place")
    np.testing.assert_array_equal(cache(tmp_path).read(path, 16000), read_audio(path, 16000))


def test_a_missing_recording_is_named(tmp_path):
    with pytest.raises(BadAudio, match=r"b\.wav"):
        cache(tmp_path).read(tmp_path / "b.wav", 16000)
