from __future__ import annotations

import hashlib
import itertools
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import task_directories

from harness.core.errors import UserError
from tasks.audio import (
    MAX_SECONDS,
    BadAudio,
    ContentHashes,
    audio_path,
    decode,
    nearest_rate,
    read_audio,
    source_rate,
)
from tasks.format.task import read_task
from tasks.read_ahead import read_ahead


def tone(rate: int, seconds: float = 0.5, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    task_directories.write_wav(path, tone(16000), 16000)
    return path


def test_samples_come_back_as_float32(wav: Path) -> None:
    audio = read_audio(wav, 16000)
    assert audio.dtype == np.float32
    assert audio.shape == (8000,)
    np.testing.assert_allclose(audio, tone(16000), atol=1 / 32768)


@pytest.mark.parametrize(("rate", "target"), [(48000, 16000), (44100, 16000), (16000, 48000)])
def test_resampling_keeps_the_sound(tmp_path: Path, rate: int, target: int) -> None:
    path = tmp_path / "b.wav"
    task_directories.write_wav(path, tone(rate), rate)
    audio = read_audio(path, target)
    assert len(audio) == round(0.5 * target)
    inner = slice(target // 20, -target // 20)
    np.testing.assert_allclose(audio[inner], tone(target)[inner], atol=1e-3)


def test_full_scale_never_leaves_the_range(tmp_path: Path) -> None:
    path = tmp_path / "square.wav"
    task_directories.write_wav(path, np.sign(tone(48000) + 1e-9), 48000)
    audio = read_audio(path, 16000)
    assert np.abs(audio).max() <= 1.0


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_other_formats_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"c.{suffix}"
    soundfile.write(path, tone(16000), 16000)
    assert read_audio(path, 16000).shape == (8000,)


def reason(path: Path, rate: int = 16000) -> str:
    with pytest.raises(BadAudio) as error:
        read_audio(path, rate)
    assert str(error.value) == f"{path}: {error.value.reason}"
    assert isinstance(error.value, UserError)
    return error.value.reason


def test_bad_files_are_named_with_their_fault(tmp_path: Path, wav: Path) -> None:
    bad = tmp_path / "bad.wav"
    assert reason(bad) == "is missing."
    assert "cannot be read" in reason(tmp_path)
    bad.write_bytes(b"")
    assert reason(bad) == "is an empty file."
    bad.write_bytes(b"this is no wav file at all, whatever its name")
    assert "is a text file" in reason(bad)
    bad.write_bytes(bytes(99))
    assert "no audio file" in reason(bad)
    task_directories.write_wav(bad, np.zeros(0), 16000)
    assert "contains no sample" in reason(bad)
    task_directories.write_wav(bad, np.zeros((100, 2)), 16000)
    assert "2 channels" in reason(bad)
    soundfile.write(bad, np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    assert "NaN" in reason(bad)
    task_directories.write_wav(bad, np.zeros(1), 48000)
    assert "too short" in reason(bad, 8000)
    with pytest.raises(BadAudio, match="16000 Hz, but its folder is for 48000 Hz"):
        decode(wav, 48000)


def test_a_cut_wav_is_not_read_short(tmp_path: Path, wav: Path) -> None:
    whole = wav.read_bytes()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole[:9000])
    assert len(soundfile.read(cut)[0]) == 4478, "soundfile itself says nothing"
    assert "8956 of 16000 bytes" in reason(cut)
    for length in (4, 12, 30, 43):
        cut.write_bytes(whole[:length])
        assert reason(cut)


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_a_cut_compressed_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 32000), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "truncated" in reason(path)


def test_a_wav_from_a_pipe_is_refused(tmp_path: Path, wav: Path) -> None:
    content = bytearray(wav.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    piped = tmp_path / "piped.wav"
    piped.write_bytes(content)
    assert "does not say how long it is" in reason(piped)


def test_a_codec_that_cannot_seek_is_read(tmp_path: Path) -> None:
    path = tmp_path / "gsm.wav"
    soundfile.write(path, tone(16000), 16000, "GSM610")
    assert len(read_audio(path, 16000)) == 8320, "blocks of 320"


def test_chunks_around_the_sound_are_no_fault(tmp_path: Path, wav: Path) -> None:
    content = wav.read_bytes()
    extra = b"LIST" + (5).to_bytes(4, "little") + b"hello\0"
    body = content[12:36] + extra + content[36:] + extra
    path = tmp_path / "chunks.wav"
    path.write_bytes(b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WAVE" + body)
    assert read_audio(path, 16000).shape == (8000,)


def test_twenty_minutes_are_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    task_directories.write_wav(path, np.zeros(int(MAX_SECONDS * 100)), 100)
    assert len(decode(path)[0]) == MAX_SECONDS * 100
    task_directories.write_wav(path, np.zeros(int(MAX_SECONDS * 100) + 50), 100)
    assert "1200.5 s long" in reason(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_never_gives_anything_but_audio_or_its_error(
    tmp_path: Path, wav: Path, data: st.DataObject
) -> None:
    content = bytearray(wav.read_bytes()[:400])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 59))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.wav"
    path.write_bytes(content)
    try:
        audio = read_audio(path, 16000)
    except BadAudio:
        return
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1.0


def test_the_error_survives_a_process_boundary(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(BadAudio(tmp_path / "a.wav", "is missing.")))
    assert (error.path, error.reason) == (tmp_path / "a.wav", "is missing.")


def test_the_rate_to_read_is_the_nearest_higher(tmp_path: Path) -> None:
    assert nearest_rate([16000, 44100, 48000], 16000) == 16000
    assert nearest_rate([16000, 44100, 48000], 22050) == 44100
    assert nearest_rate([16000, 22050], 32000) == 22050
    task = read_task(
        task_directories.make_task(tmp_path, "scene", n=1, seconds=0.05, rates=(48000,))
    )
    (task.directory / "notes").mkdir()
    assert source_rate(task, 16000) == 48000
    assert audio_path(task, "test", "test-0000.wav", 48000).is_file()


def test_a_task_without_audio_says_so(tmp_path: Path) -> None:
    task = read_task(task_directories.make_task(tmp_path, "scene", n=1, rates=()))
    with pytest.raises(UserError, match="contains no audio"):
        source_rate(task, 16000)


@pytest.fixture
def numbered(tmp_path: Path) -> list[Path]:
    """Wavs whose length tells their place."""
    paths = [tmp_path / f"{i}.wav" for i in range(40)]
    for i, path in enumerate(paths):
        task_directories.write_wav(path, np.zeros(100 + i), 16000)
    return paths


def reading_threads() -> int:
    return sum(thread.name.startswith("read-ahead") for thread in threading.enumerate())


@pytest.mark.parametrize("ahead", [1, 3, 64])
def test_reading_ahead_keeps_the_order(numbered: list[Path], ahead: int) -> None:
    lengths = [len(audio) for audio in read_ahead(numbered, 16000, threads=3, ahead=ahead)]
    assert lengths == [100 + i for i in range(40)]
    assert reading_threads() == 0


def test_an_error_surfaces_at_its_clip(numbered: list[Path]) -> None:
    numbered[20].write_bytes(b"RIFF")
    clips = read_ahead(numbered, 16000)
    assert len(list(itertools.islice(clips, 20))) == 20
    with pytest.raises(BadAudio, match=r"20\.wav"):
        next(clips)
    assert reading_threads() == 0


def test_reading_stops_when_the_consumer_does(numbered: list[Path]) -> None:
    clips = read_ahead(numbered, 16000, ahead=4)
    next(clips)
    clips.close()
    assert reading_threads() == 0


def clips_that_wait(paths: list[Path], wait: float, ahead: int) -> int:
    """Take one clip, let the threads work, remove every file: how many come all the same?"""
    for path in paths:
        task_directories.write_wav(path, np.zeros(100), 16000)
    clips = read_ahead(paths, 16000, threads=2, ahead=ahead)
    next(clips)
    time.sleep(wait)
    for path in paths:
        path.unlink()
    came: list[np.ndarray] = []
    with pytest.raises(BadAudio, match="is missing"):
        came.extend(clips)
    return len(came)


@pytest.mark.parametrize("ahead", [1, 5, 30])
def test_just_so_many_clips_are_read_ahead(numbered: list[Path], ahead: int) -> None:
    counts = []
    for wait in (0.1, 1.0, 5.0):  # a busy machine may need longer, but never reads more
        counts.append(clips_that_wait(numbered, wait, ahead))
        if counts[-1] == ahead:
            break
    assert max(counts) == ahead


def test_long_clips_wait_in_smaller_number(
    numbered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.read_ahead._AHEAD_BYTES", 1000 * 4)  # files are of 244 bytes
    assert clips_that_wait(numbered, 0.1, 30) <= 4
    monkeypatch.setattr("tasks.read_ahead._AHEAD_BYTES", 1)
    assert clips_that_wait(numbered, 0.1, 30) <= 1


def test_content_hashes(wav: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    hashes = ContentHashes(memory)
    assert hashes.sha256(wav) == hashlib.sha256(wav.read_bytes()).hexdigest()
    hashes.save()
    assert ContentHashes(memory).sha256(wav) == hashes.sha256(wav)
    with pytest.raises(BadAudio, match="cannot be read"):
        hashes.sha256(tmp_path / "absent.wav")
