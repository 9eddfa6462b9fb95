"""What each clip of a synthetic task says: its answer, and the answer of another clip.

An answer is a row of sounds, each a set of labels: one sound as long as the clip in scene tasks,
sounds with silence between them in event tasks. Every clip carries besides, as a decoy, the answer
of another clip of its split, by a permutation that knows nothing of the labels. Who reads the
decoys knows exactly nothing:

Scenes. In a split whose size is a multiple of the squared number of answers, each answer stands
beside each decoy equally often. So whatever is made of the decoys, of each class the same share is
hit: accuracy is one over the number of classes, average precision a label's share, AUC 1/2, d' 0.
In other splits this holds in the mean over seeds, but for the average precision, which any random
order of few clips raises.

Events. The decoys sound half a slot before the answers, so that no sound of the one begins within
a collar of any start or end of the other. No change in what is read from the decoys can then be
taken for an onset: F is 0.
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
"""Events start and end at multiples of this, as frames that meet them exactly can lie."""

_LEAST_ROOM_MS = 100.0  # by which onsets vary within their slots
# From where on notes are used while they last: what is higher, all models hear well.
_COMFORTABLE, _FIRST_PITCH = 55.0, 60.0
# The smallest steps between notes: in scenes, which may have hundreds of labels, and in events.
_STEP = {EmbeddingType.SCENE: 1 / 6, EmbeddingType.EVENT: 1.0}
# How many periods of the difference between two notes a sound must last: for one note to be told
# from the next one that could be, and for two notes to sound together without beating.
_PERIODS_BETWEEN_STEPS, _PERIODS_BETWEEN_TOGETHER = 0.4, 2.0


@dataclass(frozen=True)
class PlannedSound:
    """Labels, by their indices, that sound together from ``start`` to ``end`` ms."""

    labels: tuple[int, ...]
    start: float
    end: float


Answer = tuple[PlannedSound, ...]


@dataclass(frozen=True)
class Said:
    """The answer of a clip, and its decoy: another clip's answer, in events moved in time."""

    answer: Answer
    decoy: Answer


def notes_of(kind: Kind, classes: int) -> list[float]:
    """Return the note of each label, rising.

    Raises:
        UserError: there are not as many.
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
    """Return the sets of labels that a sound may have, as many as there are labels.

    Of a multilabel task they have one to three labels far from each other in pitch, all are
    different, every label is in one of them and none is in all.
    """
    if kind.prediction_type == PredictionType.MULTICLASS:
        return [(k,) for k in range(classes)]
    apart, largest = max(1, classes // 3), min(3, classes - 1)
    return [
        tuple(sorted((k + i * apart) % classes for i in range(1 + k % largest)))
        for k in range(classes)
    ]


def shortest_sound_ms(kind: Kind, notes: Sequence[float], sets: Sequence[Sequence[int]]) -> float:
    """Return how long a sound must last for its notes to be told for certain, in ms."""
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
    """Plan the clips of one split of a scene task, in random order.

    Each answer is had by as many clips as each other, or by one more.
    """
    whole = size - size % len(sets)
    answers = [i % len(sets) for i in range(whole)]
    answers += rng.permutation(len(sets))[: size - whole].tolist()
    partner = partners(size, len(sets), rng)
    sounds = [(PlannedSound(labels, 0.0, 1000.0 * seconds),) for labels in sets]
    said = [Said(sounds[answers[i]], sounds[answers[partner[i]]]) for i in range(size)]
    return [said[i] for i in rng.permutation(size)]


def partners(size: int, answers: int, rng: np.random.Generator) -> list[int]:
    """Return for each clip another one whose answer is its decoy: a permutation of the clips.

    The clips form blocks of one clip an answer, in the order of the answers; of blocks there are
    two or more. From block to block the decoys move on by one place in a random order, so that in
    as many blocks as answers each answer meets each decoy once. The answers have a random order of
    their own, lest they all meet themselves in one block. Clips beyond the last whole block cut in
    on random pairs.
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
    """How the time of an event clip is divided: ``count`` slots of two halves of ``half`` ms.

    The decoy sounds in the first half of a slot, the answer in the second. A sound of ``sound``
    (shortest, longest) ms begins up to ``room`` ms into its half, and ends a rest before the next.
    """

    count: int
    half: float
    room: float
    sound: tuple[float, float]


def slots_of(kind: Kind, seconds: float, shortest_ms: float) -> Slots:
    """Divide clips of an event task.

    Raises:
        UserError: there is no room for one slot.
    """
    least, most = kind.sound_ms
    longer = max(0.0, _on_lattice(shortest_ms + LATTICE_MS) - least)
    sound = least + longer, most + longer
    half = _LEAST_ROOM_MS + sound[1] + kind.rest_ms
    count = int(1000.0 * seconds // (2 * half))
    if not count:
        raise UserError(
            f"Clips of {seconds:g} s have no room for a sound of this task '{kind.name}' and its "
            f"decoy: give --seconds {2 * half / 1000:g} or more, or fewer --classes."
        )
    half = LATTICE_MS * (500.0 * seconds / count // LATTICE_MS)
    return Slots(count, half, half - sound[1] - kind.rest_ms, sound)


def plan_events(
    size: int, slots: Slots, sets: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> list[Said]:
    """Plan the clips of one split of an event task; each set of labels occurs as often as each."""
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
