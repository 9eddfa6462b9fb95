"""The precisions of encoders, and convolutions where a library's own are too coarse or wrong."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The names of an encoder's precisions, as users write them."""

Network = TypeVar("Network", bound=torch.nn.Module)
_CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


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


def cast(network: Network, dtype: torch.dtype) -> Network:
    """Convert a network in place, once; its convolutions in groups stay in float32.

    oneDNN's bfloat16 convolution in groups is wrong on CPUs with AMX: with 8 or 12 channels a group
    and kernels of even width, its result has nothing in common with that of float32 (PyTorch
    2.14.1). Such convolutions are a small part of a network's work.
    """
    grouped = [
        module
        for module in network.modules()
        if dtype != torch.float32 and isinstance(module, _CONVOLUTIONS) and module.groups > 1
    ]
    weights = [copy.deepcopy(module.state_dict()) for module in grouped]
    network.to(dtype)
    for module, exact in zip(grouped, weights, strict=True):
        module.float().load_state_dict(exact)
        module.register_forward_pre_hook(_to_float32)
        module.register_forward_hook(partial(_to_dtype, dtype))
    return network


def _to_float32(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (inputs[0].float(), *inputs[1:])


def _to_dtype(
    dtype: torch.dtype, _: torch.nn.Module, __: Any, output: torch.Tensor
) -> torch.Tensor:
    return output.to(dtype)
