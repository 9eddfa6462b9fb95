"""Audio files of every format that libsndfile writes: read whole, or refused by name."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_byola.core.audiofile import (
    FORMATS,
    BadFile,
    check_end,
    open_sound,
    read_frames,
    reopen_sound,
)

RATE = 16000
WRITTEN = [
    (kind, coding)
    for kind in soundfile.available_formats()
    for coding in soundfile.available_subtypes(kind)
    if kind not in ("RAW", "SD2")  # no header; a second file
    and (kind, coding) not in (("AIFF", "DWVW_12"), ("WAV", "MPEG_LAYER_III"))
    and coding not in ("MPEG_LAYER_I", "MPEG_LAYER_II")
]
ACCEPTED = [pair for pair in WRITTEN if pair[0] in FORMATS and not pair[1].startswith("DWVW")]
REFUSED = [pair for pair in WRITTEN if pair not in ACCEPTED]


def sound(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(times))
    return (0.3 * np.sin(2 * np.pi * (200 + 300 * times) * times) + 0.02 * noise).astype("float32")


def encoded(kind: str, coding: str | None, audio: np.ndarray, rate: int = RATE, **how) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, coding, format=kind, **how)
    return buffer.getvalue()


def whole(kind: str, coding: str | None = None, seconds: float = 1.0, **how) -> bytes:
    return encoded(kind, coding, sound(seconds), **how)


def read(content: bytes, folder: Path | None = None, name: str = "a") -> np.ndarray:
    """Read content from memory, or from a file of this name."""
    source: Path | io.BytesIO = io.BytesIO(content)
    if folder is not None:
        source = folder / name
        source.write_bytes(content)
    with open_sound(source) as opened:
        check_end(opened)
    with open_sound(source) as opened:
        return read_frames(opened)


def refusal(content: bytes, folder: Path | None = None, name: str = "a") -> str:
    with pytest.raises(BadFile) as error:
        read(content, folder, name)
    assert len(str(error.value).split(". ")) <= 3
    return str(error.value)


@pytest.mark.parametrize(("kind", "coding"), ACCEPTED)
def test_a_whole_file_is_read_whole(tmp_path: Path, kind: str, coding: str) -> None:
    content = whole(kind, coding)
    audio = read(content)
    assert RATE <= len(audio) <= RATE + 1024, "codecs of blocks fill the last"
    np.testing.assert_array_equal(read(content, tmp_path), audio)


@pytest.mark.parametrize(("kind", "coding"), ACCEPTED)
@pytest.mark.parametrize("part", [0.6, 0.8, 0.95, 0.999])
def test_a_truncated_file_is_refused(kind: str, coding: str, part: float) -> None:
    content = whole(kind, coding)
    assert "truncated" in refusal(content[: int(len(content) * part)])


@pytest.mark.parametrize(("kind", "coding"), ACCEPTED)
def test_a_stretch_is_the_same_whether_the_codec_can_seek_or_not(kind: str, coding: str) -> None:
    content = whole(kind, coding)
    with open_sound(io.BytesIO(content)) as opened:
        stretch = read_frames(opened, 9000, 500)
    np.testing.assert_allclose(stretch, read(content)[9000:9500], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kind", "coding"), REFUSED)
def test_where_truncation_cannot_be_detected_the_format_is_refused_by_name(
    tmp_path: Path, kind: str, coding: str
) -> None:
    path = tmp_path / "a"  # not all can be written to memory
    with soundfile.SoundFile(path, "w", RATE, 1, coding, format=kind) as file:
        file.write(sound())
    with pytest.raises(BadFile, match=rf"is {kind} {coding} audio.*Convert it to WAV or FLAC"):
        open_sound(path)


@pytest.mark.parametrize("kind", ["WAV", "AU", "AIFF"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_both_byte_orders_are_known(kind: str, endian: str) -> None:
    content = whole(kind, "PCM_16", endian=endian)
    assert len(read(content)) == RATE
    assert "truncated" in refusal(content[:-100])


def test_chunks_before_the_sound_are_passed() -> None:
    content = whole("WAV", "PCM_16")
    extra = b"LIST" + struct.pack("<I", 5001) + bytes(5002)
    content = content[:12] + extra + content[12:]
    assert len(read(content)) == RATE
    assert "truncated" in refusal(content[:-100])
    assert refusal(content[:4000]) == "is truncated: it ends before its sound begins."
    for length in range(1, 44):
        assert refusal(content[:length])


OPEN = {
    "WAV from a pipe": ("WAV", 40, b"\xff\xff\xff\xff"),
    "WAV from another pipe": ("WAV", 40, b"\0\0\0\x80"),
    "WAV whose writer was killed": ("WAV", 40, b"\0\0\0\0"),
    "AU": ("AU", 8, b"\xff\xff\xff\xff"),
    "FLAC": ("FLAC", 22, b"\0\0\0\0"),
}


@pytest.mark.parametrize("case", OPEN)
def test_a_file_that_does_not_say_its_length_is_refused(tmp_path: Path, case: str) -> None:
    kind, place, length = OPEN[case]
    content = whole(kind, "PCM_16")
    content = content[:place] + length + content[place + 4 :]
    assert "does not say how long it is" in refusal(content)
    assert "does not say how long it is" in refusal(content, tmp_path)


def test_a_caf_of_open_length_is_refused() -> None:
    content = whole("CAF", "PCM_16")
    at = content.index(b"data") + 4
    assert "does not say how long" in refusal(content[:at] + b"\xff" * 8 + content[at + 8 :])


def test_an_empty_wav_is_no_truncated_one() -> None:
    assert len(read(encoded("WAV", "PCM_16", np.zeros(0)))) == 0


# Ogg


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS"])
def test_ogg_that_ends_between_two_pages_is_refused(coding: str) -> None:
    content = whole("OGG", coding, 4.0)
    pages = [i for i in range(len(content)) if content.startswith(b"OggS", i)]
    assert len(pages) > 3
    for page in pages[1:]:
        assert "does not end the stream" in refusal(content[:page])
    assert len(read(content + bytes(100))) == 4 * RATE, "what follows the end does not matter"


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("damage", ["missing page", "zeros", "one bit", "swapped pages"])
def test_ogg_with_damage_in_its_middle_is_refused(coding: str, damage: str) -> None:
    content = whole("OGG", coding, 4.0)
    starts = [i for i in range(len(content)) if content.startswith(b"OggS", i)]
    *_, first, second, third = starts
    damaged = {
        "missing page": content[:first] + content[second:],
        "zeros": content[: first + 50] + bytes(second - first - 50) + content[second:],
        "one bit": content[: first + 99]
        + bytes([content[first + 99] ^ 1])
        + content[first + 100 :],
        "swapped pages": content[:first]
        + content[second:third]
        + content[first:second]
        + content[third:],
    }[damage]
    assert refusal(damaged).startswith("is damaged: Ogg pages in its middle")


@pytest.mark.parametrize("coding", ["VORBIS", "OPUS"])
def test_joined_ogg_files_are_refused(coding: str) -> None:
    content = whole("OGG", coding)
    assert len(soundfile.read(io.BytesIO(content + content))[0]) == RATE, "the first alone"
    assert "several sounds" in refusal(content + content)


# MP3

KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # MPEG 2
FRAME = 576  # samples
DELAY = 529  # samples that the decoder drops


def frames(mp3: bytes) -> list[bytes]:
    """The frames of an MP3 at 16 kHz."""
    found, place = [], 0
    while place < len(mp3):
        third = mp3[place + 2]
        size = 72 * 1000 * KBPS[third >> 4] // RATE + (third >> 1 & 1)
        found.append(mp3[place : place + size])
        place += size
    return found


def mp3(mode: str, seconds: float = 5.0) -> bytes:
    """A loud and a faint part, so that a variable bit rate varies."""
    audio = sound(seconds)
    audio[len(audio) // 4 :] *= 1e-4
    return encoded("MP3", None, audio, bitrate_mode=mode, compression_level=0.5)


@pytest.fixture(scope="module", params=["CONSTANT", "VARIABLE"])
def parts(request: pytest.FixtureRequest) -> list[bytes]:
    """The frames of an MP3, of which the first is its tag."""
    return frames(mp3(request.param))


def samples(parts: list[bytes]) -> int:
    return len(parts) * FRAME - DELAY


def test_an_mp3_without_a_tag_is_read_whole(parts: list[bytes], tmp_path: Path) -> None:
    bare = b"".join(parts[1:])
    audio = read(bare)
    assert len(audio) == samples(parts[1:])
    np.testing.assert_array_equal(read(bare, tmp_path, "a.mp3"), audio)
    for source in (tmp_path / "a.mp3", io.BytesIO(bare)):
        with reopen_sound(source) as opened:
            np.testing.assert_allclose(
                read_frames(opened, 60_000, 5000), audio[60_000:65_000], rtol=0, atol=1e-4
            )
    reference = read(b"".join(parts))
    delay = int(np.argmax(np.correlate(audio[:20_000], reference[:15_000])))
    np.testing.assert_allclose(audio[delay : delay + 60_000], reference[:60_000], rtol=0, atol=2e-2)


def test_frames_are_counted_where_libsndfile_guesses() -> None:
    parts = frames(mp3("VARIABLE"))
    bare = b"".join(parts[1:])
    with soundfile.SoundFile(io.BytesIO(bare)) as opened:
        assert opened.frames < samples(parts) / 2
    assert len(read(bare)) == samples(parts[1:])


def test_a_truncated_mp3_without_a_tag_is_refused(parts: list[bytes]) -> None:
    bare = b"".join(parts[1:])
    for less in (1, 2, 3, 40, len(parts[-1]) - 1, len(parts[-1]) - 3):
        assert refusal(bare[:-less]) == "is truncated: it ends inside a frame."
    # One that ends between two frames is a shorter MP3.
    assert len(read(b"".join(parts[1:-1]))) == samples(parts[1:-1])


def surrounded() -> Iterator[tuple[str, bytes, bytes]]:
    yield "ID3v2", b"ID3\3\0\0\0\0\x02\x05" + b"\xff\xfb\x90\0" * 65 + b"\0", b""
    yield "two of them", (b"ID3\3\0\0\0\0\0\x08" + bytes(8)) * 2, b""
    yield "ID3v1", b"", b"TAG" + b"\xff" * 125
    size = struct.pack("<IIII", 2000, 64, 1, 0xA0000000)
    yield "APE", b"", b"APETAGEX" + size + bytes(8 + 64)
    yield "zeros", b"", bytes(5000)
    yield "noise", b"", np.random.default_rng(0).bytes(5000)


@pytest.mark.parametrize(("before", "after"), [pytest.param(*c, id=n) for n, *c in surrounded()])
@pytest.mark.parametrize("tagged", [True, False])
def test_what_surrounds_the_frames_does_not_count(
    parts: list[bytes], before: bytes, after: bytes, tagged: bool
) -> None:
    content = b"".join(parts if tagged else parts[1:])
    assert len(read(before + content + after)) == (5 * RATE if tagged else samples(parts[1:]))


@pytest.mark.parametrize("name", [b"Xing", b"Info"])
def test_a_tag_without_a_count_is_replaced(parts: list[bytes], name: bytes) -> None:
    tag = parts[0][:13] + name + bytes(len(parts[0]) - 17)
    assert len(read(tag + b"".join(parts[1:]))) == samples(parts[1:])


def test_a_tag_that_libsndfile_does_not_read_is_replaced(parts: list[bytes]) -> None:
    tag = (parts[0][:4] + bytes(32) + b"VBRI").ljust(len(parts[0]), b"\0")
    assert len(read(tag + b"".join(parts[1:]))) == samples(parts[1:])


def test_joined_mp3_files_are_refused_if_the_first_tag_counts_its_own_frames(
    parts: list[bytes],
) -> None:
    content = b"".join(parts)
    assert len(soundfile.read(io.BytesIO(content + content))[0]) == 5 * RATE, "the first alone"
    assert "but its tag says" in refusal(content + content)
    assert len(read(b"".join(parts[1:] * 2))) == samples(parts[1:] * 2)


def test_an_mp3_that_changes_its_rate_is_refused(parts: list[bytes]) -> None:
    other = encoded("MP3", None, sound(1.0, 48000), 48000)
    assert "changes its sample rate" in refusal(b"".join(parts[1:]) + other)


def test_an_mp3_whose_first_frame_is_damaged_is_refused(parts: list[bytes]) -> None:
    damaged = parts[1][:2] + b"\0" + parts[1][3:]  # a bit rate that no frame's size can be told by
    assert refusal(damaged + b"".join(parts[2:]))


def layer_2(kbps: int) -> bytes:
    """A silent frame of MPEG 1, layer 2, 48 kHz, mono: 1,152 samples."""
    index = {64: 4, 128: 8, 160: 9}[kbps]
    return bytes([0xFF, 0xFD, index << 4 | 1 << 2, 0xC0]).ljust(3 * kbps, b"\0")


def test_layer_2_is_read_at_a_constant_bit_rate_alone() -> None:
    content = layer_2(128) * 50
    assert len(read(content)) == len(read(content + b"TAG" + bytes(125))) == 50 * 1152
    assert "inside a frame" in refusal(content[:-7])
    assert "variable bit rate" in refusal(layer_2(160) * 25 + layer_2(64) * 25)


def test_an_mp3_in_a_wav_is_refused(parts: list[bytes]) -> None:
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 16000, 1, 0, 12, 1, 2, 576, 1, 1393)
    sound = b"".join(parts[1:])
    body = b"fmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(sound)) + sound
    content = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body
    assert "truncation cannot be detected" in refusal(content)


# What is no audio

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
OTHERS = {
    "pointer": (LFS, "is a Git LFS pointer, not the audio: run `git lfs pull`."),
    "annex": (b"/annex/objects/SHA256E-s1--ab.wav\n", "git annex get"),
    "page": (b"\n<!DOCTYPE html>\n<html>", "is a web page or XML"),
    "xml": (b'<?xml version="1.0"?><Error>AccessDenied', "is a web page or XML"),
    "text": ("Zugriff für Gäste verweigert".encode(), "begins with 'Zugriff für Gäste verweigert'"),
    "long text": (b"a" * 511 + "ä".encode() * 99, "is a text file"),
    "m4a": (b"\0\0\0\x20ftypM4A " + bytes(99), "is an MP4 (M4A) file"),
    "webm": (b"\x1a\x45\xdf\xa3" + bytes(99), "is a Matroska or WebM file"),
    "aac": (b"\xff\xf1\x50\x80" + bytes(99), "is an AAC file"),
    "zip": (b"PK\3\4" + bytes(99), "is a zip archive"),
    "empty": (b"", "is an empty file."),
    "zeros": (bytes(9999), "is no audio file that can be read"),
    "noise": (np.random.default_rng(1).bytes(9999), "is no audio file that can be read"),
}


@pytest.mark.parametrize(
    ("case", "name"), list(itertools.product(OTHERS, ["a.wav", "a.flac", "a.mp3", "a"]))
)
def test_what_is_no_audio_is_named(tmp_path: Path, case: str, name: str) -> None:
    content, reason = OTHERS[case]
    assert reason in refusal(content, tmp_path, name)
    assert reason in refusal(content)


@pytest.mark.parametrize("name", ["a.raw", "a.RAW", "a.au", "a.snd", "a.gsm", "a.vox"])
def test_headerless_audio_is_refused_whatever_libsndfile_guesses(tmp_path: Path, name: str) -> None:
    content = b"\x01" + np.random.default_rng(1).bytes(9999)
    assert "its rate and encoding are unknown" in refusal(content, tmp_path, name)
    assert "Git LFS pointer" in refusal(LFS, tmp_path, name)
