"""Compute a short vector of a sound, the fingerprint, that is nearly the same for its copies.

It does not depend on loudness, offset or padding, and little on lossy coding. For each of 24
frequency bands it contains the mean level, and the modulation of the level at five modulation
frequencies relative to the modulation of the whole sound. The phase of the whole sound is removed,
so the position of the sound in the file has no effect, and silence adds nothing. Different sounds
can have similar fingerprints: similar ones are only candidates, which
:func:`tasks.check.likeness.likeness` compares.
"""

from __future__ import annotations

import base64
import itertools
from functools import cache

import numpy as np
from scipy.fft import rfft

SIZE = 264
"""Length of a fingerprint: for each of 24 bands a level and five complex modulations."""

_WINDOW_SECONDS = 0.128
_HOP_SECONDS = 0.064
_EDGES_HZ = np.geomspace(100.0, 4000.0, 25)  # every codec keeps this range
# No whole Hz: there the sum over a steady sound is zero in a clip of whole seconds.
_MODULATIONS_HZ = 0.7 * np.arange(6)
_FLOOR = 1e-3  # relative to the loudest band's power; codecs change the power below it
_VARIATION_WEIGHT = 2.0  # relative to the levels, which differ little among sounds of one kind
_BLOCK = 256  # frames at a time, so that a sound of 20 minutes needs little memory
_ROWS = 256  # with 50,000 clips, a block of similarities and their order takes 150 MB


def fingerprint(audio: np.ndarray, rate: int) -> np.ndarray:
    """Return the fingerprint of a sound: float32 (``SIZE``,) of norm 1; zeros for silence.

    Args:
        audio: float32 (n_samples,), one sample or more.
        rate: its sample rate in Hz.
    """
    power = _band_powers(audio, rate)
    loudest = power.max()
    if not loudest > 0.0:
        return np.zeros(SIZE, np.float32)
    level = np.log1p(power / (_FLOOR * loudest))
    times = np.arange(len(level)) * (round(_HOP_SECONDS * rate) / rate)
    waves = np.exp(-2j * np.pi * np.outer(_MODULATIONS_HZ, times)) @ level
    whole = waves.sum(axis=1, keepdims=True)
    waves *= np.conj(whole) / np.maximum(np.abs(whole), 1e-9)
    waves -= waves.mean(axis=1, keepdims=True)
    # Division by the root of the norm keeps strong modulations larger than weak ones, which noise
    # changes most.
    waves /= np.sqrt(np.linalg.norm(waves, axis=1, keepdims=True)) + 1e-9
    strength, variation = waves[0].real, waves[1:]
    variation *= _VARIATION_WEIGHT * np.linalg.norm(strength) / (np.linalg.norm(variation) + 1e-9)
    found = np.concatenate([strength, variation.real.ravel(), variation.imag.ravel()])
    return (found / (np.linalg.norm(found) + 1e-9)).astype(np.float32)


def to_text(found: np.ndarray) -> str:
    """Return a fingerprint as base64 text, 8 bits per number; "" for silence."""
    largest = np.abs(found).max()
    if not largest > 0.0:
        return ""
    return base64.b64encode(np.rint(found * (127.0 / largest)).astype(np.int8).tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    """Return the fingerprint in the text of :func:`to_text`: float32 (``SIZE``,) of norm 1."""
    found = np.frombuffer(base64.b64decode(text), np.int8).astype(np.float32)
    return found / np.linalg.norm(found)


def nearest(queries: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of ``others`` most similar to each query, best first, and the similarities.

    Args:
        queries: fingerprints, float32 (n, ``SIZE``).
        others: fingerprints, float32 (m, ``SIZE``), one or more.
        count: number of rows per query; at most m are returned.

    Returns:
        rows, int (n, count), and similarities (cosines), float32 (n, count), at most 1.
    """
    count = min(count, len(others))
    rows = np.empty((len(queries), count), np.intp)
    similarity = np.empty((len(queries), count), np.float32)
    for begin in range(0, len(queries), _ROWS):
        part = slice(begin, begin + _ROWS)
        products = queries[part] @ others.T
        best = np.argpartition(products, len(others) - count, axis=1)[:, len(others) - count :]
        found = np.take_along_axis(products, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        rows[part] = np.take_along_axis(best, order, axis=1)
        similarity[part] = np.take_along_axis(found, order, axis=1)
    return rows, similarity


def _band_powers(audio: np.ndarray, rate: int) -> np.ndarray:
    """Return the mean power of each band in each frame: float32 (frames, bands)."""
    length, hop = round(_WINDOW_SECONDS * rate), round(_HOP_SECONDS * rate)
    window, bands = _window_and_bands(length, rate)
    padded = np.pad(audio, (length // 2, length))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    return np.concatenate(
        [
            np.abs(rfft(frames[begin : begin + _BLOCK] * window, axis=1)) ** 2 @ bands
            for begin in range(0, len(frames), _BLOCK)
        ]
    )


@cache
def _window_and_bands(length: int, rate: int) -> tuple[np.ndarray, np.ndarray]:
    frequencies = np.fft.rfftfreq(length, 1.0 / rate)
    bands = np.zeros((len(frequencies), len(_EDGES_HZ) - 1), np.float32)
    for i, (low, high) in enumerate(itertools.pairwise(_EDGES_HZ)):
        inside = (frequencies >= low) & (frequencies < high)
        if not inside.any():
            inside[np.abs(frequencies - np.sqrt(low * high)).argmin()] = True
        bands[inside, i] = 1.0 / inside.sum()
    return np.hanning(length).astype(np.float32), bands
