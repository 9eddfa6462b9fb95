"""What the package stores: that it is what the cards, labels and licences say."""

from __future__ import annotations

import csv
from collections import defaultdict
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harness.metrics.registry import metrics_of
from tasks.cards.builtin import suites
from tasks.cards.card import Card
from tasks.check import check_task
from tasks.demo import SAMPLE_RATE, demo_directory, demo_names
from tasks.format.task import Task, read_task
from tools.demo_recipes.layout import LICENCE_URLS

DEMO = {card.name: card for card in suites()["demo"]}
IN_EVERY_SPLIT = {
    "demo_pipe_pitch": {"Sounds/Motor.wav"},
    "demo_sample_mix": {"vinyl_hiss.flac"},
}
"""Backgrounds: no label depends on them (of the blower, each split has its own stretch)."""


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEAR_BYOLA_CACHE", str(tmp_path_factory.mktemp("cache")))
        demo.cache_clear()
        yield


@cache
def demo(name: str) -> Task:
    return read_task(demo_directory(name))


def wav(task: Task, split: str, clip: str) -> np.ndarray:
    return soundfile.read(task.directory / str(SAMPLE_RATE) / split / clip)[0]


def test_each_demo_task_has_a_card() -> None:
    assert demo_names() == tuple(sorted(DEMO))


@pytest.mark.parametrize("card", DEMO.values(), ids=list(DEMO))
def test_a_card_agrees_with_its_data(card: Card) -> None:
    task = demo(card.name)
    clips = {split: len(task.clips[split]) for split in task.splits}
    stated = card.clip_seconds
    assert stated is not None
    assert task.directory.name == task.name == card.directory
    assert task.embedding_type == card.embedding_type
    assert task.prediction_type == card.prediction_type
    assert task.split_mode == card.split_mode
    assert task.evaluation == card.metrics
    assert task.sample_duration == stated
    assert len(task.labels) == card.classes
    assert sum(clips.values()) == card.clips
    assert sum(clips[fold.test] for fold in task.folds) == card.n_test
    assert (None if card.folds is None else len(task.folds)) == card.folds
    assert card.hours == pytest.approx(sum(clips.values()) * stated / 3600, rel=1e-3)
    assert set(card.metrics) <= metrics_of(card.embedding_type, card.prediction_type).keys()


@pytest.mark.parametrize("name", DEMO)
def test_a_demo_task_passes_the_check(name: str) -> None:
    assert check_task(demo(name).directory, SAMPLE_RATE) == []


@pytest.mark.parametrize("name", DEMO)
def test_every_label_is_in_every_split(name: str) -> None:
    task = demo(name)
    for split in task.splits:
        clips = task.clips[split]
        found = {label for clip in clips for label in clip.labels}
        found |= {event.label for clip in clips for event in clip.events}
        assert found == set(task.labels)


@pytest.mark.parametrize("name", DEMO)
def test_no_recording_is_heard_in_two_splits(name: str) -> None:
    splits_of = defaultdict(set)
    clips = set()
    with (demo(name).directory / "origins.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            splits_of[row["recording"]].add(row["split"])
            clips.add((row["split"], f"{row['clip']}.wav"))
    shared = {recording for recording, splits in splits_of.items() if len(splits) > 1}
    assert shared == IN_EVERY_SPLIT.get(name, set())
    task = demo(name)
    assert clips == {(split, clip.name) for split in task.splits for clip in task.clips[split]}


TEST_GROUPS = {"demo_guitar_chord": 72, "demo_pipe_pitch": 14}
"""Of the others, clips share voices or sounds in no whole groups."""


@pytest.mark.parametrize("name", DEMO)
def test_clips_of_one_recording_or_take_are_a_group_of_one_split(name: str) -> None:
    task = demo(name)
    splits_of = defaultdict(set)
    for split in task.splits:
        for clip in task.clips[split]:
            splits_of[clip.group].add(split)
    assert task.has_groups == (name in TEST_GROUPS)
    if task.has_groups:
        tested = {clip.group for fold in task.folds for clip in task.clips[fold.test]}
        assert len(tested) == TEST_GROUPS[name]
        assert all(len(splits) == 1 for splits in splits_of.values())


def test_a_group_of_pipes_is_a_recording_of_its_clips() -> None:
    task = demo("demo_pipe_pitch")
    with (task.directory / "origins.csv").open(newline="") as file:
        heard = {
            (f"{row['clip']}.wav", Path(row["recording"]).stem) for row in csv.DictReader(file)
        }
    clips = [clip for of_split in task.clips.values() for clip in of_split]
    stops = {clip.name: clip.name.rsplit("-", 1)[0] for clip in clips}
    assert all((c.name, c.group.removeprefix(f"{stops[c.name]}-")) in heard for c in clips)


@pytest.mark.parametrize("name", DEMO)
def test_each_recording_is_credited_under_a_free_licence(name: str) -> None:
    text = (demo(name).directory / "ATTRIBUTION.md").read_text()
    assert f"[{DEMO[name].licence}]" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert all(row[3].split("]")[0].removeprefix("[") in LICENCE_URLS for row in rows)
    assert all(row[2].strip() for row in rows)
    credited = {file for row in rows for file in row[0].removeprefix("| ").split(", ")}
    with (demo(name).directory / "origins.csv").open(newline="") as file:
        used = {row["recording"] for row in csv.DictReader(file)}
    assert used <= credited | {file for row in rows for file in [row[0].removeprefix("| ")]}


def test_the_stored_audio_takes_less_than_ten_megabytes() -> None:
    stored = Path(str(files("tasks.demo") / "data")).rglob("*.ogg")
    assert sum(path.stat().st_size for path in stored) < 10e6


@pytest.mark.parametrize("name", DEMO)
def test_clips_have_the_stated_length_and_are_heard(name: str) -> None:
    task = demo(name)
    assert task.sample_duration is not None
    for split in task.splits:
        for clip in task.clips[split]:
            audio = wav(task, split, clip.name)
            assert len(audio) == round(task.sample_duration * SAMPLE_RATE)
            assert 0.001 < np.sqrt(np.mean(audio**2)) < 0.5, clip.name


def test_events_start_where_the_labels_say() -> None:
    """The 50 ms after an onset are louder than the 50 ms before, where nothing else sounds."""
    task = demo("demo_transport_events")
    n = round(0.05 * SAMPLE_RATE)
    rises = []
    for split in task.splits:
        for clip in task.clips[split]:
            audio = wav(task, split, clip.name)
            for event in clip.events:
                onset = round(event.start / 1000 * SAMPLE_RATE)
                alone = not any(
                    other.start - 60 < event.start < other.end + 60
                    for other in clip.events
                    if other is not event
                )
                if alone and onset >= n:
                    before, after = audio[onset - n : onset], audio[onset : onset + n]
                    rises.append(10 * np.log10(np.mean(after**2) / np.mean(before**2)))
    assert len(rises) > 60
    assert np.mean(np.array(rises) > 1.0) > 0.9
    assert np.median(rises) > 6.0
