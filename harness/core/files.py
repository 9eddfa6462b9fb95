"""Files that are either whole or absent, and what shows that a file has not changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import UserError
from hear_byola.core.filestate import FileState, file_state

__all__ = ["FileState", "cache_folder", "expand_home", "file_state", "new_directory", "write_file"]


def expand_home(path: str | Path) -> str:
    """Return a path with a leading ``~`` or ``~user`` replaced by the home folder.

    A shell does this only at the beginning of a word, and nobody does it in a config.

    Raises:
        UserError: there is no such user.
    """
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise UserError(
            f"{path}: there is no home folder {expanded.partition('/')[0]}. Write ./{path} for a "
            "file or folder of this name."
        )
    return expanded


def write_file(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` in one step; a reader sees the old file or the new one.

    Raises:
        OSError: with ``path`` as its file name.
    """
    with _called(path):
        _write_file(path, content)


def _write_file(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def new_directory(final: Path) -> Iterator[Path]:
    """Yield a temporary directory that becomes ``final`` when the block ends without an error.

    When another process has made ``final`` meanwhile, its directory stays and ours is dropped:
    a directory is named by what it was made from, so both hold the same.

    Raises:
        OSError: with ``final`` as its file name, where it names none or a temporary one.
    """
    with _called(final), _new_directory(final) as temporary:
        yield temporary


@contextlib.contextmanager
def _new_directory(final: Path) -> Iterator[Path]:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        for path in temporary.rglob("*"):
            _sync(path)
        _sync(temporary)
        try:
            temporary.rename(final)
        except OSError:
            if not final.is_dir():
                raise
        _sync(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _called(path: Path) -> Iterator[None]:
    """Name the file of an error by its own name, not by the hidden one it was written under."""
    try:
        yield
    except OSError as error:
        hidden = f".{path.name}."
        if error.errno and hidden in str(error.filename or hidden):
            error.filename, error.filename2 = str(path), None
        raise


def cache_folder() -> Path:
    """Where what can be made again is kept between commands.

    ``$HEAR_BYOLA_CACHE``, else ``$XDG_CACHE_HOME/hear-byola``, else ``~/.cache/hear-byola``.
    """
    if named := os.environ.get("HEAR_BYOLA_CACHE"):
        return Path(expand_home(named))
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hear-byola"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    # The temporary names of tempfile are private; what is renamed into place gets usual rights.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
