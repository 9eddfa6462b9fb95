"""The encoders as they run without gradients: the same function in fewer and faster operations.

Embeddings equal those of the plain module up to rounding (1e-5 of the largest value):

- BatchNorm is folded into the convolution before it.
- ReLU follows the max-pool, on a quarter of the values. The two commute.
- In memory, the channel is the fastest dimension, then mel, then time. Convolutions and pools on a
  CPU are fastest in this order, and flattening for the perceptron copies nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad

if TYPE_CHECKING:
    from hear_byola.encoder import BatchNorm, Encoder

# One freed block of this size makes glibc keep freed memory up to twice the size. Otherwise the
# spectrograms and activations of clips of a few seconds are mapped anew at each call, and page
# faults take a fifth of the time. It adapts to no block over 32 MiB.
_ADAPT_BYTES = 31 << 20

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
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
        precision: a value of `PRECISIONS`.
        emulated: round the results of float32 arithmetic; by default where the device needs it.
    """

    def __init__(
        self, encoder: Encoder, precision: torch.dtype, emulated: bool | None = None
    ) -> None:
        weight = next(encoder.fc.parameters())
        if emulated is None:
            emulated = not has_arithmetic(precision, weight.device)
        self._encoder = encoder
        self._layers = list(encoder.convolutions())
        self._half = precision != torch.float32
        self._emulated = self._half and emulated
        self._precision = precision if self._half else weight.dtype
        self._arithmetic = weight.dtype if self._emulated else self._precision
        self._folded = [tensor.detach().clone() for tensor in self._sources()]
        self._copied = _versions(encoder.fc.parameters())
        self._kernels = [self._kernel(*layers) for layers in self._layers]
        self._perceptron = self._rounded_perceptron() if self._half else encoder.fc
        if weight.device.type == "cpu":
            torch.empty(_ADAPT_BYTES, dtype=torch.uint8)

    def is_current(self) -> bool:
        """Return whether the encoder still has the weights that this form was built from.

        Folded weights are compared by value, so that no way of writing to them is missed. In
        float32 the perceptron is not copied. In half precision it is, and is too large to compare
        at every call: the versions are compared that PyTorch counts for each tensor.
        """
        if self._half and _versions(self._encoder.fc.parameters()) != self._copied:
            return False
        return all(
            now.device == then.device and torch.equal(now, then)
            for now, then in zip(self._sources(), self._folded, strict=True)
        )

    def __call__(self, mel: Tensor, stride: int | None = None) -> Tensor:
        """As `Encoder.forward`, without gradients.

        Args:
            mel: normalised log-mel (batch, 1, MEL_BANDS, frames); frames >= `window`.
            stride: see `Encoder.local_features`.

        Returns:
            (batch, n, d), in mel's type.
        """
        local = self.local_features(mel, stride)
        out = local
        for layer in self._perceptron:
            out = layer(out)
            if isinstance(layer, nn.ReLU):
                out = self._rounded(out)
        return self._encoder.joined(local, out).to(mel.dtype)

    def local_features(self, mel: Tensor, stride: int | None = None) -> Tensor:
        """As `Encoder.local_features`, in the type that the form computes in."""
        steps = self._encoder.pool_steps(stride)
        frames = self._rounded(mel[:, 0].mT.to(self._arithmetic))
        x = self._first_block(frames, steps[0])
        dilation = 3 - steps[0]
        for (weight, bias), step in zip(self._kernels[1:], steps[1:], strict=True):
            spread = (dilation, 1)
            x = conv2d(x, weight, bias, padding=spread, dilation=spread)
            x = self._pooled(x, step, dilation)
            dilation *= 3 - step
        return x.permute(0, 2, 3, 1).flatten(2)

    def _first_block(self, mel: Tensor, step: int) -> Tensor:
        """Apply the first block to (batch, frames, MEL_BANDS).

        PyTorch leaves a small convolution of a single image to a kernel that is half as fast. So a
        single clip is divided into two images, whose ends overlap by what the convolution sees.
        """
        clips, frames = mel.shape[:2]
        divided = clips == 1 and step == 2
        part = (frames // 2 + 1) // 2 * 2 if divided else frames
        mel = pad(mel, (1, 1, 1, max(1, 2 * part + 1 - frames) if divided else 1))
        if divided:
            mel = torch.cat([mel[:, : part + 2], mel[:, part : 2 * part + 2]])
        x = conv2d(mel[..., None].permute(0, 3, 1, 2), *self._kernels[0])
        x = self._pooled(x, step, 1)
        if divided:
            whole = x.permute(0, 2, 3, 1).flatten(0, 1)[None, : frames // 2]
            x = whole.permute(0, 3, 1, 2)
        return x

    def _pooled(self, x: Tensor, step: int, dilation: int) -> Tensor:
        x = max_pool2d(x, 2, stride=(step, 2), dilation=(dilation, 1))
        return self._rounded(x.relu_())

    def _rounded(self, x: Tensor) -> Tensor:
        return x.to(self._precision).to(self._arithmetic) if self._emulated else x

    def _sources(self) -> Iterator[Tensor]:
        """Yield the tensors that are folded."""
        for layers in self._layers:
            yield from _sources_of(*layers)

    def _kernel(self, conv: nn.Conv2d, norm: BatchNorm) -> tuple[Tensor, Tensor]:
        """Return the folded kernel (out, in, time, mel), channels last, and the folded bias."""
        tensors = (tensor.detach().double() for tensor in _sources_of(conv, norm))
        weight, bias, scale, shift, mean, variance = tensors
        scale = scale / (variance + norm.eps).sqrt()
        kernel = (weight * scale[:, None, None, None]).permute(0, 3, 2, 1).contiguous()
        # Permuted, not converted: with one input channel, PyTorch tells the layout by the strides.
        return self._cast(kernel.permute(0, 3, 1, 2)), self._cast((bias - mean) * scale + shift)

    def _rounded_perceptron(self) -> nn.Sequential:
        perceptron = copy.deepcopy(self._encoder.fc).requires_grad_(False)
        for parameter in perceptron.parameters():
            parameter.data = self._cast(parameter.data)
        return perceptron

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._precision).to(self._arithmetic)


def _sources_of(conv: nn.Conv2d, norm: BatchNorm) -> tuple[Tensor, ...]:
    assert conv.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var


def _versions(tensors: Iterable[Tensor]) -> list[tuple[int, int, int]]:
    """Identify the contents of tensors without reading them. Inference tensors have no version."""
    return [(id(t), t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors]
