"""How a synthetic clip sounds: a tone for each label, and so for another clip's labels.

A note is a number on the scale of MIDI, where 69 is the A of 440 Hz (ISO 16) and 1 a semitone of
equal temperament; notes between the semitones are used too. The clip's own labels sound at their
notes' frequencies, 27.5 Hz to 4.4 kHz. The decoys, the labels of another clip, sound softly above
them, where 20 Hz are a semitone: in 5.4 to 7.2 kHz, which audio at 16 kHz still carries after
resampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 48_000
LOWEST, HIGHEST = 21.0, 109.0
"""Notes are used from the lowest of a piano up to (not with) a semitone above its highest."""

_DECOY_START, _DECOY_STEP = 5400.0, 20.0  # Hz
# Far above what 16 bits add, and 30 dB and more below the tones.
_NOISE = 0.001
_RAMP_SECONDS = 0.005


def frequency(note: float) -> float:
    """In Hz, of a note that says a label of the clip."""
    return float(440.0 * 2.0 ** ((note - 69.0) / 12.0))


def decoy_frequency(note: float) -> float:
    """In Hz, of a note that says a label of another clip."""
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
    """All of a clip's sound."""

    seconds: float
    tones: tuple[Tone, ...]
    noise_seed: int


def render(recipe: object) -> tuple[np.ndarray, int]:
    """Turn a :class:`Recipe` into samples, float32 (frames,) in [-1, 1], and their rate in Hz."""
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
