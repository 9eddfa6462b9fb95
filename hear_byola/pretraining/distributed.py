"""Compute statistics over the batches of all training processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Norm = nn.modules.batchnorm._BatchNorm


def ranks() -> int:
    """Return the number of training processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """Return the sum over all processes; gradients flow back to every process."""
    return _Sum.apply(x) if ranks() > 1 else x


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


def mean_over_ranks(x: Tensor) -> Tensor:
    """Return the mean over all processes, which have batches of equal size."""
    return sum_over_ranks(x) / ranks()


def from_all_ranks(x: Tensor) -> list[Tensor]:
    """Return the tensors of all processes by rank, without gradients."""
    if ranks() == 1:
        return [x]
    found = [torch.empty_like(x) for _ in range(ranks())]
    dist.all_gather(found, x.detach().contiguous())
    return found


def batch_moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean and population variance of each channel over the batches of all processes.

    Args:
        x: (batch, channels, ...).

    Returns:
        Mean and variance, (channels,), and the number of values behind each.
    """
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    mean = mean_over_ranks(x.mean(axes))
    variance = mean_over_ranks((x - mean.view(shape)).square().mean(axes))
    return mean, variance, ranks() * x.numel() // x.shape[1]


def track(norm: Norm, mean: Tensor, variance: Tensor, count: int) -> None:
    """Update the running statistics of a BatchNorm layer, as the layer does in training."""
    with torch.no_grad():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean.to(norm.running_mean), norm.momentum)
        unbiased = variance * (count / max(count - 1, 1))
        norm.running_var.lerp_(unbiased.to(norm.running_var), norm.momentum)


class BatchNorm(Norm):
    """BatchNorm over the batches of all processes, on a CPU, with the usual state dict.

    PyTorch's SyncBatchNorm does not run there.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"BatchNorm needs (batch, channels, ...), not {tuple(x.shape)}.")

    def forward(self, x: Tensor) -> Tensor:
        """See `torch.nn.BatchNorm2d`."""
        if ranks() == 1 or not self.training:
            return super().forward(x)
        y, mean, variance = _SharedNorm.apply(x, self.weight, self.bias, self.eps)
        track(self, mean, variance, ranks() * x.numel() // x.shape[1])
        return y


class _SharedNorm(torch.autograd.Function):
    """BatchNorm over the batches of all processes, of equal size, in PyTorch's kernels for one.

    Args of `apply`:
        x: (batch, channels, ...).
        weight, bias: (channels,).
        eps: what is added to the variance.

    Returns:
        The normalised batch of this process; mean and population variance, (channels,), of all.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = x.numel() // x.shape[1]
        own = weight.new_zeros(2, len(weight))
        # With a momentum of 1 the running statistics become the batch's. The kernel's results have
        # the type of x, which may be too coarse.
        torch.batch_norm_update_stats(x, own[0], own[1], 1.0)
        own[1] *= (count - 1) / count
        if count == 1:
            own[1] = 0  # it was 0 / 0
        means, variances = torch.stack(from_all_ranks(own), 1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        y = nn.functional.batch_norm(x, mean, variance, weight, bias, eps=eps)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, variance = ctx.saved_tensors
        # As of constant statistics; then the part that goes through the statistics.
        found = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        of_x, of_weight, of_bias = found
        count = ranks() * x.numel() // x.shape[1]
        totals = torch.stack(from_all_ranks(torch.stack([of_weight, of_bias]))).sum(0)
        slope, offset = totals * (weight * torch.rsqrt(variance + ctx.eps) / count)
        through = nn.functional.batch_norm(x, mean, variance, slope, offset, eps=ctx.eps)
        return of_x.sub_(through), of_weight, of_bias, None


def synchronise(module: nn.Module, device: str) -> None:
    """Replace every BatchNorm layer by one over all processes, with the same parameters."""
    for name, child in module.named_children():
        if not isinstance(child, Norm):
            synchronise(child, device)
            continue
        kind = nn.SyncBatchNorm if device == "cuda" else BatchNorm
        layer = kind(child.num_features, child.eps, child.momentum)
        layer.weight, layer.bias = child.weight, child.bias
        for buffer, value in child.named_buffers():
            setattr(layer, buffer, value)
        setattr(module, name, layer)
