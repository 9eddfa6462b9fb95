"""Embed recordings in the page up to a size, and link the others.

A run's folder can come from someone else, and it contains the paths of its recordings. Only files
in a task's directory are used, so that no other file of the machine gets into the page.
"""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import soundfile
import soxr

from harness.core.errors import UserError
from harness.results.record import Record
from tasks.audio import decode, nearest_rate, present_rates
from tasks.format.files import METADATA

MOST_SECONDS = 15.0
"""Only the beginning of a longer recording is embedded."""
_BEST_RATE = 48000
_LOSSLESS_BYTES = 150_000  # larger sounds are encoded as MP3


@dataclass(frozen=True)
class Player:
    """An audio player of one clip.

    Attributes:
        name: of the clip.
        source: a ``data:`` URL, or a URL relative to the page; empty without a recording.
        note: a remark on the recording, or the reason why there is none.
    """

    name: str
    source: str
    note: str = ""

    @property
    def linked(self) -> bool:
        """Whether it plays only if the page can reach the recording's file."""
        return bool(self.source) and not self.source.startswith("data:")


class Sounds:
    """Embeds recordings up to a number of bytes.

    Args:
        room: bytes of audio to embed, before base64 encoding adds a third.
        folder: folder of the page, to which links are relative.
    """

    def __init__(self, room: int, folder: Path = Path()) -> None:
        self._room = room
        self._folder = folder
        self._kept: dict[Path, tuple[bytes, str, str]] = {}

    def player(self, record: Record, split: str, clip: str) -> Player:
        """Return the player of a clip of a record's task."""
        try:
            path = recording(record, split, clip)
        except UserError as error:
            return Player(clip, "", str(error))
        try:
            content, kind, note = self._kept.get(path) or _encoded(path)
        except UserError as error:
            return Player(clip, "", str(error))
        self._kept[path] = (content, kind, note)
        if len(content) > self._room:
            return Player(clip, self._link(path), "linked, because it is too large to embed")
        self._room -= len(content)
        text = base64.b64encode(content).decode()
        return Player(clip, f"data:{kind};base64,{text}", note)

    def _link(self, path: Path) -> str:
        return quote(Path(os.path.relpath(path.resolve(), self._folder.resolve())).as_posix())


def recording(record: Record, split: str, clip: str) -> Path:
    """Return the file of a clip at 48 kHz or the nearest rate.

    Raises:
        UserError: it is missing, or outside the task's directory.
    """
    directory = record.task_directory
    try:
        rates = present_rates(directory) if (directory / METADATA).is_file() else ()
    except OSError as error:
        raise UserError(f"The recordings in {directory} cannot be read: {error}.") from error
    if not rates:
        raise UserError(f"The recordings are missing: {directory} is no task directory with audio.")
    path = directory / str(nearest_rate(rates, _BEST_RATE)) / split / clip
    if not path.is_file():
        raise UserError(f"The recording is missing: {path}.")
    if not path.resolve().is_relative_to(directory.resolve()):
        raise UserError(f"The recording {path} is outside its task's directory and not shown.")
    return path


def _encoded(path: Path) -> tuple[bytes, str, str]:
    """Return the beginning of a file as FLAC if that is small, otherwise as MP3."""
    audio, info = decode(path)
    note = ""
    if info.seconds > MOST_SECONDS:
        audio = audio[: int(MOST_SECONDS * info.rate)]
        note = f"the first {MOST_SECONDS:.0f} of {info.seconds:.0f} s"
    rate = info.rate
    if rate > _BEST_RATE:
        audio, rate = soxr.resample(audio, rate, _BEST_RATE), _BEST_RATE
    audio = np.clip(audio, -1, 1)
    lossless = _written(audio, rate, "FLAC", "PCM_16")
    if len(lossless) <= _LOSSLESS_BYTES or "MP3" not in soundfile.available_formats():
        return lossless, "audio/flac", note
    if rate not in _MP3_RATES:
        audio, rate = soxr.resample(audio, rate, _BEST_RATE), _BEST_RATE
    return _written(audio, rate, "MP3", "MPEG_LAYER_III"), "audio/mpeg", note


_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def _written(audio: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, audio, rate, format=kind, subtype=subtype)
    return stream.getvalue()
