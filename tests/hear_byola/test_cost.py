"""What embedding costs: arithmetic of timestamps against scenes, and memory for 20 minutes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import hear_byola


def arithmetic(function: object, d: int, **options: object) -> int:
    model = hear_byola.load_model(seed=0, d=d, **options)
    with FlopCounterMode(display=False) as counter:
        function(torch.zeros(1, 10 * 16_000), model)  # type: ignore[operator]
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"d": 512}, 1.3),
        ({"d": 2048}, 1.7),
        ({"encoder": "2022", "d": 2048}, 1.05),
        ({"d": 512, "hop_ms": 10}, 3.0),
        ({"d": 2048, "hop_ms": 10}, 5.0),
    ],
    ids=str,
)
def test_timestamps_cost_little_more_than_a_scene(options: dict, limit: float) -> None:
    scene = arithmetic(hear_byola.get_scene_embeddings, **options)
    timestamps = arithmetic(hear_byola.get_timestamp_embeddings, **options)
    assert timestamps <= limit * scene


PEAK = """
import pathlib, resource, sys, torch, hear_byola
minutes, options = int(sys.argv[1]), eval(sys.argv[2])
model = hear_byola.load_model(seed=0, **options)
audio = torch.rand(1, minutes * 60 * 16_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
scene = hear_byola.get_scene_embeddings(audio, model)
embeddings, timestamps = hear_byola.get_timestamp_embeddings(audio, model)
assert scene.isfinite().all() and embeddings.isfinite().all()
assert embeddings.shape[1] == timestamps.shape[1] == minutes * 60 * 25
# Where there is /proc: getrusage starts a child at what its parent held when it was forked.
status = pathlib.Path("/proc/self/status")
if status.exists():
    print(1024 * int(status.read_text().split("VmHWM:")[1].split()[0]))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else 1024 * peak)
"""


def peak_bytes(minutes: int, **options: object) -> int:
    """Highest resident memory of a process that embeds one clip, interpreter and all."""
    command = [sys.executable, "-c", PEAK, str(minutes), repr(options)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(output)


def test_a_minute_of_audio_fits_a_gigabyte() -> None:
    assert peak_bytes(1) < 1e9


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("options", [{}, {"d": 2048}, {"encoder": "2022", "d": 3072}], ids=str)
def test_twenty_minutes_fit_two_gigabytes(options: dict) -> None:
    assert peak_bytes(20, **options) < 2e9
