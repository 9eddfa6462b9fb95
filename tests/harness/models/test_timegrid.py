from __future__ import annotations

import numpy as np
import pytest

from harness.models.timegrid import likely_unit, timestamp_fault

RATE = 16000


def grid(hop: float, end: float, start: float = 0.0) -> np.ndarray:
    return np.arange(start, end, hop, dtype=np.float64).astype(np.float32)[None]


@pytest.mark.parametrize("milliseconds", [510.0, 1070.0, 8000.0, 1_200_000.0])
@pytest.mark.parametrize("hop", [1.0, 10.0, 25.0, 50.0, 320.0])
def test_right_timestamps_pass(milliseconds, hop):
    assert timestamp_fault(grid(hop, milliseconds + 1e-3), milliseconds, RATE) is None
    centres = grid(hop, milliseconds, hop / 2)
    assert timestamp_fault(centres, milliseconds, RATE) is None


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1e-3, "seconds"), (RATE / 1000, "samples"), (1000.0, "microseconds"), (0.1, "frame numbers")],
)
def test_other_units_are_refused_by_name(factor, unit):
    times = np.arange(800, dtype=np.float64) * 10 * factor
    times = np.round(times, 6).astype(np.float32)[None]
    assert likely_unit(times, 8000.0, RATE) == unit
    fault = timestamp_fault(times, 8000.0, RATE)
    assert fault is not None
    assert fault[1].endswith(f"these look like {unit}")


@pytest.mark.parametrize("drift", [1.001, 1.02, 1.378])
def test_a_drift_past_the_end_is_refused_with_its_value(drift):
    times = (grid(10.0, 8000.5) * drift).astype(np.float32)
    found, allowed = timestamp_fault(times, 8000.0, RATE) or ("", "")
    assert f"a timestamp at {float(times.max()):.10g} ms, past the end of 8000 ms" in found
    assert allowed == "milliseconds within the clip"


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("milliseconds", [4000.0, 8000.0, 1_200_000.0])
def test_timestamps_that_end_early_are_refused(factor, milliseconds):
    times = (grid(10.0, milliseconds) * factor).astype(np.float32)
    found, allowed = timestamp_fault(times, milliseconds, RATE) or ("", "")
    assert f"no timestamp after {float(times.max()):.10g} ms of {milliseconds:.10g} ms" in found
    assert "cover the clip" in allowed


@pytest.mark.parametrize("milliseconds", [2000.0, 8000.0])
@pytest.mark.parametrize("window", [25.0, 960.0, 1900.0])
def test_windows_within_the_clip_cover_it(milliseconds, window):
    centres = grid(50.0, milliseconds - window + 1e-3, 0.0) + np.float32(window / 2)
    assert timestamp_fault(centres, milliseconds, RATE) is None
    if window < 1000:
        starts = grid(50.0, milliseconds - window + 1e-3)
        assert timestamp_fault(starts, milliseconds, RATE) is None


def test_rounding_at_the_end_passes_and_a_start_before_the_clip_does_not():
    assert timestamp_fault(grid(10.0, 8000.5) + np.float32(0.2), 8000.0, RATE) is None
    found, _ = timestamp_fault(grid(10.0, 8000.0, -12.5), 8000.0, RATE) or ("", "")
    assert "before the clip's start" in found


@pytest.mark.parametrize("milliseconds", [0.0625, 1000.0])
def test_one_timestamp_may_be_the_centre_of_a_window_longer_than_the_clip(milliseconds):
    assert timestamp_fault(np.array([[10.0]], np.float32), milliseconds, RATE) is None
