"""Check that timestamps of a HEAR module are in ms, rise, are regular, and cover the clip."""

from __future__ import annotations

import numpy as np

# hearvalidator 2021.0.6 reports an irregular spacing if the deviation is larger than this.
MAX_SPACING_DEVIATION_MS = 1.0

# hearvalidator refuses any timestamp past the end. Here rounding is allowed: in float32, a
# timestamp at 20 minutes is a multiple of 0.125 ms.
_ROUNDING_MS = 1.0

# If windows lie within the clip, the last centre is about as far from its end as the first from its
# start. More is allowed, for times of windows' starts: the larger of 1 s and a part of the clip.
_UNCOVERED_MS = 1000.0
_UNCOVERED_PART = 0.25

# Times in another unit are recognised if they match the clip's length to this relative accuracy.
_UNIT_ACCURACY = 0.2


def timestamp_fault(
    times: np.ndarray, milliseconds: float, sample_rate: int
) -> tuple[str, str] | None:
    """Return the fault of timestamps, if any.

    Args:
        times: ``(n, t)`` float32, of clips of one length.
        milliseconds: the clips' length.
        sample_rate: in Hz, to guess the unit.

    Returns:
        What was found and what is allowed; None without a fault.
    """
    if not np.isfinite(times).all():
        return "NaN or inf as a timestamp", "numbers"
    steps = np.diff(times.astype(np.float64), axis=1)
    if steps.size and steps.min() <= 0:
        return "timestamps that do not rise", "rising"
    unit = likely_unit(times, milliseconds, sample_rate)
    guess = f"; these look like {unit}" if unit else ""
    latest, earliest = float(times.max()), float(times.min())
    # A clip shorter than a window has one timestamp, the window's centre, maybe past its end.
    if times.shape[1] > 1 and latest > milliseconds + _ROUNDING_MS:
        found = f"a timestamp at {latest:.10g} ms, past the end of {milliseconds:.10g} ms of audio"
        return found, f"milliseconds within the clip{guess}"
    if earliest < -_ROUNDING_MS:
        found = f"a timestamp at {earliest:.10g} ms, before the clip's start"
        return found, "milliseconds within the clip"
    if unit:
        found = f"timestamps up to {latest:.3g} for {milliseconds:.0f} ms of audio"
        return found, f"milliseconds{guess}"
    if steps.size:
        deviation = np.abs(steps - steps.mean(axis=1, keepdims=True)).max()
        if deviation > MAX_SPACING_DEVIATION_MS:
            return (
                f"timestamps whose spacing runs from {steps.min():.3f} to {steps.max():.3f} ms",
                f"regular spacing, to {MAX_SPACING_DEVIATION_MS:g} ms",
            )
        end = float(times[:, -1].min())
        allowed = max(_UNCOVERED_MS, _UNCOVERED_PART * milliseconds)
        if milliseconds - end > earliest + float(steps.max()) + allowed:
            found = f"no timestamp after {end:.10g} ms of {milliseconds:.10g} ms of audio"
            return found, "centres, in milliseconds, of windows that cover the clip"
    return None


def likely_unit(times: np.ndarray, milliseconds: float, sample_rate: int) -> str:
    """Return the unit of timestamps ``(n, t)`` if it is clearly not ms, and otherwise ""."""
    if times.shape[1] < 2:
        return ""
    latest = float(times[:, -1].max())
    if latest < milliseconds / 100:
        return "seconds"
    for unit, per_millisecond in {"samples": sample_rate / 1000, "microseconds": 1000.0}.items():
        if abs(latest / (per_millisecond * milliseconds) - 1) < _UNIT_ACCURACY:
            return unit if latest > milliseconds + _ROUNDING_MS else ""
    if latest < milliseconds / 2 and np.array_equal(times[0], np.arange(times.shape[1])):
        return "frame numbers"
    return ""
