"""Prevent the C library from returning the memory of activations after every step."""

from __future__ import annotations

import ctypes
import platform

# Parameters of mallopt(3), from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Make glibc reuse freed blocks of any size.

    By default it maps new pages for blocks of some megabytes, and a step on a CPU waits for page
    faults. The setting applies to the whole process and is not undone. Only glibc has it.

    Returns:
        Whether the setting was made.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(
        library.mallopt(_M_MMAP_THRESHOLD, 1 << 30) and library.mallopt(_M_TRIM_THRESHOLD, _LARGEST)
    )
