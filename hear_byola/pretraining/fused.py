"""The convolution blocks of an encoder in training on a CPU, where memory bandwidth is the limit.

A block is convolution, BatchNorm, ReLU and max-pool. ReLU and max-pool commute, so ReLU works on a
quarter of the values. The first block has the largest arrays, and is one function that never
stores them:

- Its input has one channel and no gradient, so the batch statistics of its convolution are a
  quadratic form of the moments of input patches. BatchNorm is folded into the kernel before the
  convolution.
- The four places that a pool compares depend on a 4x4 patch of the input. So convolution and pool
  are a product of patches with four shifted kernels, and a maximum over the four. They are computed
  for a few clips at a time, in the cache.

Results and gradients equal those of separate layers up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hear_byola.encoder import CHANNELS, Encoder
from hear_byola.pretraining.distributed import Norm, mean_over_ranks, ranks, track

_PIECE_BYTES = 4  # clips in a piece times bytes of a number; a clip has 0.4 million products
_PLACES = [(row, column) for row in (0, 1) for column in (0, 1)]
_OVER_PLACES = ([4, 1], [4, 1], [0, 0], [1, 1], False)  # a pool over (places, 1)


def local_features(encoder: Encoder, mel: Tensor) -> Tensor:
    """Return the same as `Encoder.local_features` in training mode, without a gradient for `mel`.

    Args:
        encoder: an encoder in training mode on the CPU.
        mel: (batch, 1, bands, frames), both even, of the encoder's floating-point type.
    """
    first, *others = encoder.convolutions()
    x = _first_block(*first, mel)
    for conv, norm in others:
        x = nn.functional.max_pool2d(norm(conv(x)), 2).relu_()
    return x.permute(0, 3, 2, 1).flatten(2)


def _first_block(conv: nn.Conv2d, norm: Norm, mel: Tensor) -> Tensor:
    padded = nn.functional.pad(mel[:, 0], (1, 1, 1, 1))
    with torch.autocast("cpu", enabled=False):
        patch_mean, patch_covariance, count = _patch_moments(padded)
        kernel = conv.weight.flatten(1)
        mean = kernel @ patch_mean
        variance = ((kernel @ patch_covariance) * kernel).sum(1)
        assert conv.bias is not None
        track(norm, (mean + conv.bias).detach(), variance.detach(), count)
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        folded = conv.weight[:, 0] * scale[:, None, None]
        shifted = torch.stack(
            [nn.functional.pad(folded, (c, 1 - c, r, 1 - r)) for r, c in _PLACES]
        ).flatten(0, 1)
        bias = norm.bias - mean * scale
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else mel.dtype
    return _ConvolutionPool.apply(padded.to(dtype), shifted.flatten(1).to(dtype), bias)


def _patch_moments(padded: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean (9,), covariance (9, 9) and number of all 3x3 patches of padded inputs."""
    patches = _patches(padded)
    count = len(patches)
    means = mean_over_ranks(patches.mean(0))
    patches -= means
    covariances = mean_over_ranks(patches.T @ patches / count)
    # Each 3x3 patch lies at one of four places in one 4x4 patch.
    taps = torch.arange(16).view(4, 4)
    inside = torch.stack([taps[r : r + 3, c : c + 3].flatten() for r, c in _PLACES])
    mean = means[inside].mean(0)
    rest = means[inside] - mean
    within = covariances[inside[:, :, None], inside[:, None, :]].mean(0)
    return mean, within + rest.T @ rest / len(_PLACES), count * len(_PLACES) * ranks()


def _patches(padded: Tensor) -> Tensor:
    """Return every second 4x4 patch of (batch, rows + 2, columns + 2), in both directions.

    Returns:
        (batch * rows / 2 * columns / 2, 16), a copy.
    """
    return padded.unfold(1, 4, 2).unfold(2, 4, 2).reshape(-1, 16)


def _pieces(x: Tensor) -> list[slice]:
    """Return slices of a batch for whose products the cache has room."""
    size = max(1, _PIECE_BYTES // x.element_size())
    return [slice(begin, begin + size) for begin in range(0, len(x), size)]


def _over_channels(z: Tensor) -> Tensor:
    """Return (n, channels, places, 1), channels last, of (n, places * channels)."""
    return z.view(len(z), -1, 1, CHANNELS).permute(0, 3, 1, 2)


class _ConvolutionPool(torch.autograd.Function):
    """Convolution with one input channel, 2x2 max-pool, bias and ReLU.

    Args of `apply`:
        padded: (batch, rows + 2, columns + 2).
        kernel: the kernel at the four places in a 4x4 patch, (4 * 64, 16).
        bias: (64,).

    Returns:
        (batch, 64, rows / 2, columns / 2), channels last.
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        batch, rows, columns = padded.shape
        y = padded.new_empty(batch, (rows - 2) // 2, (columns - 2) // 2, CHANNELS)
        places = torch.empty_like(y, dtype=torch.uint8)  # PyTorch's own have eight bytes
        bias = bias.to(y.dtype)
        for piece in _pieces(y):
            z = _over_channels(_patches(padded[piece]) @ kernel.T)
            best, place = torch.ops.aten.max_pool2d_with_indices(z, *_OVER_PLACES)
            places[piece] = place.view_as(y[piece])
            torch.add(best.view_as(y[piece]), bias, out=y[piece]).relu_()
        ctx.save_for_backward(padded, places, y)
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:
        padded, places, y = ctx.saved_tensors
        gradient = gradient.permute(0, 2, 3, 1)
        exact = torch.promote_types(y.dtype, torch.float32)
        products = y.new_zeros(4 * CHANNELS, 16, dtype=exact)
        bias = y.new_zeros(CHANNELS, dtype=exact)
        for piece in _pieces(y):
            passed = torch.ops.aten.threshold_backward(gradient[piece], y[piece], 0)
            passed = passed.reshape(-1, CHANNELS)
            bias += passed.sum(0, dtype=exact)
            place = places[piece].reshape(-1, CHANNELS)
            # A mask for each place would need four comparisons, which are slow. Products with the
            # place's row and column need none; the places follow from the sums below.
            row, column = (place >> 1).to(y.dtype), (place & 1).to(y.dtype)
            parts = passed.new_empty(len(passed), 4, CHANNELS)
            parts[:, 0] = passed
            torch.mul(passed, row, out=parts[:, 1])
            torch.mul(passed, column, out=parts[:, 2])
            torch.mul(parts[:, 1], column, out=parts[:, 3])
            products += parts.flatten(1).T @ _patches(padded[piece])
        whole, lower, right, last = products.view(4, CHANNELS, 16)
        kernel = torch.cat([whole - lower - right + last, right - last, lower - last, last])
        return None, kernel.to(y.dtype), bias
