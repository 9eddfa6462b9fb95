"""Make the demo task of counting one to four people who talk at the same time.

Each split has four voices of its own: telephone prompts and game voices in different languages. All
are limited to the telephone band and set to similar levels over quiet line noise, so neither the
bandwidth nor the loudness gives the number of voices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.demo_recipes.layout import DemoClip, DemoTask, SourceRecording
from tools.demo_recipes.sound import RATE, Sound, add_noise, at_level, cut, fade, resample, trim
from tools.demo_recipes.voices import Voice, all_voices

_VOICES = {
    "train": ("english_f", "greek_f", "napatan_f", "napatan_m"),
    "valid": ("french_f", "italian_m", "latin_f", "latin_m"),
    "test": ("italian_f", "persian_f", "persian_m", "russian_f"),
}
_CLIPS_PER_COUNT = {"train": 25, "valid": 10, "test": 15}
_COUNTS = (1, 2, 3, 4)
_SECONDS = 2.0
_PHRASE = (0.5, 6.0)
"""Range of the length of phrases in seconds; shorter prompts may be beeps."""
_PHRASES_PER_VOICE = 40
_PAUSE = (0.05, 0.2)
_TELEPHONE_RATE = 8000
_LINE_NOISE = (25.0, 35.0)
"""Level of speech above white noise in dB; without noise, pauses would be digital silence."""
_LEVEL = (-2.0, 2.0)
"""Range of the level of one voice relative to the others, in dB."""


@dataclass(frozen=True)
class _Phrase:
    sound: Sound
    recording: SourceRecording


def build(work: Path) -> DemoTask:
    """Return the task of clips with one to four voices at the same time."""
    rng = np.random.default_rng(105)
    voices = all_voices(work)
    phrases = {name: _phrases(voices[name], rng) for names in _VOICES.values() for name in names}
    return DemoTask(
        task_name="demo_voice_count",
        title="Number of people talking",
        sample_duration=_SECONDS,
        labels=tuple(str(count) for count in _COUNTS),
        splits=tuple(_VOICES),
        clips={split: list(_clips(split, phrases, rng)) for split in _VOICES},
        licence="CC-BY-SA-3.0",
        changes="Phrases were trimmed, limited to 4 kHz and joined to 2 s of talk a voice; one to "
        "four voices were added up at similar levels with a little white noise, and the "
        "sum set to a random level.",
    )


def _phrases(voice: Voice, rng: np.random.Generator) -> list[_Phrase]:
    """Return randomly chosen phrases of a voice, trimmed and limited to the telephone band."""
    phrases = []
    for file in rng.permutation(voice.files):
        sound = trim(voice.sound(str(file)))
        if _PHRASE[0] <= len(sound) / RATE <= _PHRASE[1]:
            phrases.append(_Phrase(at_level(_narrow(sound), -26.0), voice.recording(str(file))))
        if len(phrases) == _PHRASES_PER_VOICE:
            break
    return phrases


def _narrow(sound: Sound) -> Sound:
    """Limit the sound to the telephone band; its length does not change."""
    return cut(
        resample(resample(sound, RATE, _TELEPHONE_RATE), _TELEPHONE_RATE, RATE), len(sound) / RATE
    )


def _clips(
    split: str, phrases: dict[str, list[_Phrase]], rng: np.random.Generator
) -> Iterator[DemoClip]:
    for count in _COUNTS:
        for i in range(_CLIPS_PER_COUNT[split]):
            mix = np.zeros(round(_SECONDS * RATE))
            heard: set[SourceRecording] = set()
            for name in rng.choice(_VOICES[split], count, replace=False):
                talk, recordings = _talk(phrases[name], rng)
                mix += at_level(talk, -26.0 + rng.uniform(*_LEVEL))
                heard |= recordings
            mix = add_noise(mix, _narrow(rng.normal(size=len(mix))), rng.uniform(*_LINE_NOISE))
            yield DemoClip(
                name=f"{split}_{count}_{i:02d}",
                sound=fade(at_level(mix, rng.uniform(-32, -20))),
                labels=[str(count)],
                recordings=tuple(sorted(heard, key=lambda r: (r.package.name, r.file))),
            )


def _talk(phrases: list[_Phrase], rng: np.random.Generator) -> tuple[Sound, set[SourceRecording]]:
    """Join phrases with short pauses, from a random position in the first half of the first one."""
    n = round(_SECONDS * RATE)
    parts: list[Sound] = []
    heard: set[SourceRecording] = set()
    for i in rng.permutation(len(phrases)):
        sound = phrases[i].sound
        if not parts:
            sound = sound[int(rng.integers(0, len(sound) // 2)) :]
        pause = np.zeros(round(rng.uniform(*_PAUSE) * RATE))
        parts += [sound, pause]
        heard.add(phrases[i].recording)
        if sum(map(len, parts)) >= n:
            break
    return np.concatenate(parts)[:n], heard
