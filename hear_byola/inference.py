"""The encoders as they run without gradients: the same function in fewer and faster operations.

Embeddings equal those of the plain module up to rounding (1e-5 of the largest value):

- BatchNorm is folded into the convolution before it.
- ReLU follows the max-pool, on a quarter of the values. The two commute.
- In memory, the channel is the fastest dimension, then mel, then time. Convolutions and pools on a
  CPU are fastest in this order, and flattening for the perceptron copies nothing.
- On a CPU, oneDNN computes all layers, with weights in its own order. PyTorch gives linear layers
  to MKL, which takes twice as long on an AMD processor, and a small convolution of one image to a
  kernel that takes twice as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from hear_byola.core.heap import keep_freed_memory

if TYPE_CHECKING:
    from hear_byola.encoder import BatchNorm, Encoder

# Of every so many rows of the perceptron's weights, one is compared at each call.
_COMPARED_ROWS = 64

# Operators that PyTorch's compiler calls. They are absent where PyTorch has no oneDNN.
_ONEDNN = (
    "_reorder_convolution_weight",
    "_convolution_pointwise",
    "_reorder_linear_weight",
    "_linear_pointwise",
    "_is_mkldnn_bf16_supported",
)
_CPU_BFLOAT16 = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def has_arithmetic(precision: torch.dtype, device: torch.device) -> bool:
    """Return whether a device computes in a precision: every GPU, and a CPU that says so."""
    if device.type != "cpu" or precision not in (torch.bfloat16, torch.float16):
        return True
    return precision == torch.bfloat16 and any(
        getattr(torch.cpu, name, bool)() for name in _CPU_BFLOAT16
    )


class InferenceForm:
    """An encoder in eval mode, folded once, for as long as its weights stay the same.

    In half precision, weights, biases and the output of every layer are rounded to 16 bits, and
    sums are accumulated in 32. A CPU without such arithmetic computes in float32 and rounds at the
    same places: embeddings are the same up to the order of sums, but no faster than in float32.

    Args:
        encoder: in eval mode.
        precision: a value of `hear_byola.core.precision.PRECISIONS`.
        emulated: round the results of float32 arithmetic; by default where the device needs it.
    """

    def __init__(
        self, encoder: Encoder, precision: torch.dtype, emulated: bool | None = None
    ) -> None:
        weight = next(encoder.fc.parameters())
        if emulated is None:
            emulated = not has_arithmetic(precision, weight.device)
        self._encoder = encoder
        self._half = precision != torch.float32
        self._emulated = self._half and emulated
        self._precision = precision if self._half else weight.dtype
        self._arithmetic = weight.dtype if self._emulated else self._precision
        self._convolutions = list(encoder.convolutions())
        self._linears = [layer for layer in encoder.fc if isinstance(layer, nn.Linear)]
        self._folded = [tensor.detach().clone() for tensor in self._compared()]
        self._versions = _versions(encoder.fc.parameters())
        self._blocks = [self._block(*layers) for layers in self._convolutions]
        self._perceptron = [self._layer(each.weight, each.bias) for each in self._linears]
        if weight.device.type == "cpu":
            keep_freed_memory()

    def __reduce__(self) -> tuple:
        """Copy by building again: packed weights cannot be copied."""
        precision = self._precision if self._half else torch.float32
        return type(self), (self._encoder, precision, self._emulated)

    def is_current(self) -> bool:
        """Return whether the encoder still has the weights that this form was built from.

        Folded weights are compared by value, so that no way of writing to them is missed. The
        perceptron is too large for this at every call: some of its rows are compared, and the
        versions that PyTorch counts for each tensor.
        """
        return _versions(self._encoder.fc.parameters()) == self._versions and all(
            now.device == then.device and torch.equal(now, then)
            for now, then in zip(self._compared(), self._folded, strict=True)
        )

    def __call__(self, mel: Tensor, stride: int | None = None) -> Tensor:
        """As `Encoder.forward`, without gradients.

        Args:
            mel: normalised log-mel (batch, 1, MEL_BANDS, frames); frames >= `window`.
            stride: see `Encoder.local_features`.

        Returns:
            (batch, n, d), in mel's type.
        """
        return self.head(self.local_features(mel, stride)).to(mel.dtype)

    def head(self, local: Tensor) -> Tensor:
        """As `Encoder.head`, in the type that the form computes in."""
        out = local
        for layer in self._perceptron:
            out = self._rounded(layer(out).relu_())
        return self._encoder.joined(local, out)

    def local_features(self, mel: Tensor, stride: int | None = None) -> Tensor:
        """As `Encoder.local_features`, in the type that the form computes in."""
        frames = self._rounded(mel[:, 0].mT.to(self._arithmetic)).contiguous()
        # Permuted, as the kernels: with one channel, PyTorch tells the layout by the strides.
        x, dilation = frames[..., None].permute(0, 3, 1, 2), 1
        for block, step in zip(self._blocks, self._encoder.pool_steps(stride), strict=True):
            x = _pooled(block(x, (dilation, 1)), step, dilation)
            x = self._rounded(x.relu_())
            dilation *= 3 - step
        return x.permute(0, 2, 3, 1).flatten(2)

    def _rounded(self, x: Tensor) -> Tensor:
        return x.to(self._precision).to(self._arithmetic) if self._emulated else x

    def _compared(self) -> Iterator[Tensor]:
        """Yield the tensors whose values `is_current` compares."""
        for layers in self._convolutions:
            yield from _sources_of(*layers)
        for layer in self._linears:
            yield layer.weight[::_COMPARED_ROWS]

    def _block(self, conv: nn.Conv2d, norm: BatchNorm) -> _Layer:
        """Return the folded convolution, with a kernel (out, in, time, mel) in channels last."""
        tensors = (tensor.detach().double() for tensor in _sources_of(conv, norm))
        weight, bias, scale, shift, mean, variance = tensors
        scale = scale / (variance + norm.eps).sqrt()
        kernel = (weight * scale[:, None, None, None]).permute(0, 3, 2, 1).contiguous()
        return self._layer(kernel.permute(0, 3, 1, 2), (bias - mean) * scale + shift)

    def _layer(self, weight: Tensor, bias: Tensor) -> _Layer:
        return _Layer(*(self._rounded(t.detach().to(self._arithmetic)) for t in (weight, bias)))


def _pooled(x: Tensor, step: int, dilation: int) -> Tensor:
    """Return the maximum of 2 x 2 values of (batch, channels, time, mel), in channels last.

    PyTorch's own pool takes twice as long on a CPU: it also writes where each maximum was.

    Args:
        x: in channels last.
        step: frames between two outputs.
        dilation: frames between the two that are compared.
    """
    x = x.permute(0, 2, 3, 1)
    stop = x.shape[1] - dilation
    x = torch.maximum(x[:, :stop:step], x[:, dilation::step])
    return torch.maximum(x[:, :, ::2], x[:, :, 1::2]).permute(0, 3, 1, 2)


class _Layer:
    """A linear layer or a convolution whose output has the size of its input."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias
        self._convolves = weight.ndim == 4
        self._packed = _is_onednn(weight)
        if self._packed:
            reorder = torch.ops.mkldnn._reorder_linear_weight
            if self._convolves:
                reorder = torch.ops.mkldnn._reorder_convolution_weight
            self._weight = reorder(weight)

    def __call__(self, x: Tensor, dilation: tuple[int, int] = (1, 1)) -> Tensor:
        weight, bias = self._weight, self._bias
        if not self._convolves:
            if self._packed:
                return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
            return linear(x, weight, bias)
        if self._packed:
            return torch.ops.mkldnn._convolution_pointwise(
                x, weight, bias, dilation, (1, 1), dilation, 1, "none", [], ""
            )
        return conv2d(x, weight, bias, padding=dilation, dilation=dilation)


def _is_onednn(weight: Tensor) -> bool:
    """Return whether oneDNN computes with these weights."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    known = all(hasattr(torch.ops.mkldnn, name) for name in _ONEDNN)
    if weight.dtype == torch.bfloat16:
        return known and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return known and weight.dtype == torch.float32


def _sources_of(conv: nn.Conv2d, norm: BatchNorm) -> tuple[Tensor, ...]:
    assert conv.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var


def _versions(tensors: Iterable[Tensor]) -> list[tuple[int, int, int]]:
    """Identify the contents of tensors without reading them. Inference tensors have no version."""
    return [(id(t), t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors]
