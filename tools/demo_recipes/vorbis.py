"""Encode OGG Vorbis so that the bytes depend only on the audio.

libsndfile takes the stream's serial number from the clock. Here it is replaced by a constant, and
the checksum of each page is computed again (RFC 3533, section 6: serial at byte 14, CRC-32 at byte
22, number of segments at byte 26, polynomial 0x04C11DB7 without reflection or inversion).
"""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile as sf

from tools.demo_recipes.sound import RATE, Sound

COMPRESSION = 0.8
"""libsndfile's compression level, from 0 (largest file) to 1; about 45 kbit/s for noisy music."""

_SERIAL = 1


def encode(sound: Sound) -> bytes:
    """Encode mono audio in [-1, 1] at 16 kHz; the same audio always gives the same bytes."""
    buffer = io.BytesIO()
    sf.write(
        buffer,
        sound.astype(np.float32),
        RATE,
        format="OGG",
        subtype="VORBIS",
        compression_level=COMPRESSION,
    )
    return _with_serial(buffer.getvalue())


def _with_serial(stream: bytes) -> bytes:
    data = bytearray(stream)
    page = 0
    while page < len(data):
        segments = data[page + 26]
        size = 27 + segments + sum(data[page + 27 : page + 27 + segments])
        struct.pack_into("<I", data, page + 14, _SERIAL)
        struct.pack_into("<I", data, page + 22, 0)
        struct.pack_into("<I", data, page + 22, _checksum(data[page : page + size]))
        page += size
    return bytes(data)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        remainder = byte << 24
        for _ in range(8):
            remainder = (remainder << 1) ^ (0x04C11DB7 if remainder & 0x80000000 else 0)
        table.append(remainder & 0xFFFFFFFF)
    return table


_TABLE = _table()


def _checksum(page: bytearray) -> int:
    crc = 0
    for byte in page:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ _TABLE[(crc >> 24) ^ byte]
    return crc
