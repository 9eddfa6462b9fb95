"""A folder that one process at a time works in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import UserError
from harness.core.locks import lock


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which is made where it is not, for the length of the block.

    The claim is a lock of the operating system on a file in the folder, so it ends with the
    process, however that ends. The holder may remove the folder.

    Raises:
        UserError: another process holds it.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # its holder has just removed the folder
            continue
        try:
            if not lock(handle):
                raise UserError(
                    f"Another process is fetching this task into {folder.parent}: wait for it."
                )
            if _is_there(handle, folder / "lock"):
                yield
                return
        finally:
            os.close(handle)


def _is_there(handle: int, path: Path) -> bool:
    """Whether the locked file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
