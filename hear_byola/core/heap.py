"""Make the C library keep freed memory, instead of returning it to the system at each call."""

from __future__ import annotations

# glibc adapts to no block over 32 MiB.
_BYTES = 31 << 20


def keep_freed_memory() -> None:
    """Free one large block, after which glibc keeps freed memory up to twice its size.

    Otherwise the spectrograms and activations of clips of a few seconds are mapped anew at each
    call, and page faults take a fifth of the time. Other C libraries ignore it.
    """
    bytearray(_BYTES)
