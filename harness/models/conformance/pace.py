"""Measure how fast a module embeds on this machine, to estimate the time of checks."""

from __future__ import annotations

import time

from harness.models.conformance.subject import Subject
from harness.models.guest import exits_refused

_CLIP_SECONDS = 5.0


def measure_pace(subject: Subject) -> float | None:
    """Return the seconds per second of audio that a module takes, the mean of both functions.

    Each function is called twice, and the second call is timed. None is returned if a call fails;
    the checks then report the failure.
    """
    audio = subject.noise(1, _CLIP_SECONDS)
    began = 0.0
    try:
        with exits_refused():
            for _ in range(2):
                began = time.perf_counter()
                subject.scene(audio)
                subject.timestamps(audio)
    except Exception:  # a module can raise any exception
        return None
    return (time.perf_counter() - began) / (2 * _CLIP_SECONDS)
