"""Read, cut and mix recordings; all sounds are mono float64 at 16 kHz."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr

Sound = npt.NDArray[np.float64]

RATE = 16000
"""The one stored sample rate, in Hz."""


def read(source: Path | bytes) -> Sound:
    """Decode a file, or a file's bytes, to mono at 16 kHz."""
    audio, rate = sf.read(io.BytesIO(source) if isinstance(source, bytes) else source)
    mono = audio if audio.ndim == 1 else audio.mean(axis=1)
    return resample(mono, rate, RATE)


def resample(sound: Sound, rate: float, new_rate: float) -> Sound:
    """Resample from one rate to another, both in Hz."""
    return np.asarray(soxr.resample(sound, rate, new_rate, quality="VHQ"))


def repitch(sound: Sound, semitones: float) -> Sound:
    """Play the sound faster or slower, so that its pitch changes by a number of semitones."""
    return resample(sound, RATE * 2 ** (semitones / 12), RATE)


def rms(sound: Sound) -> float:
    """Return the root mean square, at least 1e-9."""
    return max(float(np.sqrt(np.mean(np.square(sound)))), 1e-9)


def at_level(sound: Sound, dbfs: float) -> Sound:
    """Scale the sound to a root mean square of ``dbfs`` decibels relative to full scale."""
    return sound * (10 ** (dbfs / 20) / rms(sound))


def trim(sound: Sound, below_peak: float = 35.0) -> Sound:
    """Remove both ends where they are ``below_peak`` dB quieter than the loudest 10 ms."""
    hop = RATE // 100
    frames = np.pad(sound, (0, -len(sound) % hop)).reshape(-1, hop)
    energy = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 10 ** (-below_peak / 10))
    return sound[loud[0] * hop : (loud[-1] + 1) * hop]


def fade(sound: Sound, start: float = 0.005, end: float = 0.02) -> Sound:
    """Fade in over ``start`` and out over ``end`` seconds."""
    sound = sound.copy()
    n_in, n_out = round(start * RATE), round(end * RATE)
    sound[:n_in] *= np.linspace(0, 1, n_in)
    sound[len(sound) - n_out :] *= np.linspace(1, 0, n_out)
    return sound


def cut(sound: Sound, seconds: float, start: float = 0.0) -> Sound:
    """Cut ``seconds`` of the sound from ``start``, zero-padded if the sound is too short."""
    first, n = round(start * RATE), round(seconds * RATE)
    piece = sound[first : first + n]
    return np.pad(piece, (0, n - len(piece)))


def random_stretch(sound: Sound, seconds: float, rng: np.random.Generator) -> Sound:
    """Cut ``seconds`` from a random position; a sound that is too short is repeated."""
    n = round(seconds * RATE)
    looped = np.tile(sound, -(-n // len(sound)) + (len(sound) < n))
    first = int(rng.integers(0, len(looped) - n + 1))
    return looped[first : first + n]


def add_noise(sound: Sound, noise: Sound, snr: float) -> Sound:
    """Add noise of the same length, scaled to a signal-to-noise ratio of ``snr`` dB."""
    return sound + noise * (rms(sound) / rms(noise) * 10 ** (-snr / 20))


def below_full_scale(sound: Sound, peak: float = 0.9) -> Sound:
    """Scale the sound down if its peak is above ``peak``."""
    return sound * min(1.0, peak / max(float(np.abs(sound).max()), 1e-9))
