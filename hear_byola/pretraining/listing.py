"""List the audio files of a folder, a list or a shard, without opening them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from hear_byola.core.errors import UserError
from hear_byola.pretraining.shards import COMPRESSED_REASON, is_compressed
from hear_byola.pretraining.sound import EXTENSIONS

SHARD = ".tar"


@dataclass(frozen=True)
class Listing:
    """Files to read.

    Attributes:
        root: folder that the names are relative to.
        names: audio files and shards.
        kinds: kind of each name; None if :func:`kind_of` determines it.
        weights: weight of each name.
    """

    root: Path
    names: list[str]
    kinds: list[str | None]
    weights: list[float]


def kind_of(name: str, member: str = "") -> str:
    """Return the first folder of a relative name, else of the name in the shard, else ""."""
    for path in (PurePath(name), PurePath(member)):
        if len(path.parts) > 1 and not path.is_absolute() and path.parts[0] != "..":
            return path.parts[0]
    return ""


def list_source(source: Path) -> Listing:
    """Return the files of a folder, a list or a shard.

    Raises:
        UserError: the source is missing, cannot be read, or contains no audio.
    """
    if is_compressed(source.name):
        raise UserError(f"{source} {COMPRESSED_REASON}")
    if "\0" in str(source):
        raise UserError(f"{str(source)!r} contains a NUL character, which no path has.")
    try:
        if source.is_dir():
            listing = _of_folder(source)
        elif source.suffix.lower() == SHARD:
            listing = Listing(source.parent, [source.name], [None], [1.0])
        elif source.suffix.lower() in EXTENSIONS:
            raise UserError(f"{source} is one sound. Give its folder, or a list of sounds.")
        elif source.suffix.lower() == ".csv":
            listing = _of_table(source)
        else:
            listing = _of_lines(source)
    except FileNotFoundError as error:
        raise UserError(f"{source} is missing. Give a folder, a list or a tar file.") from error
    except OSError as error:
        where = error.filename or source
        raise UserError(f"{where} cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{source} is not a readable list ({error}). Give UTF-8 text with one path a line, or "
            "a .csv file with a column 'path'."
        ) from error
    if not listing.names:
        raise UserError(
            f"{source} names no audio. Audio files end in {', '.join(sorted(EXTENSIONS))}; shards "
            f"of such files end in {SHARD}."
        )
    return listing


def _of_folder(root: Path) -> Listing:
    wanted = {*EXTENSIONS, SHARD}
    names = sorted(
        name
        for name in _walk(root)
        if os.path.splitext(name)[1].lower() in wanted or is_compressed(name)
    )
    return Listing(root, names, [None] * len(names), [1.0] * len(names))


def _at_home(name: str, path: Path, line: int) -> str:
    if "\0" in name:
        raise UserError(f"{path}, line {line}: the path contains a NUL character. Remove it.")
    return os.path.expanduser(name) if name.startswith("~/") else name


def _walk(root: Path) -> Iterator[str]:
    """Yield all files under a folder except hidden ones; linked folders are entered once."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = os.path.relpath(folder, root)
        prefix = "" if inside == os.curdir else inside + os.sep
        yield from (prefix + name for name in files if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise error


def _of_lines(path: Path) -> Listing:
    lines = path.read_text("utf-8-sig").splitlines()
    names = [
        _at_home(line.strip(), path, number)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    return Listing(path.parent, names, [None] * len(names), [1.0] * len(names))


def _of_table(path: Path) -> Listing:
    names: list[str] = []
    kinds: list[str | None] = []
    weights: list[float] = []
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if "path" not in (rows.fieldnames or ()):
            raise UserError(
                f"{path} has no column 'path' in its first line; it has {rows.fieldnames}."
            )
        for row in rows:
            if not row["path"]:
                raise UserError(f"{path}, line {rows.line_num}: the path is empty.")
            names.append(_at_home(row["path"], path, rows.line_num))
            kinds.append(row.get("kind"))
            weights.append(_weight(row.get("weight"), path, rows.line_num))
    return Listing(path.parent, names, kinds, weights)


def _weight(text: str | None, path: Path, line: int) -> float:
    if text is None:
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise UserError(
            f"{path}, line {line}: weight is {text!r}: it must be a number, 0 or more (0 leaves a "
            "clip out)."
        )
    return weight
