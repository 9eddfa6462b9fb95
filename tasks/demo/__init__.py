"""Unpack the tasks of the demo suite, small tasks of real recordings in the package.

The package stores the clips as OGG Vorbis. At first use, ``demo_directory`` decodes them to a HEAR
task directory (16-bit mono wav) in a cache.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf

from harness.core.errors import UserError, did_you_mean
from harness.core.files import cache_folder, new_directory

if TYPE_CHECKING:
    from importlib.abc import Traversable

SAMPLE_RATE = 16000
"""Sample rate of the demo tasks in Hz."""

_LAYOUT = b"1"
"""Format version of the cache; changed whenever the same stored files unpack differently."""


def demo_names() -> tuple[str, ...]:
    """Return the names of the demo tasks, sorted."""
    return tuple(sorted(_stored()))


def demo_directory(name: str) -> Path:
    """Return the HEAR task directory of a demo task; unpack the task at first use.

    The cache is in :func:`harness.core.files.cache_folder`. The name of its folder contains a hash
    of the content, so another version of the package never uses an old cache. The folder is written
    whole or not at all, so several processes may call this function at the same time.

    Args:
        name: name of the task, such as ``"demo_guitar_chord"``.

    Raises:
        UserError: there is no such task, or the cache cannot be written.
    """
    stored = _stored().get(name)
    if stored is None:
        known = ", ".join(demo_names())
        raise UserError(
            f"There is no demo task '{name}'.{did_you_mean(name, demo_names())} Known: {known}."
        )
    contents = dict(sorted(_contents(stored)))
    parent = cache_folder() / "demo" / _fingerprint(contents)
    directory = parent / stored.name
    if not directory.exists():
        try:
            _unpack(contents, parent, stored.name)
        except OSError as error:
            raise UserError(
                f"The demo task '{name}' cannot be unpacked to {parent}: {error}. Set "
                "HEAR_BYOLA_CACHE to a writable folder."
            ) from error
    return directory


def _stored() -> dict[str, Traversable]:
    folder = files(__name__) / "data"
    return {d.name.rsplit("-", 2)[0]: d for d in folder.iterdir() if d.is_dir()}


def _contents(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield each file below the folder as (path with slashes, content)."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _contents(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_bytes()


def _fingerprint(contents: dict[str, bytes]) -> str:
    digest = hashlib.sha256(_LAYOUT)
    for path, content in contents.items():
        digest.update(f"\0{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _unpack(contents: dict[str, bytes], parent: Path, directory_name: str) -> None:
    """Make ``parent`` and write the task directory into it."""
    with new_directory(parent) as temporary:
        for path, content in contents.items():
            target = temporary / directory_name / path
            if target.suffix == ".ogg":
                target = temporary / directory_name / str(SAMPLE_RATE) / path
                target = target.with_suffix(".wav")
                content = _decoded(content)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _decoded(ogg: bytes) -> bytes:
    """Return an OGG file as a 16-bit wav file; samples beyond full scale are clipped."""
    audio, rate = sf.read(io.BytesIO(ogg), dtype="float32")
    samples = np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
