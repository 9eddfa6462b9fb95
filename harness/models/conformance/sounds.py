"""Checks with unusual sounds: tones, silence, full scale and very short clips."""

from __future__ import annotations

import numpy as np

from harness.models.conformance.subject import (
    Doubt,
    Failure,
    Subject,
    relative_difference,
    said,
)

# No probe in float32 can distinguish two sounds whose embeddings differ by less than this.
_LEAST_DIFFERENCE = 1e-4


def check_sounds_differ(subject: Subject) -> str:
    """Check that different sounds have different embeddings."""
    time = np.arange(subject.seconds(2.0)) / subject.sample_rate
    low, high = (0.5 * np.sin(2 * np.pi * f * time) for f in (300.0, 3000.0))
    noise = subject.noise(1, 2.0)
    halves = np.where(time < 1.0, low, high)
    audio = np.stack([low, high, halves]).astype(np.float32)
    a, b, _ = scene = subject.scene(audio)
    c = subject.scene(noise)[0]
    steady, changing = subject.timestamps(audio)[0][[0, 2]]
    differences = {
        "two tones": relative_difference(a, b),
        "a tone and noise": relative_difference(a, c),
        "the halves of a clip with two tones": relative_difference(steady, changing),
    }
    alike = [name for name, value in differences.items() if not value > _LEAST_DIFFERENCE]
    if alike and np.isfinite(scene).all():
        raise Failure(f"the same embedding for {', for '.join(alike)}")
    return "tones and noise differ by " + ", ".join(f"{v:.2g}" for v in differences.values())


def _check_finite(subject: Subject, audio: np.ndarray, what: str) -> None:
    if not np.isfinite(subject.scene(audio)).all():
        raise Failure(f"the scene embedding of {what} contains NaN or inf")
    embeddings, times = subject.timestamps(audio)
    if not (np.isfinite(embeddings).all() and np.isfinite(times).all()):
        raise Failure(f"the timestamp embeddings of {what} contain NaN or inf")
    if not times.size:
        raise Failure(f"no timestamp for {what}")


def check_silence(subject: Subject) -> str:
    """Check that digital silence has finite embeddings."""
    silence = np.zeros((1, subject.seconds(2.0)), np.float32)
    _check_finite(subject, silence, "2 s of digital silence")
    return "digital silence has finite embeddings"


def check_full_scale(subject: Subject) -> str:
    """Check that audio at full scale has finite embeddings."""
    square = np.sign(subject.noise(1, 2.0))
    _check_finite(subject, square, "noise clipped to -1 and 1")
    _check_finite(subject, np.ones_like(square), "a constant at full scale")
    return "finite at full scale"


def check_short_clips(subject: Subject) -> str:
    """Check clips shorter than an analysis window: 10 ms must work, one sample should."""
    noise = subject.noise(2, 0.1)
    for milliseconds in (100, 25, 10):
        audio = noise[:, : subject.sample_rate * milliseconds // 1000]
        try:
            _check_finite(subject, audio, f"a clip of {milliseconds} ms")
        except Failure:
            raise
        except Exception as error:  # a module can raise any exception
            raise Failure(f"a clip of {milliseconds} ms raises {said(error)}") from error
    try:
        _check_finite(subject, noise[:, :1], "a clip of one sample")
    except Exception as error:  # a module can raise any exception
        raise Doubt(f"10 ms works, but a clip of one sample does not: {said(error)}") from error
    return "100, 25 and 10 ms and one sample work"
