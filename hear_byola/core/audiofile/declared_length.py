"""Compare the length that a file's header declares with the bytes that are present."""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO, NamedTuple

CONVERT = 'Convert it to WAV or FLAC, for example with "ffmpeg -i OLD NEW.wav".'
OPEN = f"does not say how long it is, so truncation cannot be detected. {CONVERT}"
"""Reason for refusing a file of unknown length."""

_OPEN_32 = 0x7FFF0000  # writers on a pipe leave a 32-bit length open: about 2 or 4 GiB
_OPEN_64 = 1 << 62


class BadFile(ValueError):
    """A file that cannot be used as audio; the text is a predicate, as in "is an empty file."."""


def check_length(file: BinaryIO, start: int, head: bytes) -> bool:
    """Compare the bytes of sound in a file with those that its header declares.

    Args:
        file: seekable.
        start: where the container begins.
        head: its first 1,024 bytes or more.

    Returns:
        Whether the container declares a length.

    Raises:
        BadFile: the sound is truncated, or its length is left open.
    """
    bounds = _bounds(file, start, head)
    if bounds is None:
        return False
    present, declared = file.seek(0, os.SEEK_END) - bounds.begin, bounds.length
    if declared is None or (declared == 0 and present > 1):
        raise BadFile(OPEN)
    if present < declared:
        raise BadFile(f"is truncated: {max(present, 0)} of {declared} bytes of sound are present.")
    return True


class _Bounds(NamedTuple):
    """Offset and length of a file's sound in bytes; None for a length left open."""

    begin: int
    length: int | None


class _Chunks(NamedTuple):
    """A container of chunks: offset of the first, header of a chunk, name of the sound's chunk."""

    magic: re.Pattern[bytes]
    first: int
    header: struct.Struct
    sound: bytes
    counted: int = 0  # bytes of a chunk's header that its length counts
    align: int = 2
    open_from: int = _OPEN_32


_RIFF = struct.Struct("<4sI")
_CHUNKED = (
    _Chunks(re.compile(rb"RIFF....WAVE", re.DOTALL), 12, _RIFF, b"data"),
    _Chunks(re.compile(rb"(RF64|BW64)....WAVE", re.DOTALL), 12, _RIFF, b"data"),
    _Chunks(re.compile(rb"RIFX....WAVE", re.DOTALL), 12, struct.Struct(">4sI"), b"data"),
    _Chunks(re.compile(rb"FORM....AIF[FC]", re.DOTALL), 12, struct.Struct(">4sI"), b"SSND"),
    _Chunks(re.compile(rb"caff"), 8, struct.Struct(">4sQ"), b"data", align=1, open_from=_OPEN_64),
    _Chunks(
        re.compile(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"),  # W64
        40,
        struct.Struct("<16sQ"),
        b"data\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a",
        counted=24,
        align=8,
        open_from=_OPEN_64,
    ),
)


def _bounds(file: BinaryIO, start: int, head: bytes) -> _Bounds | None:
    """Return the bounds of the sound; None for an unknown container."""
    if len(head) < 12 and head[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"dns."):
        raise BadFile("is truncated: it ends before its sound begins.")
    for kind in _CHUNKED:
        if kind.magic.match(head):
            return _sound_chunk(file, start + kind.first, kind)
    if head.startswith((b".snd", b"dns.")):
        begin, length = struct.unpack_from(">II" if head[:1] == b"." else "<II", head, 4)
        return _Bounds(start + begin, None if length >= _OPEN_32 else length)
    if head.startswith(b"NIST_1A"):
        return _nist(start, head)
    return None


def _sound_chunk(file: BinaryIO, position: int, kind: _Chunks) -> _Bounds:
    long_length = None
    while True:
        file.seek(position)
        header = file.read(kind.header.size)
        if len(header) < kind.header.size:
            raise BadFile("is truncated: it ends before its sound begins.")
        name, length = kind.header.unpack(header)
        begin = position + len(header)
        if name == b"ds64":  # RF64 has its long lengths here
            long_length = int.from_bytes(file.read(16)[8:], "little")
        length -= kind.counted
        if name == kind.sound:
            if length == 0xFFFFFFFF and long_length is not None:
                length = long_length
            elif length >= kind.open_from:
                return _Bounds(begin, None)
            return _Bounds(begin, length)
        position = begin + max(length, 0)
        position += -(position - begin) % kind.align


def _nist(start: int, head: bytes) -> _Bounds:
    """Read the text header of NIST SPHERE: its size, then a name, type and value on each line."""
    lines = head.decode("ascii", "replace").splitlines()
    fields = {line.split()[0]: line.split()[-1] for line in lines[2:] if line.split()}
    try:
        begin = int(lines[1])
        names = ("sample_count", "channel_count", "sample_n_bytes")
        samples, channels, width = (int(fields[name]) for name in names)
    except (ValueError, KeyError, IndexError) as error:
        raise BadFile(OPEN) from error
    return _Bounds(start + begin, samples * channels * width)
