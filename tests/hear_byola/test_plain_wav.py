"""The quick reader of 16-bit mono WAV: libsndfile's samples, and no other file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_byola.core.audiofile import open_sound, read_frames, read_plain_wav

EXTREMES = np.array([-32768, -32767, -1, 0, 1, 32766, 32767], "int16")


def wav(path: Path, samples: np.ndarray = EXTREMES, rate: int = 16000, **how: str) -> Path:
    soundfile.write(path, samples, rate, **how)
    return path


@pytest.mark.parametrize("rate", [1, 8000, 44100, 48000, 384_000])
@pytest.mark.parametrize("number", [1, 2, 777, 20_000])
def test_samples_are_those_of_libsndfile(tmp_path: Path, rate: int, number: int) -> None:
    draw = np.random.default_rng(number)
    samples = np.concatenate([EXTREMES, draw.integers(-32768, 32768, number, "int16")])
    path = wav(tmp_path / "a.wav", samples[-number:], rate)
    plain = read_plain_wav(path)
    assert plain is not None
    with open_sound(path) as sound:
        assert plain.rate == sound.samplerate == rate
        expected = read_frames(sound)
    assert plain.audio.dtype == np.float32
    np.testing.assert_array_equal(plain.audio, expected)


def test_chunks_after_the_sound_are_ignored(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav")
    with path.open("ab") as file:
        file.write(b"LIST" + struct.pack("<I", 4) + b"INFO")
    plain = read_plain_wav(path)
    assert plain is not None
    np.testing.assert_array_equal(plain.audio * 32768, EXTREMES)


OTHERS = {
    "two channels": {"samples": np.stack([EXTREMES, EXTREMES], axis=1)},
    "24 bits": {"subtype": "PCM_24"},
    "8 bits": {"subtype": "PCM_U8"},
    "float": {"subtype": "FLOAT"},
    "u-law": {"subtype": "ULAW"},
    "extensible": {"format": "WAVEX"},
    "RF64": {"format": "RF64"},
    "big-endian": {"endian": "BIG"},
    "empty": {"samples": EXTREMES[:0]},
    "FLAC": {"format": "FLAC"},
}


@pytest.mark.parametrize("how", OTHERS.values(), ids=OTHERS)
def test_other_files_are_left_to_libsndfile(tmp_path: Path, how: dict) -> None:
    assert read_plain_wav(wav(tmp_path / "a.wav", **how)) is None


@pytest.mark.parametrize("damage", [0, 4, 20, 43, 44, 57, "odd", "open", "rate"])
def test_files_with_a_fault_are_left_to_libsndfile(tmp_path: Path, damage: int | str) -> None:
    path = wav(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    if damage == "odd":
        content[40:44] = struct.pack("<I", 13)
    elif damage == "open":
        content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    elif damage == "rate":
        content[24:28] = struct.pack("<I", 0)
    else:
        content = content[:damage]
    path.write_bytes(content)
    assert read_plain_wav(path) is None


def test_what_cannot_be_opened_is_left_to_libsndfile(tmp_path: Path) -> None:
    assert read_plain_wav(tmp_path / "absent.wav") is None
    assert read_plain_wav(tmp_path) is None
