"""Open a sound file, check that it is whole, and read its frames."""

from __future__ import annotations

import io
import os
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from hear_byola.core.audiofile.declared_length import (
    CONVERT,
    OPEN,
    BadFile,
    check_length,
)
from hear_byola.core.audiofile.mp3_frames import counted, has_count, is_frame
from hear_byola.core.audiofile.ogg_pages import check_ogg

FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")
"""Accepted containers, as libsndfile names them: those in which truncation can be detected."""

_VARIABLE = ("MPEG", "DWVW")  # their size shows the length in MP3 files alone
_HEADERLESS = (
    "is headerless audio: its rate and encoding are unknown. Convert it to WAV or FLAC, for "
    'example with "ffmpeg -f s16le -ar RATE -ac 1 -i OLD NEW.wav".'
)
_LONGEST = 1 << 48  # frames; libsndfile returns a huge number if a header leaves the length open
_PREFIX = 4096  # bytes that show what a file is
_MP3_LEAD = 4 * 1152  # samples decoded before a stretch: a frame may use bits of earlier frames
_MP3_SLACK = 1152  # samples; some encoders count the frame that holds the tag as sound


def open_sound(source: Path | BinaryIO) -> soundfile.SoundFile:
    """Open a sound of which all bytes are present.

    An MP3 without a tag that counts its frames gets one, so that it is read to its end.

    Args:
        source: a path, or a seekable binary file.

    Raises:
        BadFile: empty, truncated, of unknown length, or in no accepted format.
        OSError: a path that cannot be opened.
    """
    with _binary(source) as file:
        start, head = _head(file)
        retagged = _examined(file, start, head)
    sound = _opened(source if retagged is None else retagged)
    if fault := _fault(sound, head):
        sound.close()
        raise BadFile(fault)
    return sound


def reopen_sound(source: Path | BinaryIO) -> soundfile.SoundFile:
    """Open a sound that :func:`open_sound` accepted before, without looking for truncation again.

    Raises:
        BadFile, OSError: as :func:`open_sound`, if the file has changed.
    """
    if not isinstance(source, Path):
        return open_sound(source) if _lacks_count(source) else _opened(source)
    sound = _opened(source)
    if sound.format == "MP3" and _lacks_count(source):
        sound.close()
        return open_sound(source)
    return sound


def check_end(sound: soundfile.SoundFile) -> None:
    """Decode the last sample of a format whose size does not show whether it is present.

    Open the sound again before reading it.

    Raises:
        BadFile: the last sample is missing.
    """
    if sound.frames and (sound.format == "FLAC" or sound.subtype.startswith("ALAC")):
        try:
            read_frames(sound, sound.frames - 1, 1)
        except BadFile as error:
            raise BadFile("is truncated or damaged: its end cannot be decoded.") from error


def read_frames(sound: soundfile.SoundFile, start: int = 0, frames: int = -1) -> np.ndarray:
    """Read frames of a sound that was just opened, up to its end if that comes first.

    Args:
        sound: result of :func:`open_sound`; its codec may be unable to seek.
        start: the first frame to read.
        frames: number of frames; -1 for all.

    Returns:
        float32 (frames,), or (frames, channels) if there are several channels. An MP3 may lack
        its last MPEG frame.

    Raises:
        BadFile: it cannot be decoded, or ends before its header says.
    """
    wanted = max(sound.frames - start, 0)
    wanted = wanted if frames < 0 else min(frames, wanted)
    lead = min(start, _MP3_LEAD) if sound.format == "MP3" else 0
    try:
        if not sound.seekable():
            lead = start
        elif start:
            sound.seek(start - lead)
        audio: np.ndarray = sound.read(lead + wanted, dtype="float32")[lead:]
    except soundfile.SoundFileError as error:
        raise BadFile(f"cannot be decoded ({_said(error)}): it is truncated or damaged.") from error
    if len(audio) < wanted - (_MP3_SLACK if sound.format == "MP3" else 0):
        raise BadFile(f"is truncated: {len(audio)} of {wanted} samples are present.")
    return audio


