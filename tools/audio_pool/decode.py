"""A package's recordings, decoded to what pretraining reads: 16 kHz mono FLAC in short pieces.

Nothing is unpacked under a name that the package chooses: each member of the archive is read
through an unnamed temporary file, and its pieces are numbered by us.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from tarfile import TarFile
from typing import IO, Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from hear_byola.core.errors import UserError

KINDS = ("speech", "music", "effects")
SAMPLE_RATE = 16_000
"""Rate of the pool in Hz: that of the paper's audio (section V-A); lower ones are left out."""
PIECE_SECONDS = 60
"""Longest piece: whoever reads a crop has at most this much to seek in."""
SHORTEST_SECONDS = 0.1
"""Clips and remainders below this are nearly all padding in a crop of 0.95 s."""
SILENCE_DB = -60.0
"""A piece whose peak stays below this many dB of full scale is silence."""

AUDIO = frozenset({".wav", ".ogg", ".oga", ".opus", ".flac", ".mp3", ".aif", ".aiff"})
ARCHIVES = frozenset({".zip", ".pk3", ".wz"})
"""Zip files in which games keep their sounds; one level deep."""

_BLOCK_SECONDS = 10


@dataclass
class Decoded:
    """What became of a package's recordings.

    Attributes:
        pieces: one record a file written: ``path`` relative to the pool's folder, ``source`` inside
            the package, ``kind``, ``seconds`` and ``content`` (sha256 of the samples).
        files: how many audio files the package holds.
        left_out: reason -> how many files (of "silent" and "duplicate": pieces).
        unreadable: files that could not be decoded, or not to their end, and why.
    """

    pieces: list[dict[str, Any]] = field(default_factory=list)
    files: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)


def decode(
    tar: TarFile, package: str, kind_of: Callable[[str], str], pool: Path, keep: Mapping[str, Path]
) -> Decoded:
    """Decode every recording of an open tar archive into ``pool/<kind>/<package>/``.

    Args:
        tar: the archive, which may be a stream; it is read once, in order.
        package: names the folder of the pieces.
        kind_of: maps the path of a recording inside the package to one of ``KINDS``.
        pool: the pool's folder.
        keep: members to copy out as they are: path inside the package -> file to write.

    Raises:
        UserError: when a piece cannot be written.
    """
    result = Decoded()
    heard: set[str] = set()
    for source, file in _recordings(tar, keep):
        stem = f"{result.files:04d}-{_slug(PurePosixPath(source).stem)}"
        kind = kind_of(source)
        result.files += 1
        try:
            for number, samples in enumerate(_pieces(file)):
                reason, content = _judge(samples, heard)
                if reason:
                    result.left_out[reason] += 1
                    continue
                path = pool / kind / package / f"{stem}-{number:03d}.flac"
                _write(path, samples)
                heard.add(content)
                result.pieces.append(
                    {
                        "path": path.relative_to(pool).as_posix(),
                        "source": source,
                        "kind": kind,
                        "seconds": round(len(samples) / SAMPLE_RATE, 3),
                        "content": content,
                    }
                )
        except _LowRate:
            result.left_out["rate below 16 kHz"] += 1
        except soundfile.LibsndfileError as error:
            result.left_out["unreadable"] += 1
            result.unreadable.append(f"{source}: {error.error_string}")
    return result


class _LowRate(Exception):
    """The file was sampled below the pool's rate."""


def _recordings(tar: TarFile, keep: Mapping[str, Path]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield path inside the package and an open, seekable file of every recording."""
    for member in tar:
        # Links and devices have no content of their own; what a link points at comes by itself.
        if not member.isreg():
            continue
        name = PurePosixPath(member.name).as_posix().removeprefix("./")
        suffix = PurePosixPath(name).suffix.lower()
        if name in keep:
            with _copy(tar.extractfile(member)) as file:
                _save(keep[name], file)
        elif suffix in AUDIO:
            with _copy(tar.extractfile(member)) as file:
                yield name, file
        elif suffix in ARCHIVES:
            with _copy(tar.extractfile(member)) as file:
                yield from _recordings_in_zip(name, file)


def _recordings_in_zip(name: str, file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            suffix = PurePosixPath(member.filename).suffix.lower()
            if suffix not in AUDIO or member.is_dir():
                continue
            with tempfile.TemporaryFile() as inner:
                try:
                    with archive.open(member) as packed:
                        copyfileobj(packed, inner, 1 << 20)
                except (zipfile.BadZipFile, RuntimeError, zlib.error, EOFError):
                    # Damaged, encrypted or packed in an unknown way: an empty file, and so counted
                    # as unreadable.
                    inner.truncate(0)
                inner.seek(0)
                yield f"{name}/{member.filename}", inner


@contextmanager
def _copy(file: IO[bytes] | None) -> Iterator[IO[bytes]]:
    """A seekable copy of a stream, in a file without a name."""
    assert file is not None
    with tempfile.TemporaryFile() as copy:
        copyfileobj(file, copy, 1 << 20)
        copy.seek(0)
        yield copy


def _save(path: Path, file: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        copyfileobj(file, out)


def _pieces(file: IO[bytes]) -> Iterator[NDArray[np.int16]]:
    """Yield a recording as pieces of ``PIECE_SECONDS`` (the last is shorter) at ``SAMPLE_RATE``."""
    size = PIECE_SECONDS * SAMPLE_RATE
    parts: list[NDArray[np.float32]] = []
    held = 0
    for block in _resampled(file):
        parts.append(block)
        held += len(block)
        while held >= size:
            joined = np.concatenate(parts)
            yield _quantised(joined[:size])
            parts = [joined[size:]]
            held -= size
    yield _quantised(np.concatenate([*parts, np.zeros(0, np.float32)]))


def _resampled(file: IO[bytes]) -> Iterator[NDArray[np.float32]]:
    with soundfile.SoundFile(file) as sound:
        rate = sound.samplerate
        if rate < SAMPLE_RATE:
            raise _LowRate
        stream = None
        if rate != SAMPLE_RATE:
            stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
        # Not SoundFile.blocks: that trusts the header's length, which streams may not know.
        while len(block := sound.read(_BLOCK_SECONDS * rate, dtype="float32", always_2d=True)):
            mono = block.mean(axis=1)
            yield mono if stream is None else stream.resample_chunk(mono)
        if stream is not None:
            yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _quantised(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    # Lossy formats decode to more than full scale; int16 would wrap around.
    scaled = np.rint(np.nan_to_num(samples) * 32_768)
    return np.clip(scaled, -32_768, 32_767).astype(np.int16)


def _judge(samples: NDArray[np.int16], heard: set[str]) -> tuple[str, str]:
    """Return why a piece is left out ("" if it is not), and the sha256 of its samples."""
    content = hashlib.sha256(samples.tobytes()).hexdigest()
    if len(samples) < SHORTEST_SECONDS * SAMPLE_RATE:
        return "too short", content
    if int(np.abs(samples.astype(np.int32)).max()) < 32_768 * 10 ** (SILENCE_DB / 20):
        return "silent", content
    return ("duplicate" if content in heard else ""), content


def _write(path: Path, samples: NDArray[np.int16]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(
            f"{path} could not be written ({error}): is there room on the disk?"
        ) from error


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-")[:60] or "clip"
