"""Whether two files hold the same recording: their waveforms, compared at the best offset.

Two takes of one word, note or stroke look alike in any spectrum; only copies of one recording have
the same phases. So this is a cross-correlation, with spectra made nearly flat: a note's harmonics
would otherwise agree with any other note of its pitch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from harness.audio import decode

SAME = 0.7
"""At this likeness and above, two sounds count as one recording.

On real recordings, nearly all copies made quieter, shifted, resampled, or coded as Vorbis or MP3 at
usual rates lie above, and other takes of a word by the same speaker below: both distributions are
printed by ``tests/bench/near_duplicates.py``."""

_OFFSET_SECONDS = 0.5
_STRETCH_SECONDS = 10
_LOW_HZ, _HIGH_HZ = 100.0, 4000.0  # what every codec keeps
_FLATTENING = 0.8  # 1 counts every frequency alike, codecs' noise between a note's harmonics too


def likeness(one: Path, other: Path) -> float:
    """How alike the waveforms of two files of one sample rate are, from 0 to 1.

    Loudness, sign and an offset of up to 0.5 s do not count. Of files longer than 10 s, the
    loudest 10 s of the first are compared with the same stretch of the other.

    Raises:
        BadAudio: as :func:`harness.audio.decode`.
    """
    first, info = decode(one)
    second, _ = decode(other, info.rate)
    stretch = _loudest_stretch(first, info.rate)
    return _peak(first[stretch], second[stretch], info.rate)


def _loudest_stretch(audio: np.ndarray, rate: int) -> slice:
    seconds = len(audio) // rate
    if seconds <= _STRETCH_SECONDS:
        return slice(0, _STRETCH_SECONDS * rate + rate)
    power = [float(np.dot(second, second)) for second in np.split(audio[: seconds * rate], seconds)]
    begin = int(np.convolve(power, np.ones(_STRETCH_SECONDS), "valid").argmax())
    return slice(begin * rate, (begin + _STRETCH_SECONDS) * rate)


def _peak(one: np.ndarray, other: np.ndarray, rate: int) -> float:
    """The largest magnitude of the flattened cross-correlation within the offset, of at most 1."""
    reach = round(_OFFSET_SECONDS * rate)
    length = next_fast_len(max(len(one), len(other)) + reach + 1, real=True)
    cross = _spectrum(one, length) * np.conj(_spectrum(other, length))
    frequencies = np.fft.rfftfreq(length, 1.0 / rate)
    # Resamplers and codecs end a little below half the rate.
    cross[(frequencies < _LOW_HZ) | (frequencies > min(_HIGH_HZ, 0.45 * rate))] = 0.0
    magnitude = np.abs(cross)
    flat = np.where(magnitude > 0.0, magnitude, 1.0) ** -_FLATTENING
    total = float((magnitude * flat).sum())
    if total == 0.0:
        return 0.0
    correlation = np.abs(irfft(cross * flat, length)) * (length / 2.0 / total)
    return float(max(correlation[: reach + 1].max(), correlation[-reach:].max()))


def _spectrum(audio: np.ndarray, length: int) -> np.ndarray:
    spectrum: np.ndarray = rfft(audio * np.hanning(len(audio)).astype(np.float32), length)
    return spectrum
