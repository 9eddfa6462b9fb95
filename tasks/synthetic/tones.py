"""Synthesise a clip: a tone for each of its labels, and for each label of its decoy.

A note is a MIDI number: 69 is A at 440 Hz (ISO 16), and 1 is a semitone of equal temperament; notes
between semitones are used too. The tones of the clip's labels have the frequencies of their notes,
27.5 Hz to 4.4 kHz. The tones of the decoy are softer and higher, with 20 Hz per semitone: from 5.4
to 7.2 kHz, which audio at 16 kHz still contains after resampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 48_000
LOWEST, HIGHEST = 21.0, 109.0
"""Range of notes: from the lowest note of a piano to below one semitone above its highest."""

_DECOY_START, _DECOY_STEP = 5400.0, 20.0  # Hz
# Far above the quantization noise of 16 bits, and at least 30 dB below the tones of labels.
_NOISE = 0.001
_RAMP_SECONDS = 0.005


def frequency(note: float) -> float:
    """Return the frequency in Hz of the note of a clip's own label."""
    return float(440.0 * 2.0 ** ((note - 69.0) / 12.0))


def decoy_frequency(note: float) -> float:
    """Return the frequency in Hz of the note of a decoy's label."""
    return _DECOY_START + _DECOY_STEP * (note - LOWEST)


@dataclass(frozen=True)
class Tone:
    """A sine of ``frequency`` Hz from ``start`` to ``end`` ms; ``level`` is its amplitude."""

    frequency: float
    start: float
    end: float
    level: float
    phase: float


@dataclass(frozen=True)
class Recipe:
    """The tones and the noise of a clip."""

    seconds: float
    tones: tuple[Tone, ...]
    noise_seed: int


def render(recipe: object) -> tuple[np.ndarray, int]:
    """Return the samples of a :class:`Recipe`, float32 (frames,) in [-1, 1], and their rate."""
    assert isinstance(recipe, Recipe)
    noise = np.random.default_rng(recipe.noise_seed)
    audio = _NOISE * noise.standard_normal(round(recipe.seconds * RATE))
    for tone in recipe.tones:
        first, end = round(tone.start * RATE / 1000), round(tone.end * RATE / 1000)
        time = np.arange(first, min(end, len(audio)))
        edge = np.minimum(time - first, end - 1 - time) / (_RAMP_SECONDS * RATE)
        ramp = np.sin(np.pi / 2 * np.clip(edge, 0.0, 1.0)) ** 2
        sine = np.sin(2 * np.pi * tone.frequency / RATE * time + tone.phase)
        audio[time] += tone.level * ramp * sine
    return audio.astype(np.float32), RATE
