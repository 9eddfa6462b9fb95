"""Encoders with random weights, which depend on a seed alone and are the same on every machine."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hear_byola.encoder import Encoder, make_encoder

INITS = ("pytorch", "contrast")


def random_encoder(version: str, d: int | None, seed: int, init: str = "pytorch") -> Encoder:
    """An untrained encoder whose weights depend on the seed alone.

    The numbers come from a generator of their own on the CPU, whose uniform stream is the same on
    every machine, and the global generators are left as they were.

    Args:
        version: "2020" or "2022".
        d: embedding size; by default the smallest published.
        seed: a whole number.
        init: "pytorch", its own distribution, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and
            biases; or "contrast": kernels of He's variance (arXiv 1502.01852) less their mean, so
            that they answer to differences within a patch and not to its level, and the perceptron
            an identity (arXiv 1504.00941), which hands on what the convolutions found. Biases are
            0 then.

    Raises:
        ValueError: an unknown version, size or init, or a seed that is no whole number.
    """
    if not isinstance(seed, int):
        raise ValueError(f"seed={seed!r}: it must be a whole number.")
    if init not in INITS:
        raise ValueError(f"unknown init {init!r}: it must be one of {list(INITS)}.")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        encoder = make_encoder(version, d)
    generator = torch.Generator().manual_seed(seed)
    fill = _fill_pytorch if init == "pytorch" else _fill_contrast
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fill(layer, generator)
    return encoder


def _fill_pytorch(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    bound = layer.weight[0].numel() ** -0.5
    for parameter in layer.parameters():
        _fill_uniform(parameter, bound, generator)


def _fill_contrast(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if isinstance(layer, nn.Linear):
        nn.init.eye_(layer.weight)
        return
    _fill_uniform(layer.weight, math.sqrt(6 / layer.weight[0].numel()), generator)
    with torch.no_grad():
        for kernel in layer.weight:
            # The order of torch's sum depends on the CPU; the exact sum does not.
            kernel.copy_(kernel.double() - math.fsum(kernel.flatten().tolist()) / kernel.numel())


def _fill_uniform(parameter: Tensor, bound: float, generator: torch.Generator) -> None:
    """As `nn.init.uniform_` from -bound to bound, with the same bits on every CPU.

    torch scales the draws in float32, with one rounding or two as the CPU has it. The product of
    two float32 numbers is exact in float64.
    """
    draws = torch.rand(parameter.shape, generator=generator, dtype=torch.float32).double()
    limit = float(torch.tensor(bound, dtype=torch.float32))
    with torch.no_grad():
        parameter.copy_(draws * (2 * limit) - limit)
