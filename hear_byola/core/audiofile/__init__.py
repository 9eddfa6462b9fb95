"""Open and read audio files that are whole; refuse truncated ones, which libsndfile reads short."""

from hear_byola.core.audiofile.declared_length import BadFile
from hear_byola.core.audiofile.reading import (
    FORMATS,
    check_end,
    open_sound,
    read_frames,
    reopen_sound,
)

__all__ = ["FORMATS", "BadFile", "check_end", "open_sound", "read_frames", "reopen_sound"]
