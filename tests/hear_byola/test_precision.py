from __future__ import annotations

import pytest
import torch
from torch import nn

from hear_byola.core.precision import cast


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("channels", "kernel", "groups"), [(24, 16, 4), (24, 128, 2), (24, 15, 1)])
def test_a_cast_network_computes_nearly_the_same(channels, kernel, groups, dtype):
    """On CPUs with AMX, PyTorch's own bfloat16 convolution in groups of 6 or 12 is wrong."""
    torch.manual_seed(0)
    convolution = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=groups)
    network = nn.Sequential(nn.Conv1d(1, channels, 3), convolution, nn.GELU())
    audio = torch.randn(2, 1, 200)
    with torch.inference_mode():
        expected = network(audio)
        found = cast(network, dtype)(audio.to(dtype))
    assert found.dtype == dtype
    assert (found.float() - expected).norm() < 0.02 * expected.norm()


def test_float32_is_left_as_it_is():
    network = nn.Sequential(nn.Conv1d(4, 4, 3, groups=2))
    audio = torch.randn(1, 4, 20)
    expected = network(audio)
    assert cast(network, torch.float32) is network
    torch.testing.assert_close(network(audio), expected, rtol=0, atol=0)
