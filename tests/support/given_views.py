"""A module in place of the augmentations."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GivenViews(nn.Module):
    """Views known before, in place of the augmentations."""

    def __init__(self, *views: Tensor) -> None:
        super().__init__()
        self.views = views

    def forward(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        return self.views
