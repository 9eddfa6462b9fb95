"""Write files that are complete under their name or absent."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from hear_byola.core.owner import temporary_beside


@contextlib.contextmanager
def replacing(path: Path, *, one_writer: bool = True, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path; its file is renamed to `path` if the block succeeds.

    Args:
        path: its folder is made if it does not exist.
        one_writer: only one process writes `path` at a time. The temporary name then depends on
            `path` alone, so the file of a killed process is overwritten. Otherwise every writer
            has a temporary file of its own.
        sync: wait until the content is on the disk, so that a power cut cannot leave an empty
            file. False is for many files that are synced together later.

    Raises:
        OSError: the file could not be written, or `path` is a device or a pipe; what is at `path`
            is unchanged. The error names `path`, not the temporary file.
    """
    temporary = path.with_name(f".{path.name}.part") if one_writer else temporary_beside(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        # A rename would put a file in the place of the device or pipe, for all programs.
        raise FileExistsError(errno.EEXIST, "A device or a pipe is there", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        usual = temporary.stat().st_mode
        yield temporary
        temporary.chmod(usual)  # safetensors makes files that only their owner may read
        if sync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno and error.filename in (None, temporary, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):  # it must not replace the error of the block
            temporary.unlink(missing_ok=True)
