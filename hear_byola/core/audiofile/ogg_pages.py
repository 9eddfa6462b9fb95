"""Check that the pages of an Ogg file are complete: decoders skip pages that are not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from hear_byola.core.audiofile.declared_length import CONVERT, BadFile

_REWRITE = (
    'If it is whole all the same, write it anew, for example with "ffmpeg -i OLD -c copy NEW.ogg".'
)
_NOT_ENDED = f"is truncated: its last Ogg page does not end the stream. {_REWRITE}"
_DAMAGED = "is damaged: Ogg pages in its middle are missing or wrong. Repeat the download."

# Of a page (RFC 3533, section 6): "OggS", version, flags, position, serial number of the stream,
# number of the page in the stream, checksum, number of segments. The sizes of the segments follow.
_HEADER = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4  # flags of the first and the last page of a stream
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    """A page, or what looks like the beginning of one.

    ``whole``: all of its bytes are present. ``intact``: they also have the right checksum.
    """

    start: int
    end: int
    flags: int = 0
    serial: int = 0
    number: int = 0
    whole: bool = False
    intact: bool = False


def check_ogg(content: bytes) -> None:
    """Check that Ogg contains every page up to one that ends its stream.

    Raises:
        BadFile: it is truncated, lacks pages in its middle, or contains several streams in
            sequence, of which libsndfile reads only the first.
    """
    pages = list(_pages(content))
    if not pages:
        raise BadFile("is damaged: its first Ogg page is not of a known version.")
    begins = [bool(page.flags & _FIRST) for page in pages]
    if True in begins[begins.index(False) if False in begins else len(begins) :]:
        raise BadFile(f"holds several sounds, one after the other. {CONVERT}")
    if not (pages[-1].whole and pages[-1].flags & _LAST):
        raise BadFile(_NOT_ENDED)
    if not _are_consecutive(pages):
        raise BadFile(_DAMAGED)


def _are_consecutive(pages: list[_Page]) -> bool:
    end = pages[0].start
    numbers: dict[int, int] = {}  # of the last page of each stream
    for page in pages:
        expected = numbers.get(page.serial, page.number - 1) + 1
        if not page.intact or page.start != end or page.number != expected:
            return False
        end, numbers[page.serial] = page.end, page.number
    return True


def _pages(content: bytes) -> Iterator[_Page]:
    position = 0
    while (start := content.find(b"OggS\0", position)) >= 0:
        page = _page(content, start)
        position = page.end if page.whole else start + 1
        yield page


def _page(content: bytes, start: int) -> _Page:
    sizes_at = start + _HEADER.size
    if sizes_at > len(content):
        return _Page(start, len(content))
    header = _HEADER.unpack_from(content, start)
    _, _, flags, _, serial, number, checksum, segments = header
    sizes = content[sizes_at : sizes_at + segments]
    end = sizes_at + segments + sum(sizes)
    whole = len(sizes) == segments and end <= len(content)
    intact = whole and _checksum(content[start:end]) == checksum
    return _Page(start, end, flags, serial, number, whole=whole, intact=intact)


def _checksum(page: bytes) -> int:
    """Return a page's checksum: a CRC of polynomial 0x04C11DB7, without inversions.

    The checksum's own bytes count as zeros. zlib's CRC has the same polynomial, takes the bits in
    the reverse order, and inverts them at both ends.
    """
    zeroed = page[:22] + bytes(4) + page[26:]
    reverse = zlib.crc32(zeroed.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reverse:032b}"[::-1], 2)