def _fault(sound: soundfile.SoundFile, head: bytes) -> str:
    if sound.format == "RAW":
        return _HEADERLESS
    variable = sound.format != "MP3" and sound.subtype.startswith(_VARIABLE)
    if sound.format not in FORMATS or variable:
        return (
            f"is {sound.format} {sound.subtype} audio, in which truncation cannot be detected. "
            f"{CONVERT}"
        )
    if sound.format == "MP3" and not is_frame(head):
        return f"begins with an MPEG frame that is damaged or of free format. {CONVERT}"
    return "" if 0 <= sound.frames < _LONGEST else OPEN


def _said(error: Exception) -> str:
    return getattr(error, "error_string", str(error)).strip().rstrip(".") or "damaged"


def _binary(source: Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    return open(source, "rb") if isinstance(source, Path) else nullcontext(source)


def _lacks_count(source: Path | BinaryIO) -> bool:
    with _binary(source) as file:
        head = _head(file)[1]
    return is_frame(head) and not has_count(head)


def _opened(source: Path | BinaryIO) -> soundfile.SoundFile:
    if not isinstance(source, Path):
        source.seek(0)
    try:
        # As bytes: a name need not be UTF-8.
        return soundfile.SoundFile(os.fsencode(source) if isinstance(source, Path) else source)
    except soundfile.SoundFileError as error:
        with _binary(source):  # raises OSError if the system cannot open it
            pass
        raise BadFile(f"is no audio file that can be read ({_said(error)}). {CONVERT}") from error
    except TypeError as error:  # soundfile takes any file named .raw for headerless
        raise BadFile(_HEADERLESS) from error


def _examined(file: BinaryIO, start: int, head: bytes) -> io.BytesIO | None:
    """Check that all bytes are present; return an MP3 with a new tag if it needs one."""
    if not head:
        raise BadFile("is an empty file.")
    if is_frame(head):
        file.seek(start)
        return counted(file.read())
    if head.startswith(b"OggS"):
        file.seek(start)
        check_ogg(file.read())
    elif not (head.startswith(b"fLaC") or check_length(file, start, head)):
        _refuse_others(head)
    return None


def _head(file: BinaryIO) -> tuple[int, bytes]:
    """Return the offset of the sound, after leading ID3 tags, and its first bytes."""
    start = 0
    while True:
        file.seek(start)
        head = file.read(_PREFIX)
        if len(head) < 10 or not head.startswith(b"ID3"):
            return start, head
        start += 10 + sum(byte << 7 * (3 - place) for place, byte in enumerate(head[6:10]))


_POINTERS = {
    b"version https://git-lfs.": "is a Git LFS pointer, not the audio: run `git lfs pull`.",
    b"/annex/objects/": "is a git-annex pointer, not the audio: run `git annex get`.",
}
_OTHERS = (
    (4, b"ftyp", "an MP4 (M4A) file"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (0, b"\x30\x26\xb2\x75", "a Windows Media file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"ADIF", "an AAC file"),
    (0, b"\xff\xf1", "an AAC file"),
    (0, b"\xff\xf9", "an AAC file"),
    (0, b"MThd", "a MIDI file"),
    (0, b"PK\3\4", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
)


def _refuse_others(head: bytes) -> None:
    """Refuse files that are often found in place of audio.

    Raises:
        BadFile: the file is one of these; the text names it.
    """
    for magic, reason in _POINTERS.items():
        if head.startswith(magic):
            raise BadFile(reason)
    for at, magic, what in _OTHERS:
        if head[at:].startswith(magic):
            raise BadFile(f"is {what}, which cannot be read. {CONVERT}")
    text = _text(head)
    if re.match(r"<(!doctype|html|\?xml|head|body|error)", text, re.IGNORECASE):
        raise BadFile("is a web page or XML, not audio. Repeat the download.")
    if text:
        raise BadFile(f"is a text file, not audio. It begins with {text[:40]!r}.")


def _text(head: bytes) -> str:
    """Return the first bytes of a text file, stripped; empty for another file."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # the last character may be cut
            return ""
        text = head[: error.start].decode("utf-8-sig")
    return text.strip() if all(sign.isprintable() or sign.isspace() for sign in text) else ""
