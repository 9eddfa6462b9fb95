"""Count the frames of an MP3: without a tag that counts them, libsndfile guesses the length."""

from __future__ import annotations

import io
import re
from functools import lru_cache
from typing import NamedTuple

from hear_byola.core.audiofile.declared_length import CONVERT, BadFile

_KBPS = {  # by (MPEG 1, layer): of bit rate indices 1 to 14
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_KBPS[False, 3] = _KBPS[False, 2]
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_TAG_ROOM = 64  # bytes of a frame that hold a tag
_SYNC = re.compile(rb"\xff[\xe2-\xff]")


class _Frame(NamedTuple):
    """Size of a frame in bytes, and the properties that all frames of a sound share."""

    size: int
    kind: tuple[int, int, int]  # version, layer, rate


@lru_cache(maxsize=4096)
def _frame(header: bytes) -> _Frame | None:
    """Read the first three bytes of a frame; return None if they do not begin a frame."""
    if len(header) < 3 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or rate_index == 3 or not 1 <= index <= 14:
        return None
    rate = _RATES[version][rate_index]
    bits = 1000 * _KBPS[version == 3, layer][index - 1]
    if layer == 1:
        size = (12 * bits // rate + padding) * 4
    else:
        size = (72 if layer == 3 and version != 3 else 144) * bits // rate + padding
    return _Frame(size, (version, layer, rate))


def is_frame(head: bytes) -> bool:
    """Return whether the first 4,096 bytes of a file (or all of it) begin with MPEG audio."""
    frame = _frame(head[:3])
    if frame is None:
        return False
    following = head[frame.size : frame.size + 3]
    return len(following) < 3 or following.startswith(b"TAG") or _frame(following) is not None


def has_count(head: bytes) -> bool:
    """Return whether a sound with these first bytes has a tag that counts its frames."""
    return _tag(head)[1] is not None


def counted(content: bytes) -> io.BytesIO | None:
    """Count the frames of MPEG audio and compare the count with that of its tag.

    Args:
        content: bytes that begin with a frame.

    Returns:
        None if libsndfile reads all of it: a tag counts the frames, or it is layer 1 or 2 with a
        constant bit rate. Otherwise the sound with a tag that counts its frames.

    Raises:
        BadFile: it is truncated, changes its format, or has more frames than its tag counts.
    """
    first = _frame(content[:3])
    assert first is not None
    tagged, promised = _tag(content[: first.size])
    count, end = _count(content, first)
    count -= tagged
    if promised is None:
        if end > len(content):
            raise BadFile("is truncated: it ends inside a frame.")
        if first.kind[1] != 3:
            return None
        sound = content[first.size if tagged else 0 : end]
        return io.BytesIO(_made_tag(sound, count) + sound)
    cut = end > len(content)
    count -= cut
    if count < promised - (not cut):  # some encoders count the frame that holds the tag
        raise BadFile(f"is truncated: {count} of {promised} frames are present.")
    if count > promised + 1:
        raise BadFile(f"has {count} frames, but its tag says {promised}. {CONVERT}")
    return None


def _count(content: bytes, first: _Frame) -> tuple[int, int]:
    """Return the number of frames and the end of the last, past the content if it is cut."""
    sizes: dict[bytes, int] = {}
    position = count = end = 0
    while position < len(content):
        header = content[position : position + 3]
        size = sizes.get(header)
        if size is None:
            frame = _frame(header)
            if frame is None:
                if len(content) - position < 3 and header[0] == 0xFF:
                    return count + 1, len(content) + 1
                position = _next(content, _after_tag(content, position))
                continue
            if frame.kind != first.kind:
                raise BadFile(f"changes its sample rate or MPEG version in its middle. {CONVERT}")
            if frame.kind[1] != 3 and abs(frame.size - first.size) > 4:  # more than padding
                raise BadFile(f"is MPEG audio of layer 1 or 2 with a variable bit rate. {CONVERT}")
            size = sizes[header] = frame.size
        position += size
        count, end = count + 1, position
    return count, end


def _after_tag(content: bytes, position: int) -> int:
    """Return the end of the text tag at a position; the position itself if there is none."""
    head = content[position : position + 32]
    if head.startswith(b"TAG"):
        return position + 128
    if head.startswith(b"ID3") and len(head) >= 10:
        return position + 10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
    if head.startswith(b"APETAGEX") and len(head) == 32:
        return position + 32 + int.from_bytes(head[12:16], "little")
    return position


def _next(content: bytes, position: int) -> int:
    """Return the position of the next three frames in sequence, or the end of the content."""
    for match in _SYNC.finditer(content, position):
        place, found = match.start(), 0
        while found < 3 and (frame := _frame(content[place : place + 3])):
            place, found = place + frame.size, found + 1
        if found == 3:
            return match.start()
    return len(content)


def _tag(frame: bytes) -> tuple[bool, int | None]:
    """Return whether the first frame of a sound is a tag, and its count of frames."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name, 4, 48)
        if at > 0:
            flags, frames = (int.from_bytes(frame[at + i : at + i + 4], "big") for i in (4, 8))
            return True, frames if flags & 1 else None
    return frame.startswith(b"VBRI", 36), None  # libsndfile does not read this one


def _made_tag(sound: bytes, count: int) -> bytes:
    """Return a tag for frames of layer 3: a silent frame with their count."""
    for index in range(1, 15):
        third = index << 4 | sound[2] & 0x0C
        header = bytes([0xFF, sound[1] | 1, third, sound[3]])
        frame = _frame(header[:3])
        if frame is not None and frame.size >= _TAG_ROOM:
            break
    assert frame is not None
    mono = sound[3] >> 6 == 3
    side = (17 if mono else 32) if frame.kind[0] == 3 else (9 if mono else 17)
    tag = header + bytes(side) + b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    return tag.ljust(frame.size, b"\0")
