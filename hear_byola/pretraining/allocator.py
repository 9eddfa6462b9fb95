"""Keep the C library from giving the memory of activations back after every step."""

from __future__ import annotations

import ctypes
import platform

# mallopt(3): the parameters and their names in malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Let glibc reuse freed blocks of any size instead of mapping fresh, zeroed pages each time.

    By default it maps blocks from some megabytes on anew, and a step on a CPU then waits for page
    faults. For the whole process, and not undone. Only glibc knows these settings.

    Returns:
        Whether they were made.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(
        library.mallopt(_M_MMAP_THRESHOLD, 1 << 30) and library.mallopt(_M_TRIM_THRESHOLD, _LARGEST)
    )
