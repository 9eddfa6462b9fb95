"""What synthetic clips say: sets of labels, decoys, and where sounds lie in time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from harness.core.errors import UserError
from tasks.synthetic import KINDS
from tasks.synthetic.plan import (
    LATTICE_MS,
    label_sets,
    notes_of,
    partners,
    plan_events,
    plan_scenes,
    slots_of,
)
from tasks.synthetic.tones import decoy_frequency, frequency

RNG = np.random.default_rng


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 6, 7, 11, 12, 50, 88])
def test_sets_differ_and_leave_every_label_with_clips_that_have_it_and_that_have_not(classes):
    sets = label_sets(KINDS["multilabel"], classes)
    assert len(set(sets)) == len(sets) == classes
    having = Counter(label for labels in sets for label in labels)
    assert set(having) == set(range(classes))
    assert max(having.values()) < classes
    assert {len(labels) for labels in sets} == set(range(1, min(3, classes - 1) + 1))


@pytest.mark.parametrize("kind", ["multiclass", "pitch", "events", "notes"])
@pytest.mark.parametrize("classes", [2, 13, 54, 88])
def test_notes_rise_within_what_16_khz_carries(kind, classes):
    notes = notes_of(KINDS[kind], classes)
    assert len(notes) == classes
    assert (np.diff(notes) > 0).all()
    assert frequency(notes[0]) >= 27.4
    assert frequency(notes[-1]) < decoy_frequency(notes[0]) - 500
    assert decoy_frequency(notes[-1]) < 0.9 * 8000


def test_pitches_are_those_of_midi():
    notes = notes_of(KINDS["pitch"], 24)
    assert notes == [float(note) for note in range(60, 84)]
    assert frequency(69.0) == 440.0
    assert frequency(81.0) == pytest.approx(880.0)


@pytest.mark.parametrize(("kind", "most"), [("multilabel", 528), ("pitch", 88), ("events", 88)])
def test_there_are_only_so_many_notes(kind, most):
    assert len(notes_of(KINDS[kind], most)) == most
    for classes in (1, most + 1):
        with pytest.raises(UserError, match=f"2 to {most}, not {classes}"):
            notes_of(KINDS[kind], classes)


@pytest.mark.parametrize(("size", "answers"), [(8, 4), (9, 4), (15, 4), (16, 4), (33, 4), (7, 2)])
def test_decoys_are_those_of_other_clips_each_once(size, answers):
    for seed in range(20):
        found = partners(size, answers, RNG(seed))
        assert sorted(found) == list(range(size))
        assert all(partner != clip for clip, partner in enumerate(found))


def test_no_block_of_clips_has_its_own_answers_for_decoys():
    for seed in range(100):
        found = partners(100, 50, RNG(seed))
        assert sum(i % 50 == j % 50 for i, j in enumerate(found)) < 15


@pytest.mark.parametrize("answers", [2, 3, 7])
def test_in_a_split_of_the_right_size_each_answer_meets_each_decoy_equally_often(answers):
    size = 3 * answers**2
    met = Counter((i % answers, j % answers) for i, j in enumerate(partners(size, answers, RNG(0))))
    assert set(met.values()) == {3}
    assert len(met) == answers**2


@pytest.mark.parametrize("size", [10, 13])
def test_decoys_say_nothing_in_the_mean_where_the_size_is_another(size):
    seeds = 4000
    met: Counter[tuple[int, int]] = Counter()
    for seed in range(seeds):
        said = plan_scenes(size, 1.0, label_sets(KINDS["multiclass"], 5), RNG(seed))
        met.update((clip.answer[0].labels[0], clip.decoy[0].labels[0]) for clip in said)
    expected = seeds * size / 25
    assert len(met) == 25
    assert max(abs(count - expected) for count in met.values()) < 5 * np.sqrt(expected)


def test_the_order_of_clips_tells_no_answer():
    sets = label_sets(KINDS["multiclass"], 4)
    told = [said.answer[0].labels for said in plan_scenes(400, 1.0, sets, RNG(0))]
    repeats = sum(a == b for a, b in zip(told, told[4:], strict=False))
    assert 60 < repeats < 140  # 99 are expected, and in blocks it would be all


@pytest.mark.parametrize("seconds", [2.4, 5.0, 7.3, 60.0])
def test_no_onset_is_near_any_end_of_another_sound_or_of_the_clip(seconds):
    kind = KINDS["events"]
    slots = slots_of(kind, seconds, 0.0)
    said = plan_events(6, slots, label_sets(kind, 4), RNG(1))
    rest = kind.rest_ms
    for clip in said:
        assert len(clip.answer) == len(clip.decoy) == slots.count
        both = sorted((*clip.answer, *clip.decoy), key=lambda sound: sound.start)
        for one, other in pairwise(both):
            assert one.end + rest <= other.start
        assert both[-1].end + rest <= 1000 * seconds
        assert min(sound.start for sound in clip.answer) > 1000
        for sound in both:
            assert kind.sound_ms[0] <= sound.end - sound.start <= kind.sound_ms[1]
            assert sound.start % LATTICE_MS == sound.end % LATTICE_MS == 0


def test_an_event_clips_decoy_is_another_clips_answer_half_a_slot_earlier():
    kind = KINDS["notes"]
    slots = slots_of(kind, 6.0, 0.0)
    said = plan_events(5, slots, label_sets(kind, 4), RNG(2))
    later = [
        [(s.labels, s.start + slots.half, s.end + slots.half) for s in clip.decoy] for clip in said
    ]
    answers = [[(s.labels, s.start, s.end) for s in clip.answer] for clip in said]
    assert sorted(later) == sorted(answers)
    assert all(decoy != answer for decoy, answer in zip(later, answers, strict=True))


def test_every_set_of_labels_sounds_as_often_as_each():
    kind = KINDS["events"]
    sets = label_sets(kind, 5)
    said = plan_events(7, slots_of(kind, 8.0, 0.0), sets, RNG(3))
    counts = Counter(sound.labels for clip in said for sound in clip.answer)
    assert set(counts) == set(sets)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_clips_without_room_for_a_slot_are_refused():
    with pytest.raises(UserError, match=r"--seconds 2\.4 or more"):
        slots_of(KINDS["events"], 2.3, 0.0)
