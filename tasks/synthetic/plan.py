"""Plan the clips of a synthetic task: for each an answer and a decoy.

An answer is a sequence of sounds, and each sound has a set of labels. A scene clip has one sound as
long as the clip. An event clip has several sounds with silence between them. Each clip also has a
decoy: the answer of another clip of its split, chosen by a permutation that does not depend on the
labels. So predictions made from decoys score at chance level:

Scenes. If the size of a split is a multiple of the squared number of answers, each answer occurs
with each decoy equally often. Any predictions from the decoys then hit the same share of each
class: accuracy is one over the number of classes, average precision is the label's share, AUC is
1/2 and d' is 0. In other splits this holds for the mean over seeds, except for average precision,
which is higher for a random order of few clips.

Events. Decoys sound half a slot before the answers, so no sound of a decoy starts or ends within a
collar of a start or end in the answer. A predicted onset from a decoy is never correct: F is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from harness.core.errors import UserError
from tasks.format.spec import EmbeddingType, PredictionType
from tasks.synthetic.kinds import Kind
from tasks.synthetic.tones import HIGHEST, LOWEST, decoy_frequency, frequency

LATTICE_MS = 10.0
"""Events start and end at multiples of this number of ms, so that frames can match them exactly."""

_LEAST_ROOM_MS = 100.0  # minimum range of an onset within its slot
# Lowest notes to use if there are enough notes above them; models resolve higher notes better.
_COMFORTABLE, _FIRST_PITCH = 55.0, 60.0
# The smallest steps between notes: scenes may have hundreds of labels, events have few.
_STEP = {EmbeddingType.SCENE: 1 / 6, EmbeddingType.EVENT: 1.0}
# Minimum length of a sound in periods of the frequency difference between two notes: to distinguish
# a note from the next possible one, and to play two notes at the same time without beating.
_PERIODS_BETWEEN_STEPS, _PERIODS_BETWEEN_TOGETHER = 0.4, 2.0


@dataclass(frozen=True)
class PlannedSound:
    """Label indices that sound together from ``start`` to ``end`` ms."""

    labels: tuple[int, ...]
    start: float
    end: float


Answer = tuple[PlannedSound, ...]


@dataclass(frozen=True)
class Said:
    """The answer and the decoy of a clip; in event tasks, decoys are shifted in time."""

    answer: Answer
    decoy: Answer


def notes_of(kind: Kind, classes: int) -> list[float]:
    """Return the note of each label, in ascending order.

    Raises:
        UserError: the number of classes is below 2 or above the number of notes.
    """
    step = 1.0 if kind.pitched else _STEP[kind.embedding_type]
    most = round((HIGHEST - LOWEST) / step)
    if not 2 <= classes <= most:
        raise UserError(f"--classes of a task '{kind.name}' must be 2 to {most}, not {classes}.")
    if kind.pitched:
        return [min(_FIRST_PITCH, HIGHEST - classes) + k for k in range(classes)]
    lowest = min(_COMFORTABLE, HIGHEST - classes * step)
    steps = round((HIGHEST - lowest) / step)
    return [lowest + step * (k * steps // classes) for k in range(classes)]


def label_sets(kind: Kind, classes: int) -> list[tuple[int, ...]]:
    """Return the sets of labels that a sound may have, one set per label.

    In a multilabel task a set has one to three labels with distant pitches. All sets are different,
    every label is in at least one set and no label is in all sets.
    """
    if kind.prediction_type == PredictionType.MULTICLASS:
        return [(k,) for k in range(classes)]
    apart, largest = max(1, classes // 3), min(3, classes - 1)
    return [
        tuple(sorted((k + i * apart) % classes for i in range(1 + k % largest)))
        for k in range(classes)
    ]


def shortest_sound_ms(kind: Kind, notes: Sequence[float], sets: Sequence[Sequence[int]]) -> float:
    """Return the minimum length of a sound, in ms, for its notes to be identified reliably."""
    next_one = 1.0 if kind.embedding_type == EmbeddingType.EVENT else _STEP[EmbeddingType.SCENE]
    seconds = _PERIODS_BETWEEN_STEPS / (frequency(notes[0] + next_one) - frequency(notes[0]))
    for together in sets:
        for low, high in pairwise(together):
            for hertz in (frequency, decoy_frequency):
                difference = hertz(notes[high]) - hertz(notes[low])
                seconds = max(seconds, _PERIODS_BETWEEN_TOGETHER / difference)
    return 1000.0 * seconds


def plan_scenes(
    size: int, seconds: float, sets: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> list[Said]:
    """Return the clips of one split of a scene task, in random order.

    The numbers of clips of two answers differ by at most one.
    """
    whole = size - size % len(sets)
    answers = [i % len(sets) for i in range(whole)]
    answers += rng.permutation(len(sets))[: size - whole].tolist()
    partner = partners(size, len(sets), rng)
    sounds = [(PlannedSound(labels, 0.0, 1000.0 * seconds),) for labels in sets]
    said = [Said(sounds[answers[i]], sounds[answers[partner[i]]]) for i in range(size)]
    return [said[i] for i in rng.permutation(size)]


def partners(size: int, answers: int, rng: np.random.Generator) -> list[int]:
    """Return, for each clip, the clip whose answer is its decoy: a permutation of the clips.

    The clips form at least two blocks with one clip per answer, in the order of the answers. From
    block to block, the decoys move by one place in a random order, so that over as many blocks as
    answers each answer gets each decoy once. The answers have a different random order; otherwise
    all would get their own label as decoy in one block. Each clip beyond the last whole block is
    inserted into the permutation at a random place.
    """
    blocks = size // answers
    place, decoys = rng.permutation(answers), rng.permutation(answers)
    partner = []
    for i in range(blocks * answers):
        block, answer = divmod(i, answers)
        decoy = decoys[(place[answer] + block) % answers]
        partner.append(int((block + 1) % blocks * answers + decoy))
    for i in range(blocks * answers, size):
        other = int(rng.integers(i))
        partner.append(partner[other])
        partner[other] = i
    return partner


@dataclass(frozen=True)
class Slots:
    """The division of an event clip into ``count`` slots of two halves of ``half`` ms.

    The decoy is in the first half of a slot, the answer in the second. A sound has a length of
    ``sound`` (minimum, maximum) ms, starts at most ``room`` ms after the start of its half, and
    ends at least a rest before the next half.
    """

    count: int
    half: float
    room: float
    sound: tuple[float, float]


def slots_of(kind: Kind, seconds: float, shortest_ms: float) -> Slots:
    """Return the division of the clips of an event task into slots.

    Raises:
        UserError: the clips are too short for one slot.
    """
    least, most = kind.sound_ms
    longer = max(0.0, _on_lattice(shortest_ms + LATTICE_MS) - least)
    sound = least + longer, most + longer
    half = _LEAST_ROOM_MS + sound[1] + kind.rest_ms
    count = int(1000.0 * seconds // (2 * half))
    if not count:
        raise UserError(
            f"Clips of {seconds:g} s are too short for a sound of this task '{kind.name}' and its "
            f"decoy. Give --seconds {2 * half / 1000:g} or more, or fewer --classes."
        )
    half = LATTICE_MS * (500.0 * seconds / count // LATTICE_MS)
    return Slots(count, half, half - sound[1] - kind.rest_ms, sound)


def plan_events(
    size: int, slots: Slots, sets: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> list[Said]:
    """Return the clips of one split of an event task; all label sets are about equally frequent."""
    rounds = -(-size * slots.count // len(sets))
    drawn = iter([sets[k] for _ in range(rounds) for k in rng.permutation(len(sets))])
    answers = [
        tuple(_sound(next(drawn), slots, slot, rng) for slot in range(slots.count))
        for _ in range(size)
    ]
    circle = rng.permutation(size)
    partner = dict(zip(circle.tolist(), np.roll(circle, 1).tolist()))
    return [Said(answers[i], _earlier(answers[partner[i]], slots.half)) for i in range(size)]


def _sound(
    labels: tuple[int, ...], slots: Slots, slot: int, rng: np.random.Generator
) -> PlannedSound:
    length = _on_lattice(rng.uniform(*slots.sound))
    start = (2 * slot + 1) * slots.half + _on_lattice(rng.uniform(0, slots.room))
    return PlannedSound(labels, start, start + length)


def _earlier(answer: Answer, by: float) -> Answer:
    return tuple(replace(sound, start=sound.start - by, end=sound.end - by) for sound in answer)


def _on_lattice(milliseconds: float) -> float:
    return LATTICE_MS * (milliseconds // LATTICE_MS)
