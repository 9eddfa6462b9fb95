"""The oracle hears what synthetic clips say, in any size and at any rate."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import torch

from harness.baselines import oracle
from harness.core.errors import UserError
from harness.metrics.events import frame_targets
from tasks.format.newtask import NewClip, NewTask
from tasks.synthetic import KINDS, new_task
from tasks.synthetic.plan import notes_of
from tasks.synthetic.tones import render


def heard_at(clip: NewClip, sample_rate: int) -> np.ndarray:
    """A clip's samples as the harness reads them: 16 bit, resampled, clipped."""
    audio, rate = render(clip.source)
    coarse = np.rint(audio * 32768) / 32768
    return np.clip(soxr.resample(coarse, rate, sample_rate), -1, 1).astype(np.float32)


def keys(task: NewTask, kind: str, parts: int) -> dict[str, int]:
    """The column of each label."""
    notes = notes_of(KINDS[kind], len(task.labels))
    places = [round((note - oracle.LOWEST) * parts) for note in notes]
    return dict(zip(task.labels, places, strict=True))


@pytest.mark.parametrize("sample_rate", [16000, 22050, 44100])
@pytest.mark.parametrize(
    ("kind", "classes", "seconds"),
    [
        ("multiclass", 2, 0.212),
        ("multiclass", 302, 0.212),
        ("multilabel", 3, 0.212),
        ("multilabel", 200, 1.0),
        ("multilabel", 528, 1.51),
        ("pitch", 24, 0.16),
        ("pitch", 88, 1.51),
        ("kfold", 5, 5.0),
    ],
)
def test_scenes_of_any_size_are_heard_whole(kind, classes, seconds, sample_rate):
    task = new_task(kind, classes=classes, seconds=seconds, clips=10 * classes)
    column = keys(task, kind, oracle.PARTS)
    model = oracle.load_model(sample_rate=sample_rate)
    for clip in task.clips[:: max(1, len(task.clips) // 3)]:
        heard = np.flatnonzero(model.scene(heard_at(clip, sample_rate)))
        assert set(heard) == {column[label] for label in clip.labels}


@pytest.mark.parametrize("sample_rate", [16000, 22050])
@pytest.mark.parametrize(
    ("kind", "classes", "seconds"),
    [("events", 2, 2.4), ("events", 88, 5.5), ("notes", 3, 7.7), ("notes", 88, 1.8)],
)
def test_events_are_heard_to_the_frame(kind, classes, seconds, sample_rate):
    task = new_task(kind, classes=classes, seconds=seconds, clips=max(10, 5 * classes))
    column = keys(task, kind, 1)
    model = oracle.load_model(sample_rate=sample_rate)
    for clip in task.clips[:: max(1, len(task.clips) // 2)]:
        heard = model.frames(heard_at(clip, sample_rate))
        truth = frame_targets(model.times(len(heard)), clip.events, task.labels)
        expected = np.zeros_like(heard)
        expected[:, [column[label] for label in task.labels]] = truth
        np.testing.assert_array_equal(heard, expected)


@pytest.mark.parametrize(("kind", "n"), [("multilabel", 16), ("notes", 6)])
def test_shuffled_hears_the_labels_of_the_other_clips_each_once(kind, n):
    task = new_task(kind, classes=4, clips=5 * n, seconds=1.0 if kind == "multilabel" else 3.4)
    clips = [clip for clip in task.clips if clip.split in ("test", "fold00")]
    own, other = (oracle.load_model(mode=mode) for mode in ("oracle", "shuffled"))

    def said(model, clip):
        audio = heard_at(clip, 16000)
        if kind == "multilabel":
            return model.scene(audio).tobytes()
        sounds = model.frames(audio)
        return sounds[sounds.any(axis=1)].tobytes()

    answers = [said(own, clip) for clip in clips]
    decoys = [said(other, clip) for clip in clips]
    assert sorted(answers) == sorted(decoys)
    assert answers != decoys


def test_a_shift_and_a_drift_are_in_the_timestamps_alone():
    audio = torch.from_numpy(heard_at(new_task("events", clips=10).clips[0], 16000))[None]
    right, times = oracle.get_timestamp_embeddings(audio, oracle.load_model())
    late = oracle.load_model(mode="shifted", shift_ms=30.0, drift_ms=10.0)
    shifted, late_times = oracle.get_timestamp_embeddings(audio, late)
    kept = shifted.shape[1]
    torch.testing.assert_close(shifted, right[:, :kept], rtol=0, atol=0)
    torch.testing.assert_close(late_times, (1.01 * times + 30)[:, :kept], rtol=1e-6, atol=0)
    assert late_times[0, -1] <= 8000.0 < 1.01 * times[0, kept] + 30
    assert times[0, :3].tolist() == [0.0, 10.0, 20.0]
    assert times[0, -1] == 8000.0


def test_what_says_nothing_is_heard_as_nothing():
    model = oracle.load_model()
    for samples in (1, 100, 16000):
        audio = torch.zeros(2, samples)
        assert not oracle.get_scene_embeddings(audio, model).any()
        embeddings, times = oracle.get_timestamp_embeddings(audio, model)
        assert not embeddings.any()
        assert embeddings.shape[:2] == times.shape


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model_file_path": "w.pt"}, "no weights"),
        ({"mode": "oracel"}, "Did you mean 'oracle'"),
        ({"shift_ms": 10.0}, "mode=shifted"),
        ({"mode": "shifted", "drift_ms": -1000.0}, "drift_ms a number above -1000, not"),
        ({"mode": "shifted", "shift_ms": float("nan")}, "shift_ms must be a finite number"),
        ({"sample_rate": 8000}, "sample_rate must be one of"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        oracle.load_model(**options)
