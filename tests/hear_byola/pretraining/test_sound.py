from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from support.sound_files import FORMATS, LOSSLESS, noise, sines, write

from hear_byola.core.audiofile import BadFile
from hear_byola.pretraining.sound import read_header, read_stretch

RATES = {"opus": (16_000, 24_000, 48_000)}
ANY_RATE = (16_000, 22_050, 44_100, 48_000)
CASES = [(name, rate) for name in FORMATS for rate in RATES.get(name, ANY_RATE)]


@pytest.mark.parametrize(("extension", "rate"), CASES)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_stretch_is_the_same_stretch_of_the_whole_file(
    tmp_path: Path, extension: str, rate: int, channels: int
) -> None:
    audio = np.stack([noise(4, rate, seed) for seed in range(channels)], 1)
    path = write(tmp_path / f"a.{extension}", audio, rate)
    whole = soundfile.read(path, always_2d=True, dtype="float32")[0].mean(1)
    whole = np.clip(soxr.resample(whole, rate, 16_000), -1, 1)
    for start, count in [(0, 15_200), (1, 99), (12_345, 15_200), (len(whole) - 15_200, 15_200)]:
        stretch = read_stretch(path, start, count)
        assert stretch.dtype == np.float32
        np.testing.assert_allclose(stretch, whole[start : start + count], rtol=0, atol=2e-5)


@pytest.mark.parametrize("rate", [16_000, 16_001, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_a_stretch_of_sines_is_those_sines(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", sines(np.arange(4 * rate) / rate), rate)
    for start in (9_999, 20_000, 40_001):
        expected = sines(np.arange(start, start + 15_200) / 16_000)
        np.testing.assert_allclose(read_stretch(path, start, 15_200), expected, rtol=0, atol=1e-3)


def test_any_stretch_of_an_mp3_or_ogg_is_free_of_traces_of_the_jump(tmp_path: Path) -> None:
    starts = np.random.default_rng(1).integers(0, 60 * 16_000 - 2_000, 100).tolist()
    for extension in ("mp3", "ogg"):
        path = write(tmp_path / f"a.{extension}", noise(60))
        whole = np.clip(soundfile.read(path, dtype="float32")[0], -1, 1)
        for start in starts:
            np.testing.assert_allclose(
                read_stretch(path, start, 2_000), whole[start : start + 2_000], rtol=0, atol=1e-5
            )


def test_channels_are_averaged_and_what_overshoots_is_clipped(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio = np.tile([[3.0, 0.5], [0.25, 0.75], [-4.0, 0.0]], (100, 1))
    soundfile.write(path, audio, 16_000, "FLOAT")
    np.testing.assert_array_equal(read_stretch(path, 3, 3), [1.0, 0.5, -1.0])


def test_only_a_short_part_of_an_hour_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hour.flac"
    rate = 24_000
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        for second in range(3600):
            file.write(np.full(rate, second / 4000))
    frames = []
    read = soundfile.SoundFile.read

    def counted(file: soundfile.SoundFile, count: int, **options: object) -> np.ndarray:
        frames.append(count)
        return read(file, count, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    header = read_header(path)
    assert header.frames == 3600 * rate
    assert sum(frames) == 1
    frames.clear()
    stretch = read_stretch(path, 3_000 * 16_000 + 400, 15_200)
    np.testing.assert_allclose(stretch, 0.75, atol=1e-3)
    assert sum(frames) < 1.1 * 0.95 * rate


@pytest.mark.slow  # three minutes of sound take some seconds to encode
@pytest.mark.parametrize("extension", FORMATS)
def test_a_stretch_costs_a_small_part_of_decoding_the_whole(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}", noise(180))
    cost = {
        count: min(_seconds_to_read(path, 179 * 16_000 - count, count) for _ in range(5))
        for count in (15_200, 178 * 16_000)
    }
    assert cost[15_200] < cost[178 * 16_000] / 10


def _seconds_to_read(path: Path, start: int, count: int) -> float:
    began = time.process_time()
    read_stretch(path, start, count)
    return time.process_time() - began


@pytest.mark.parametrize("extension", FORMATS)
def test_a_truncated_file_is_refused(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}", noise(3))
    whole = path.read_bytes()
    for part in (0.6, 0.8, 0.95):
        content = whole[: int(len(whole) * part)]
        path.write_bytes(content)
        for source in (path, io.BytesIO(content)):
            with pytest.raises(BadFile, match="truncated"):
                read_header(source)


@pytest.mark.parametrize("extension", FORMATS)
def test_a_file_that_was_truncated_after_its_header_was_read_gives_no_crop(
    tmp_path: Path, extension: str
) -> None:
    path = write(tmp_path / f"a.{extension}", noise(3))
    assert read_header(path).frames == 48_000
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(BadFile, match="truncated"):
        read_stretch(path, 32_000, 15_200)


def test_an_mp3_without_a_tag_is_whole_at_any_crop(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    audio = noise(9)
    audio[48_000:] *= 1e-3
    soundfile.write(path, audio, 16_000, bitrate_mode="VARIABLE", compression_level=0.5)
    content = path.read_bytes()
    path.write_bytes(content[content.find(content[:2], 200) :])
    assert soundfile.info(path).frames < 100_000, "a guess by the size of the first frames"
    frames = read_header(path).frames
    assert 144_000 <= frames < 147_000
    for source in (path, io.BytesIO(path.read_bytes())):
        assert len(read_stretch(source, frames - 15_200, 15_200)) == 15_200


def test_a_flac_of_unknown_length_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise(1))
    content = path.read_bytes()
    path.write_bytes(content[:22] + bytes(4) + content[26:])
    with pytest.raises(BadFile, match="does not say how long it is"):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is an empty file"),
        (b"no sound" * 99, "is a text file"),
        (bytes(99), "is no audio file"),
        (b"RIFF\0\0\0\0WAVE", "truncated"),
    ],
)
def test_a_file_that_is_no_sound_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=reason):
        read_header(path)


def test_sounds_without_samples_or_upper_bands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="contains no sample"):
        read_header(write(tmp_path / "a.wav", np.zeros(0)))
    with pytest.raises(BadFile, match="8000 Hz; it must be at least 16000 Hz"):
        read_header(write(tmp_path / "b.wav", np.zeros(99), 8_000))


def test_samples_that_are_no_numbers_are_refused_where_they_are(tmp_path: Path) -> None:
    audio = noise(3)
    audio[20_000] = np.nan
    soundfile.write(tmp_path / "a.wav", audio, 16_000, "FLOAT")
    assert len(read_stretch(tmp_path / "a.wav", 0, 15_200)) == 15_200
    with pytest.raises(BadFile, match="NaN"):
        read_stretch(tmp_path / "a.wav", 15_000, 15_200)


@pytest.mark.parametrize("extension", LOSSLESS)
def test_one_sample_is_a_sound(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}", np.array([0.5]), 44_100)
    assert read_header(path).frames == 1
    assert read_stretch(path, 0, 1).shape == (1,)
