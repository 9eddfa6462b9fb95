"""Hostile bytes: a file that was cut, or changed byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], Any]
"""Draws an example of a strategy, as hypothesis gives it to composite strategies."""


_BYTES = (
    b"", b"\0", b"\0" * 64, b"\xff", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n\n",
    b'"', b",", b"{", b"]", b"PK\3\4", b"OggS", b"ID3\4\0\0\x7f\x7f\x7f\x7f", b"\xff\xfb\x90\0",
    b"RIFF\xff\xff\xff\xffWAVE", b"data\xff\xff\xff\xff", b"\x93NUMPY\1\0",
)  # fmt: skip
_PACKINGS = ("<H", ">H", "<I", ">I", "<Q", ">Q")


def places(size: int) -> st.SearchStrategy[int]:
    """Return offsets in a file: half of them are in its first 128 bytes."""
    near = st.integers(0, max(0, min(size, 128) - 1))
    return st.one_of(near, st.integers(0, max(0, size - 1)))


def changed_bytes(draw: Draw, valid: bytes) -> bytes:
    """Return the content after one to three changes of its bytes or of its encoding."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(places(len(content)))
        match draw(st.integers(0, 7)):
            case 0:
                del content[at:]
            case 1:
                content[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 2:
                content[at:at] = draw(st.sampled_from(_BYTES))
            case 3:
                del content[at : at + draw(st.sampled_from((1, 2, 4, 8, 100)))]
            case 4:
                packing = draw(st.sampled_from(_PACKINGS))
                size = struct.calcsize(packing)
                number = draw(st.sampled_from((0, 1, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**63)))
                content[at : at + size] = struct.pack(packing, number & (256**size - 1))
            case 5:
                content[at:at] = content[at : at + draw(st.sampled_from((1, 8, 64, 512)))]
            case 6:
                content[at : at + 16] = bytes(16)
            case 7:
                content = bytearray(_recoded(bytes(content), draw(st.sampled_from(_CODINGS))))
    return bytes(content)


_CODINGS = ("utf-16", "utf-32", "utf-8-sig", "latin-1", "cp037")


def _recoded(content: bytes, coding: str) -> bytes:
    return content.decode("utf-8", "replace").encode(coding, "replace")
