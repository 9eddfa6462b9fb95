from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.models.geometry import Geometry, strided


@pytest.mark.parametrize(
    "convolutions", [[(10, 5), *[(3, 2)] * 4, *[(2, 2)] * 2], [(8, 4)], [(5, 1), (3, 3)]]
)
def test_a_stack_of_convolutions_has_frames_where_its_geometry_says(convolutions):
    stack = nn.Sequential(*(nn.Conv1d(1, 1, kernel, stride) for kernel, stride in convolutions))
    hop, window = strided(convolutions)
    geometry = Geometry(hop=hop, centre=(window - 1) / 2, window=window)
    for frames in (1, 2, 7):
        samples = geometry.samples(frames)
        assert stack(torch.zeros(1, 1, samples)).shape[-1] == geometry.count(samples) == frames
    audio = torch.zeros(1, 1, geometry.samples(3), requires_grad=True)
    stack(audio)[0, 0, 1].backward()
    assert audio.grad is not None
    seen = audio.grad[0, 0].nonzero()
    assert (seen.min(), seen.max()) == (hop, hop + window - 1)
