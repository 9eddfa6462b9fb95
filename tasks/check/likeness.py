"""Measure whether two files contain the same recording, by a cross-correlation of waveforms.

Two takes of the same word, note or stroke have similar spectra, but only copies of one recording
have the same phases. The cross-correlation is weighted by frequency, so that differences between
copies (added noise, coding errors) and the strongest harmonics of a note have little weight.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from tasks.audio import decode

SAME = 0.8
"""Minimum likeness of two sounds that count as the same recording.

``tests/bench/near_duplicates.py`` prints likenesses of changed copies and different recordings."""

_OFFSET_SECONDS = 0.55  # the documented 0.5 s and a margin
_STRETCH_SECONDS = 5
_LOW_HZ, _HIGH_HZ = 100.0, 4000.0  # every codec keeps this range
_FLATTENING = 0.8  # at 1, coding noise between harmonics would weigh as much as the harmonics
_MATCH = 2.0  # exponent of the weight, which falls with the difference in level of the two sounds
_SMOOTH_BINS = 5
_PROMISING = 0.3  # cut and coded copies reach this value before only the overlap is compared
_LEAST_OVERLAP = 0.5  # of the shorter sound; shorter overlaps of different sounds can be alike
_TAPER = 0.05  # of the overlap, at each end


def likeness(one: Path, other: Path) -> float:
    """Return the likeness of the waveforms of two files with equal sample rates, from 0 to 1.

    Loudness, sign and an offset of up to 0.5 s have no effect. If the files are longer than 5 s,
    the loudest 5 s of the first are compared with the same time range of the second.

    Raises:
        BadAudio: as :func:`tasks.audio.decode`.
    """
    first, info = decode(one)
    second, _ = decode(other, info.rate)
    stretch = _loudest_stretch(first, info.rate)
    return waveform_likeness(first[stretch], second[stretch], info.rate)


def waveform_likeness(one: np.ndarray, other: np.ndarray, rate: int) -> float:
    """Return the likeness, 0 to 1, of two sounds: float32 (n,) and (m,), at a rate in Hz."""
    reach = round(_OFFSET_SECONDS * rate)
    length = next_fast_len(max(len(one), len(other)) + reach + 1, real=True)
    cross, total = _weighted_cross_spectrum(rfft(one, length), rfft(other, length), length, rate)
    if total == 0.0:
        return 0.0
    correlation = np.abs(irfft(cross, length)) * (length / 2.0 / total)
    lags = np.concatenate([correlation[-reach:], correlation[: reach + 1]])
    lag = int(lags.argmax()) - reach
    rough = float(lags[lag + reach])
    if rough < _PROMISING:
        return min(rough, 1.0)
    shorter = min(len(one), len(other))
    one, other = one[max(lag, 0) :], other[max(-lag, 0) :]
    overlap = min(len(one), len(other))
    if overlap < _LEAST_OVERLAP * shorter:
        return 0.0
    return _aligned_likeness(one[:overlap], other[:overlap], rate)


def _aligned_likeness(one: np.ndarray, other: np.ndarray, rate: int) -> float:
    """Return the likeness of two sounds of equal length whose offset is at most one sample."""
    n = len(one)
    taper = np.ones(n, np.float32)
    ramp = round(_TAPER * n)
    taper[:ramp] = np.sin(np.linspace(0.0, np.pi / 2, ramp)) ** 2
    taper[n - ramp :] = taper[:ramp][::-1]
    length = next_fast_len(n, real=True)
    cross, total = _weighted_cross_spectrum(
        rfft(one * taper, length), rfft(other * taper, length), length, rate
    )
    turn = 2j * np.pi * np.arange(len(cross)) / length
    shifts = np.arange(-1.0, 1.01, 0.25)  # samples; resampling shifts by fractions of a sample
    used = np.flatnonzero(cross)
    best = max(abs((cross[used] * np.exp(turn[used] * shift)).real.sum()) for shift in shifts)
    return min(float(best) / total, 1.0) if total else 0.0


def _weighted_cross_spectrum(
    one: np.ndarray, other: np.ndarray, length: int, rate: int
) -> tuple[np.ndarray, float]:
    """Return the cross-spectrum of two spectra, and the sum of its magnitudes.

    The weight of a frequency is a power of its magnitude. It is smaller where the ratio of the two
    powers differs from the mean ratio, because there one sound has components that the other lacks.
    """
    # Resamplers and codecs cut off a little below half the sample rate.
    low, high = (round(hz * length / rate) for hz in (_LOW_HZ, min(_HIGH_HZ, 0.45 * rate)))
    band = slice(low, high + 1)
    cross = np.zeros_like(one)
    first, second = one[band], other[band]
    powers = [_smooth(spectrum.real**2 + spectrum.imag**2) for spectrum in (first, second)]
    both = np.sqrt(powers[0] * powers[1])
    if not both.any():
        return cross, 0.0
    tiny = both.max() * 1e-12
    ratio = np.log((powers[1] + tiny) / (powers[0] + tiny))
    ratio -= np.average(ratio, weights=both)
    weight = np.exp(-_MATCH * np.abs(ratio)) * (both + tiny) ** -_FLATTENING
    cross[band] = first * np.conj(second) * weight
    return cross, float(np.abs(cross[band]).sum())


def _smooth(values: np.ndarray) -> np.ndarray:
    smoothed: np.ndarray = uniform_filter1d(values, _SMOOTH_BINS, mode="constant")
    return smoothed


def _loudest_stretch(audio: np.ndarray, rate: int) -> slice:
    seconds = len(audio) // rate
    if seconds <= _STRETCH_SECONDS:
        return slice(0, _STRETCH_SECONDS * rate + rate)
    power = [float(np.dot(second, second)) for second in np.split(audio[: seconds * rate], seconds)]
    begin = int(np.convolve(power, np.ones(_STRETCH_SECONDS), "valid").argmax())
    return slice(begin * rate, (begin + _STRETCH_SECONDS) * rate)
