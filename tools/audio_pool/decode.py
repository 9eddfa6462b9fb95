"""Decode the recordings of a package to short pieces of 16 kHz mono FLAC for pretraining.

No file gets a path that the package chooses: each member of the archive is read through an unnamed
temporary file, and this module names its pieces.
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
"""Rate of the pool in Hz, as in the paper (section V-A); files of a lower rate are left out."""
PIECE_SECONDS = 60
"""Length of the longest piece; it limits how far a reader of a crop must seek."""
SHORTEST_SECONDS = 0.1
"""Length of the shortest piece; in a crop of 0.95 s, shorter ones would be nearly all padding."""
SILENCE_DB = -60.0
"""A piece with a peak below this level, in dB relative to full scale, is silent."""

AUDIO = frozenset({".wav", ".ogg", ".oga", ".opus", ".flac", ".mp3", ".aif", ".aiff"})
ARCHIVES = frozenset({".zip", ".pk3", ".wz"})
"""Extensions of zip files in which games store sounds; zip files inside them are not read."""

_BLOCK_SECONDS = 10


@dataclass
class Decoded:
    """The outcome of decoding a package.

    Attributes:
        pieces: one record per file written: ``path`` relative to the pool's folder, ``source``
            inside the package, ``kind``, ``seconds`` and ``content`` (SHA-256 of the samples).
        files: number of audio files in the package.
        left_out: reason -> number of files (for "silent" and "duplicate": of pieces).
        unreadable: files that could not be decoded completely, with the reason.
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
        package: name of the folder of the pieces.
        kind_of: maps the path of a recording inside the package to one of ``KINDS``.
        pool: the pool's folder.
        keep: members to copy unchanged: path inside the package -> file to write.

    Raises:
        UserError: a piece cannot be written.
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
    """The sample rate of a file is below the pool's rate."""


def _recordings(tar: TarFile, keep: Mapping[str, Path]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield, for every recording, its path inside the package and an open, seekable file."""
    for member in tar:
        # Links and devices have no content; the target of a link is a member of its own.
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
                    # A damaged, encrypted or unsupported member becomes an empty file, which is
                    # counted as unreadable.
                    inner.truncate(0)
                inner.seek(0)
                yield f"{name}/{member.filename}", inner


@contextmanager
def _copy(file: IO[bytes] | None) -> Iterator[IO[bytes]]:
    """Yield a seekable copy of a stream in an unnamed file."""
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
    """Yield a recording at ``SAMPLE_RATE`` in pieces of ``PIECE_SECONDS``; the last is shorter."""
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
        # SoundFile.blocks is not used, because headers of streamed files can lack the length.
        while len(block := sound.read(_BLOCK_SECONDS * rate, dtype="float32", always_2d=True)):
            mono = block.mean(axis=1)
            yield mono if stream is None else stream.resample_chunk(mono)
        if stream is not None:
            yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _quantised(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    # Lossy formats can decode to values beyond full scale, which would wrap around in int16.
    scaled = np.rint(np.nan_to_num(samples) * 32_768)
    return np.clip(scaled, -32_768, 32_767).astype(np.int16)


def _judge(samples: NDArray[np.int16], heard: set[str]) -> tuple[str, str]:
    """Return the reason to leave a piece out, or "", and the SHA-256 of its samples."""
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
            f"{path} could not be written ({error}). Check the free space on the disk."
        ) from error


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-")[:60] or "clip"
