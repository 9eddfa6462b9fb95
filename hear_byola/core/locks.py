"""Exclusive claims on files and folders, which end with the process that holds them.

They are locks of the operating system, which some network file systems lack.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def claimed(place: Path, *, wait: float = 0.0) -> Iterator[bool]:
    """Claim a file or folder for the length of the block; yield False if another process holds it.

    The claim is a lock of the operating system on ``<place>.lock``, a hidden file beside the place,
    which need not exist. On a file system without locks the claim always succeeds.

    Args:
        place: the file or folder. Its parent folder is made if it does not exist.
        wait: seconds to wait until no other process holds it; infinite: without end.

    Raises:
        OSError: the lock file cannot be made; the error names its folder.
    """
    from filelock import FileLock, Timeout

    path = place.with_name(f".{place.name.lstrip('.')}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if math.isinf(wait) else wait)
    except Timeout:
        yield False
        return
    except FileExistsError:  # raised by filelock when it makes the folder
        why = os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, why, str(place.parent)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            error.filename = str(place.parent)
            raise
    try:
        yield True
    finally:
        # Remove the file before the release: filelock retries if it has locked a removed file.
        path.unlink(missing_ok=True)
        lock.release()
