"""Find the recordings that a table names, read their headers, and decode them."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.core.errors import UserError, did_you_mean
from harness.core.files import FileState, cache_folder, file_state
from harness.core.hashing import content_sha256
from harness.core.progress import Countdown, Pace
from harness.core.spelling import composed
from tasks.audio import (
    MAX_SECONDS,
    BadAudio,
    ContentHashes,
    check_end,
    open_sound,
    read_frames,
)
from tasks.make.faults import Faults
from tasks.make.labels import Labelled

_THREADS = 8
_SAVE_EVERY = 20.0
_SLACK_MS = 1.0  # an event may end this much after the recording, because its time is rounded
_MARGIN_SECONDS = 0.1  # read in addition, so that resampling has no edge effect inside the clip


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to be read. Its ``repr`` depends only on its content, not on its path or time.

    Attributes:
        path: absolute path.
        state: state of the file when its header was read.
        sha256: SHA-256 of its content.
        seconds: length of the part that is read; None for all.
    """

    path: str = field(repr=False)
    state: FileState = field(repr=False)
    sha256: str
    seconds: float | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Header:
    """The length in seconds and the sample rate in Hz of a recording."""

    recording: Recording
    seconds: float
    rate: int


def read_recording(source: object) -> tuple[np.ndarray, int]:
    """Decode a :class:`Recording`: float32 (frames,) or (frames, channels), and the rate in Hz.

    Raises:
        UserError: it changed after its header was read, cannot be decoded, or is truncated.
        OSError: it does not exist.
    """
    assert isinstance(source, Recording)
    _refuse_changed(source)
    path = Path(source.path)
    try:
        with open_sound(path) as sound:
            frames = -1
            if source.seconds is not None:
                frames = round((source.seconds + _MARGIN_SECONDS) * sound.samplerate)
            audio, rate = read_frames(path, sound, 0, frames), sound.samplerate
    except BadAudio as error:
        raise UserError(f"{path} {error.reason}") from error
    _refuse_changed(source)
    return audio, rate


def _refuse_changed(source: Recording) -> None:
    if file_state(source.path) != source.state:
        raise UserError(f"{source.path} changed while the task was being made. Run again.")


def look_into(
    folder: Path,
    labelled: Sequence[Labelled],
    seconds: float | None,
    faults: Faults,
    say: Callable[[str], None],
) -> tuple[dict[str, Header], list[tuple[Labelled, str]]]:
    """Return the headers of recordings by file name, and the unreadable recordings with the reason.

    Args:
        folder: folder of the recordings.
        labelled: the recordings of the table.
        seconds: length of the part that is kept; None for all.
        faults: collects, by line, events after the end of their recording and recordings that are
            too long for HEAR's models.
        say: called with the progress.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Name the folder of the table's files.")
    headers, bad, absent = {}, [], []
    for one, header in zip(labelled, _look_at_all(folder, labelled, seconds, say), strict=True):
        if isinstance(header, Header):
            headers[one.file] = header
            for line, fault in _misfits(one, header, seconds):
                faults.add(line, fault)
        elif header:
            bad.append((one, f"'{one.file}' {header}"))
        else:
            absent.append(one)
    for one in absent:
        near = _near(folder, one.file) if len(absent) < 100 else ""
        bad.append((one, f"there is no '{one.file}' in {folder}.{near}"))
    return headers, bad


def _look_at_all(
    folder: Path, labelled: Sequence[Labelled], seconds: float | None, say: Callable[[str], None]
) -> list[Header | str]:
    """Read the header of each recording; computed hashes are stored, also at an interrupt."""
    key = content_sha256(os.fsencode(folder.resolve()))[:16]
    hashes = ContentHashes(cache_folder() / "recordings" / f"{key}.json")
    countdown = Countdown(len(labelled), say, "recordings checked", tell_end=False)
    found, saving = list[Header | str](), Pace(_SAVE_EVERY)
    names = functools.cache(_names)

    def look(one: Labelled) -> Header | str:
        return _look(_find(folder, one.file, names), seconds, hashes)

    with contextlib.ExitStack() as at_end:
        at_end.callback(_save, hashes)
        pool = ThreadPoolExecutor(_THREADS)
        at_end.callback(pool.shutdown, cancel_futures=True)
        for header in pool.map(look, labelled):
            found.append(header)
            countdown.advance()
            if saving.due():
                _save(hashes)
    return found


def _save(hashes: ContentHashes) -> None:
    with contextlib.suppress(OSError):  # without stored hashes, files are only hashed again
        hashes.save()


def _find(folder: Path, file: str, names: Callable[[Path], Mapping[str, list[str]]]) -> Path:
    """Return the path of a file of the table, whatever the Unicode form of its name on disk.

    Names that macOS wrote or packed have another form. A file that does not exist, or exists in
    several other forms, is returned as the table spells it.
    """
    here = folder
    for part in file.split("/"):
        if not part.isascii() and not os.path.exists(here / part):
            alike = names(here).get(composed(part), ())
            part = alike[0] if len(alike) == 1 else part
        here /= part
    return here


def _names(folder: Path) -> Mapping[str, list[str]]:
    """Return the names in a folder by their composed Unicode form."""
    names: dict[str, list[str]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            names.setdefault(composed(name), []).append(name)
    return names


def _look(path: Path, seconds: float | None, hashes: ContentHashes) -> Header | str:
    """Return a recording's header, or the reason why it is unreadable: "" if it is missing."""
    try:
        state = file_state(path)
        with open_sound(path) as sound:
            if sound.frames == 0:
                return "is empty: it contains no sample."
            check_end(path, sound)
            length, rate = sound.frames, sound.samplerate
        sha256 = hashes.sha256(path)
    except FileNotFoundError:
        return ""
    except BadAudio as error:
        return error.reason
    except OSError as error:
        return f"cannot be read ({error.strerror})."
    recording = Recording(str(path.resolve()), state, sha256, seconds)
    return Header(recording, length / rate, rate)


def _misfits(one: Labelled, header: Header, seconds: float | None) -> Iterator[tuple[int, str]]:
    if seconds is None and header.seconds > MAX_SECONDS:
        yield (
            one.line,
            f"'{one.file}' is {header.seconds:.1f} s long, but HEAR's models take at most "
            f"{MAX_SECONDS:g} s: cut it, or give --seconds.",
        )
    for event, line in zip(one.events, one.event_lines, strict=True):
        if event.end > header.seconds * 1000 + _SLACK_MS:
            yield (
                line,
                f"the event '{event.label}' ends at {event.end / 1000:g} s, but '{one.file}' at "
                f"{header.seconds:g} s: times must be seconds from the start of the recording.",
            )


def _near(folder: Path, file: str) -> str:
    """Return a hint with the file of the same folder whose name is nearest, or ""."""
    parent = (folder / file).parent
    if not parent.is_dir():
        return f" There is no folder {parent}."
    beside = [path.relative_to(folder).as_posix() for path in parent.iterdir() if path.is_file()]
    return did_you_mean(file, beside)
