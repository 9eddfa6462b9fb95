"""Open and read audio files that are whole; refuse truncated ones, which libsndfile reads short."""

from hear_byola.core.audiofile.declared_length import BadFile
from hear_byola.core.audiofile.plain_wav import PlainWav, read_plain_wav
from hear_byola.core.audiofile.reading import (
    FORMATS,
    check_end,
    open_sound,
    read_frames,
    reopen_sound,
)

__all__ = [
    "FORMATS",
    "BadFile",
    "PlainWav",
    "check_end",
    "open_sound",
    "read_frames",
    "read_plain_wav",
    "reopen_sound",
]
