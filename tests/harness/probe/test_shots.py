from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from support.probe_data import balanced, class_task, event_task, label_task, make_task

from harness.core.errors import UserError
from harness.core.hashing import sha256_of
from harness.probe import PROTOCOLS, few_shot, find_protocol, name_and_shots, next_units, supports
from harness.probe.run import run_unit
from harness.probe.shots import draw_clips, leaves_clips_out, only_chosen, scarce_labels
from harness.run.preflight import with_shots
from tasks.format.task import Clip

SPLITS = {"train": balanced(60), "valid": balanced(30), "test": balanced(30)}


def drawn(task, shots: int, draw: int = 0) -> list[Clip]:
    (fold, *_) = task.folds
    chosen = draw_clips(task, fold, shots, draw)
    return [task.clips[split][i] for split in chosen for i in chosen[split]]


@pytest.mark.parametrize("shots", [1, 4, 16])
def test_a_class_gets_exactly_its_shots(shots: int) -> None:
    task, _ = class_task(SPLITS)
    counts = Counter(clip.labels for clip in drawn(task, shots))
    assert counts == {(label,): shots for label in task.labels}


def test_draws_differ_and_are_repeated() -> None:
    task, _ = class_task(SPLITS)
    first = drawn(task, 4)
    assert drawn(task, 4) == first
    others = [drawn(task, 4, draw) for draw in range(1, 5)]
    assert all(other != first for other in others)
    again = make_task({**task.clips, "train": task.clips["train"][::-1]}, task.labels)
    assert {clip.name for clip in drawn(again, 4)} == {clip.name for clip in first}


def test_every_clip_is_drawn_as_often_as_others() -> None:
    task, _ = class_task(SPLITS)
    counts = Counter(clip.name for draw in range(400) for clip in drawn(task, 4, draw))
    # Each of 20 clips of a class is in a draw with p = 0.2: 80 of 400, standard deviation 8.
    assert len(counts) == 60
    assert min(counts.values()) >= 48
    assert max(counts.values()) <= 112


def test_fewer_shots_are_among_more() -> None:
    for task, _ in (class_task(SPLITS), label_task(), event_task(n=12)):
        names = [{clip.name for clip in drawn(task, shots)} for shots in (1, 2, 5)]
        assert names[0] < names[1] <= names[2]


def test_shots_come_from_as_many_groups_as_possible() -> None:
    # Class 0 has 3 large groups, class 1 one large group and 10 of one clip.
    clips = [Clip(f"a{g}-{i}.wav", ("a",), group=f"a{g}") for g in range(3) for i in range(20)]
    clips += [Clip(f"b-{i}.wav", ("b",), group="b") for i in range(30)]
    clips += [Clip(f"b{g}.wav", ("b",), group=f"b{g}") for g in range(10)]
    task = make_task({"train": clips, "valid": clips[:1], "test": clips[:1]}, ["a", "b"])
    for draw in range(10):
        groups = Counter(clip.group for clip in drawn(task, 6, draw))
        assert [groups[f"a{g}"] for g in range(3)] == [2, 2, 2]
        assert sum(count for group, count in groups.items() if group.startswith("b")) == 6
        assert max(count for group, count in groups.items() if group.startswith("b")) == 1


def test_every_label_of_a_multilabel_task_has_its_shots() -> None:
    task, _ = label_task()
    for draw in range(5):
        clips = drawn(task, 4, draw)
        counts = Counter(label for clip in clips for label in clip.labels)
        assert min(counts[label] for label in task.labels) >= 4
        assert len(clips) <= 16
        assert all(clip.labels for clip in clips)


def test_shots_of_an_event_task_are_recordings() -> None:
    task, embeddings = event_task(n=12)
    assert len(drawn(task, 3)) == 3  # each contains both labels
    fold = task.folds[0]
    chosen = draw_clips(task, fold, 3, 0)
    _, _, small = only_chosen(task, fold, embeddings, chosen)
    whole = embeddings["train"]
    for place, clip in enumerate(chosen["train"]):
        ours = slice(*small["train"].offsets[place : place + 2])
        rows = slice(*whole.offsets[clip : clip + 2])
        np.testing.assert_array_equal(small["train"].embeddings[ours], whole.embeddings[rows])
        np.testing.assert_array_equal(small["train"].timestamps[ours], whole.timestamps[rows])


def test_a_fold_draws_from_all_its_splits() -> None:
    task, embeddings = class_task({f"fold0{i}": balanced(9) for i in range(5)})
    fold = task.folds[0]
    chosen = draw_clips(task, fold, 1, 0)
    small, ours, rows = only_chosen(task, fold, embeddings, chosen)
    assert sum(len(small.clips[split]) for split in ours.train) == 3
    assert all(small.clips[split] for split in ours.train)  # no empty split
    assert small.clips[fold.valid] == task.clips[fold.valid]
    assert rows[fold.test] is embeddings[fold.test]
    assert draw_clips(task, task.folds[1], 1, 0) != chosen


def test_a_scarce_label_gives_all_its_clips() -> None:
    task, _ = class_task({**SPLITS, "train": [0] * 20 + [1] * 20 + [2] * 3})
    assert Counter(clip.labels[0] for clip in drawn(task, 8)) == {
        "class0": 8,
        "class1": 8,
        "class2": 3,
    }
    assert scarce_labels(task, 8) == {"class2": 3}
    assert leaves_clips_out(task, 19)
    assert not leaves_clips_out(task, 20)
    assert not supports(find_protocol("linear-20-shot"), task)


@pytest.mark.parametrize("name", [n for n, p in PROTOCOLS.items() if not p.needs_layers])
def test_a_few_shot_probe_is_that_of_a_smaller_task(name: str) -> None:
    task, embeddings = class_task(SPLITS)
    assert supports(PROTOCOLS[name], task)
    protocol = few_shot(PROTOCOLS[name], 4)
    unit = next_units(protocol, task, {})[0]
    found = run_unit(protocol, unit, task, embeddings, 3)
    chosen = draw_clips(task, task.folds[0], 4, 3)
    small, _, rows = only_chosen(task, task.folds[0], embeddings, chosen)
    assert len(small.clips["train"]) == 12
    whole = run_unit(dataclasses.replace(protocol, shots=None), unit, small, rows, 3)
    np.testing.assert_array_equal(found.probabilities, whole.probabilities)


def test_names_of_few_shot_protocols() -> None:
    assert name_and_shots("linear-16-shot") == ("linear", 16)
    assert name_and_shots("linear") == ("linear", None)
    assert name_and_shots("linear-0-shot") == ("linear-0-shot", None)
    assert with_shots(["linear", "knn-2-shot"], [1, None]) == (
        "linear-1-shot",
        "linear",
        "knn-2-shot",
    )
    found = find_protocol("knn-16-shot")
    assert (found.name, found.shots) == ("knn-16-shot", 16)
    assert sha256_of(found.identity()) != sha256_of(find_protocol("knn-4-shot").identity())
    with pytest.raises(UserError, match="Did you mean 'linear'"):
        find_protocol("linaer-4-shot")
