"""Fused convolution blocks for training on a CPU, where memory bandwidth is the limit.

A block is convolution, BatchNorm, ReLU and max-pool. As separate layers, each reads and writes
arrays of tens of megabytes. Here a block makes one pass, in pieces that fit the cache:

- Normalisation and ReLU are monotonic once the sign of BatchNorm's weight is moved into the
  convolution. So they can follow the pool, on a quarter of the values.
- The first block's input has one channel and no gradient, so the batch statistics of its output are
  a quadratic form of the moments of 3x3 patches. BatchNorm is folded into the kernel before the
  convolution, whose full output is never stored.

Results and gradients equal those of separate layers up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hear_byola.encoder import CHANNELS, Encoder
from hear_byola.pretraining.distributed import Norm, mean_over_ranks, ranks, sum_over_ranks, track

_PIECE = 4  # clips in a piece; a clip's first convolution gives 1.5 MB
_POOL = ([2, 2], [2, 2], [0, 0], [1, 1], False)  # kernel, stride, padding, dilation, ceil_mode


def local_features(encoder: Encoder, mel: Tensor) -> Tensor:
    """Return the same as `Encoder.local_features` in training mode, without a gradient for `mel`.

    Args:
        encoder: an encoder in training mode on the CPU.
        mel: (batch, 1, bands, frames), both even, of the encoder's floating-point type.
    """
    first, *others = _layers(encoder)
    x = _first_block(*first, mel)
    for conv, norm in others:
        x = _block(conv, norm, x)
    return x.permute(0, 3, 2, 1).flatten(2)


def _layers(encoder: Encoder) -> Iterator[tuple[nn.Conv2d, Norm]]:
    """Yield convolution and BatchNorm of each block."""
    layers = list(encoder.features)
    for conv, norm in zip(layers[::4], layers[1::4]):
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, Norm)
        yield conv, norm


def _first_block(conv: nn.Conv2d, norm: Norm, mel: Tensor) -> Tensor:
    padded = nn.functional.pad(mel[:, 0], (1, 1, 1, 1))
    patch_mean, patch_covariance, count = _patch_moments(padded)
    kernel = conv.weight.flatten(1)
    mean = kernel @ patch_mean
    variance = ((kernel @ patch_covariance) * kernel).sum(1)
    _track(norm, mean + _bias(conv), variance, count)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return _FoldedBlock.apply(padded, kernel * scale[:, None], norm.bias - mean * scale)


def _patch_moments(padded: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean (9,), covariance (9, 9) and number of all 3x3 patches of padded inputs."""
    patches = _patches(padded)
    count = len(patches)
    mean = mean_over_ranks(patches.mean(0))
    patches -= mean
    return mean, mean_over_ranks(patches.T @ patches / count), count * ranks()


def _patches(padded: Tensor) -> Tensor:
    """Return all 3x3 patches of (batch, rows + 2, columns + 2): (batch * rows * columns, 9)."""
    return padded.unfold(1, 3, 1).unfold(2, 3, 1).reshape(-1, 9)


def _block(conv: nn.Conv2d, norm: Norm, x: Tensor) -> Tensor:
    # Normalisation cancels the convolution's bias, so it is left out.
    sign = torch.where(norm.weight < 0, -1.0, 1.0)
    z = nn.functional.conv2d(x, conv.weight * sign[:, None, None, None], padding=1)
    y, mean, variance = _NormReluPool.apply(z, norm.weight.abs(), norm.bias, norm.eps)
    _track(norm, mean * sign + _bias(conv), variance, z.numel() // CHANNELS * ranks())
    return y


def _track(norm: Norm, mean: Tensor, variance: Tensor, count: int) -> None:
    track(norm, mean.detach(), variance.detach(), count)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _pieces(batch: int) -> list[slice]:
    return [slice(begin, begin + _PIECE) for begin in range(0, batch, _PIECE)]


def _unpool(gradient: Tensor, like: Tensor, places: Tensor) -> Tensor:
    """Return the gradient of the input of the pool."""
    return torch.ops.aten.max_pool2d_with_indices_backward(gradient, like, *_POOL, places)


class _FoldedBlock(torch.autograd.Function):
    """Convolution with one input channel, max-pool, ReLU: (batch, 64, rows / 2, columns / 2)."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        # With this layout of one channel, the convolution uses its channels-last kernel.
        x = padded[..., None].permute(0, 3, 1, 2)
        weight = kernel.view(-1, 3, 3, 1).permute(0, 3, 1, 2)
        pooled, places = [], []
        for piece in _pieces(len(padded)):
            z = nn.functional.conv2d(x[piece], weight, bias)
            best, place = torch.ops.aten.max_pool2d_with_indices(z, *_POOL)
            pooled.append(best)
            places.append(place)
        y = torch.cat(pooled).relu_()
        ctx.save_for_backward(padded, torch.cat(places), y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:
        padded, places, y = ctx.saved_tensors
        kernel, bias = gradient.new_zeros(CHANNELS, 9), gradient.new_zeros(CHANNELS)
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        rows, columns = padded.shape[1] - 2, padded.shape[2] - 2
        for piece in _pieces(len(y)):
            shape = (len(y[piece]), CHANNELS, rows, columns)
            like = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last)
            dense = _unpool(gradient[piece], like, places[piece]).permute(0, 2, 3, 1)
            dense = dense.reshape(-1, CHANNELS)
            kernel.addmm_(dense.T, _patches(padded[piece]))
            bias += dense.sum(0)
        return None, kernel, bias


class _NormReluPool(torch.autograd.Function):
    """BatchNorm with weights that are not negative, ReLU and max-pool, over all processes."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        total, squares = z.new_zeros(CHANNELS), z.new_zeros(CHANNELS)
        pooled, places = [], []
        for piece in _pieces(len(z)):
            flat = z[piece].permute(0, 2, 3, 1).reshape(-1, CHANNELS)
            total += flat.sum(0)
            squares += flat.square().sum(0)
            best, place = torch.ops.aten.max_pool2d_with_indices(z[piece], *_POOL)
            pooled.append(best)
            places.append(place)
        count = z.numel() // CHANNELS * ranks()
        mean = sum_over_ranks(total) / count
        variance = (sum_over_ranks(squares) / count - mean.square()).clamp(min=0)
        deviation = torch.rsqrt(variance + eps)
        scale = weight * deviation
        best = torch.cat(pooled)
        y = torch.addcmul(_per_channel(bias - mean * scale), best, _per_channel(scale)).relu_()
        ctx.save_for_backward(z, best, torch.cat(places), y, mean, deviation, scale)
        ctx.count = count
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        z, best, places, y, mean, deviation, scale = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        bias = gradient.sum((0, 2, 3))
        weight = ((gradient * best).sum((0, 2, 3)) - mean * bias) * deviation
        # The gradient through the batch statistics is linear in z for each channel.
        slope = -scale * deviation * sum_over_ranks(weight) / ctx.count
        offset = -scale * sum_over_ranks(bias) / ctx.count - slope * mean
        gradient = gradient * _per_channel(scale)
        result = torch.empty_like(z)
        for piece in _pieces(len(z)):
            line = torch.addcmul(_per_channel(offset), z[piece], _per_channel(slope))
            torch.add(line, _unpool(gradient[piece], z[piece], places[piece]), out=result[piece])
        return result, weight, bias, None


def _per_channel(x: Tensor) -> Tensor:
    return x.view(1, -1, 1, 1)
