"""A short vector a sound that copies of it share, however loud, late, padded or coded they are.

Of each of 24 bands it holds how strong the band is over all, and how its strength varies at five
rates of modulation, relative to how the whole sound varies. A sum over time with the phase of the
whole taken out does not know where in the file the sound stands, and silence adds nothing to it.
Unlike sounds may come close: what is found near by fingerprints is a candidate for
:func:`tasks.check.likeness.likeness` to judge.
"""

from __future__ import annotations

import base64
import itertools
from functools import cache

import numpy as np
from scipy.fft import rfft

SIZE = 264
"""Numbers in a fingerprint: 24 bands, once for their strength and five times complex."""

_WINDOW_SECONDS = 0.128
_HOP_SECONDS = 0.064
_EDGES_HZ = np.geomspace(100.0, 4000.0, 25)  # what every codec keeps
# No multiple of 1/s: in a clip of whole seconds the sum over a steady sound would vanish there.
_MODULATIONS_HZ = 0.7 * np.arange(6)
_FLOOR = 1e-3  # of the loudest band's power: below lies what codecs change
_VARIATION_WEIGHT = 2.0  # against the bands' strength, which unlike sounds of a kind share
_BLOCK = 256  # frames, so that 20 minutes take little memory
_ROWS = 256  # with 50,000 clips, a block of similarities and their order takes 150 MB


def fingerprint(audio: np.ndarray, rate: int) -> np.ndarray:
    """The fingerprint of a sound: float32 (``SIZE``,) of length 1, zeros for silence.

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
    # The root lets strong modulations count more than weak ones, which noise changes most.
    waves /= np.sqrt(np.linalg.norm(waves, axis=1, keepdims=True)) + 1e-9
    strength, variation = waves[0].real, waves[1:]
    variation *= _VARIATION_WEIGHT * np.linalg.norm(strength) / (np.linalg.norm(variation) + 1e-9)
    found = np.concatenate([strength, variation.real.ravel(), variation.imag.ravel()])
    return (found / (np.linalg.norm(found) + 1e-9)).astype(np.float32)


def to_text(found: np.ndarray) -> str:
    """A fingerprint in 8 bits a number, as base64; "" for silence."""
    largest = np.abs(found).max()
    if not largest > 0.0:
        return ""
    return base64.b64encode(np.rint(found * (127.0 / largest)).astype(np.int8).tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    """What :func:`to_text` wrote: float32 (``SIZE``,) of length 1."""
    found = np.frombuffer(base64.b64decode(text), np.int8).astype(np.float32)
    return found / np.linalg.norm(found)


def nearest(queries: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of ``others`` that are most like each query, and how much; the best first.

    Args:
        queries: fingerprints, float32 (n, ``SIZE``).
        others: fingerprints, float32 (m, ``SIZE``), one or more.
        count: how many rows of each query; fewer if there are fewer.

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
    """Mean power of each band in each frame: float32 (frames, bands)."""
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
