"""The arithmetic of convolutions on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision_convolutions() -> Iterator[None]:
    """Convolve in float32 on CUDA, where cuDNN rounds to TF32 unless told otherwise.

    TF32 keeps 10 bits of the mantissa, and whether it is used depends on the algorithm chosen for
    a batch size, so that a clip's embedding could change in the third digit with its mates. The
    setting is put back on the way out.
    """
    # The setting per operation came with PyTorch 2.9, and the older one must not be mixed with it.
    per_operation = getattr(torch.backends.cudnn, "conv", None)
    owner = per_operation or torch.backends.cudnn
    name, value = ("fp32_precision", "ieee") if per_operation else ("allow_tf32", False)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
