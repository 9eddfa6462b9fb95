"""The layers of the MLP probes, with gradients written out.

They need no autograd graph: a step is a few products (:func:`product`) and the kernels of torch's
own layers.
"""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

INITIALIZATIONS: Mapping[str, Callable[..., Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
}
# torch's defaults of BatchNorm
_MOMENTUM, _EPSILON = 0.1, 1e-5


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a @ b.T + bias, for a (m, k), b (n, k) and bias (n,); all may be transposed views.

    In float32 on x86 CPUs it is computed by oneDNN if they have AVX-512, and by numpy's BLAS
    (OpenBLAS) if not. torch's own products there use MKL. On processors of AMD, MKL leaves out
    AVX-512 and takes twice as long as oneDNN. Without AVX-512, oneDNN copies transposed operands;
    an MLP's epoch takes 1.06 to 1.37 times as long as with OpenBLAS (AMD Zen 3).
    """
    if a.dtype == torch.float32 and a.device.type == "cpu" and _is_x86():
        if _has_avx512():
            return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
        # torch's memory is aligned, so that the bits of what follows depend on no address.
        y = torch.empty(len(a), len(b))
        with np.errstate(all="ignore"):  # a training that diverges is judged, not warned of
            np.matmul(a.numpy(), b.numpy().T, out=y.numpy())
        return y if bias is None else y.add_(bias)
    return functional.linear(a, b, bias)


@functools.cache
def _is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


@functools.cache
def _has_avx512() -> bool:
    """Return whether torch computes with AVX-512, and has oneDNN."""
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@dataclass(frozen=True)
class Linear:
    """A layer: ``weight`` (outputs, inputs) and ``bias`` (outputs,)."""

    weight: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (n, outputs) of x (n, inputs)."""
        return product(x, self.weight, self.bias)

    def gradients(self, x: Tensor, by_output: Tensor) -> list[Tensor]:
        """Return the gradients of weight and bias, from that by the outputs."""
        return [product(by_output.T, x.T), by_output.sum(0)]

    def by_input(self, by_output: Tensor) -> Tensor:
        """Return the gradient by the inputs."""
        return product(by_output, self.weight.T)

    def tensors(self) -> list[Tensor]:
        """Return what is trained."""
        return [self.weight, self.bias]

    def to(self, device: torch.device | str) -> Linear:
        """Return the layer on a device."""
        return Linear(self.weight.to(device), self.bias.to(device))


class Dropout:
    """Dropout whose mask is drawn from a generator of its own, 4 units from each random 64 bits.

    A unit is kept when 16 random bits are below 65536 (1 - p), which is p to within 1e-5: four
    units for one draw of the generator, where ``torch.bernoulli`` draws for each.

    Attributes:
        factor: by which kept units are to be multiplied.
    """

    def __init__(self, p: float, generator: torch.Generator) -> None:
        self.p = p
        self.factor = 1 / (1 - p)
        self.generator = generator

    def drop(self, x: Tensor) -> Tensor:
        """Zero a share p of x in place."""
        if self.p == 0:
            return x
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None, generator=self.generator)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        # A mask in the type of x is multiplied fastest.
        kept = torch.empty_like(x)
        return x.mul_(torch.lt(bits, round(65536 * (1 - self.p)) - 32768, out=kept))


@dataclass
class Block:
    """A hidden layer: Linear -> BatchNorm -> Dropout -> ReLU.

    With ``norm_last``, BatchNorm comes last. The object holds what its backward pass needs of the
    forward pass.
    """

    linear: Linear
    scale: Tensor
    shift: Tensor
    mean: Tensor
    variance: Tensor
    inputs: Tensor = field(init=False)
    before_norm: Tensor = field(init=False)
    active: Tensor = field(init=False)
    statistics: tuple[Tensor, Tensor] = field(init=False)

    def predict(self, x: Tensor, norm_last: bool) -> Tensor:
        """Return the outputs (n, width) in evaluation: running averages, no dropout."""
        z = self.linear.forward(x)
        return self._norm(z.relu_())[0] if norm_last else self._norm(z)[0].relu_()

    def train(self, x: Tensor, norm_last: bool, dropout: Dropout) -> Tensor:
        """Return the outputs (n, width) in training, and update the running averages."""
        self.inputs = x
        z = self.linear.forward(x)
        if norm_last:
            self.before_norm = self.active = dropout.drop(z.relu_()).mul_(dropout.factor)
            y, *statistics = self._norm(z, training=True)
        else:
            self.before_norm = z
            # relu(factor * y) = relu(y) * factor, so the factor goes into scale and shift.
            y, *statistics = self._norm(z, training=True, factor=dropout.factor)
            self.active = y = dropout.drop(y.relu_())
        self.statistics = statistics[0], statistics[1]
        return y

    def backward(self, by_output: Tensor, norm_last: bool, factor: float) -> list[Tensor]:
        """Return the gradients of the linear layer's outputs, of scale and of shift."""
        if not norm_last:
            by_output = torch.ops.aten.threshold_backward(by_output, self.active, 0)
        f = 1.0 if norm_last else factor
        by_z, by_scale, by_shift = torch.ops.aten.native_batch_norm_backward(
            by_output,
            self.before_norm,
            self.scale * f,
            self.mean,
            self.variance,
            *self.statistics,
            True,
            _EPSILON,
            [True, True, True],
        )
        if norm_last:
            by_z = torch.ops.aten.threshold_backward(by_z, self.active, 0).mul_(factor)
        return [by_z, by_scale * f, by_shift * f]

    def tensors(self) -> list[Tensor]:
        """Return what is trained."""
        return [*self.linear.tensors(), self.scale, self.shift]

    def _norm(self, z: Tensor, training: bool = False, factor: float = 1.0) -> Sequence[Tensor]:
        return torch.native_batch_norm(
            z,
            self.scale * factor,
            self.shift * factor,
            self.mean,
            self.variance,
            training,
            _MOMENTUM,
            _EPSILON,
        )


def draw_linear(
    inputs: int, outputs: int, initialization: str, gain: float, generator: torch.Generator
) -> Linear:
    """Return a layer on the CPU: Xavier weights, and biases uniform in ±1/sqrt(inputs).

    ``initialization`` is a key of ``INITIALIZATIONS``.
    """
    weight, bound = torch.empty(outputs, inputs), 1 / math.sqrt(inputs)
    INITIALIZATIONS[initialization](weight, gain=gain, generator=generator)
    return Linear(weight, torch.empty(outputs).uniform_(-bound, bound, generator=generator))
