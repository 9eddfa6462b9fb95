"""How fast a module embeds on this machine, for estimates of what checks take."""

from __future__ import annotations

import time

from harness.models.conformance.subject import Subject
from harness.models.guest import exits_refused

_CLIP_SECONDS = 5.0


def measure_pace(subject: Subject) -> float | None:
    """Return the seconds that a module takes for each second of audio, the mean of both functions.

    Each function is called twice, and the second call is timed. None: a call fails, which the
    checks report.
    """
    audio = subject.noise(1, _CLIP_SECONDS)
    began = 0.0
    try:
        with exits_refused():
            for _ in range(2):
                began = time.perf_counter()
                subject.scene(audio)
                subject.timestamps(audio)
    except Exception:
        return None
    return (time.perf_counter() - began) / (2 * _CLIP_SECONDS)
