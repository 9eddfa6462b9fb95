"""Recordings on the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from support import task_directories
from support.changed import changed

from harness.core.errors import UserError
from harness.report.sounds import MOST_SECONDS, Sounds, recording

TASK = "tiny_scene-v1-full"


@pytest.fixture
def record(material):
    return material.records["linear", TASK, "logmel"][0]


def decoded(source: str) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(base64.b64decode(source.partition(",")[2])))


def test_a_short_recording_is_embedded_without_loss(record):
    sound = Sounds(10**6).player(record, "test", "test-0000.wav")
    audio, rate = decoded(sound.source)
    original, _ = soundfile.read(recording(record, "test", "test-0000.wav"))
    assert rate == 16000
    np.testing.assert_array_equal(audio, original)


def test_the_highest_rate_up_to_48_khz_is_taken(tmp_path, record):
    directory = task_directories.make_task(tmp_path, "scene", n=4, rates=(16000, 44100, 48000))
    other = changed(record, task_directory=directory)
    assert recording(other, "test", "test-0000.wav").parts[-3] == "48000"


def test_of_a_long_recording_the_beginning_is_embedded(tmp_path, record):
    directory = task_directories.make_task(tmp_path, "scene", n=4, seconds=20.0)
    other = changed(record, task_directory=directory)
    sound = Sounds(10**7).player(other, "test", "test-0001.wav")
    audio, rate = decoded(sound.source)
    assert sound.note == "the first 15 of 20 s"
    assert len(audio) / rate == pytest.approx(MOST_SECONDS, abs=0.1)
    assert len(sound.source) < 400_000


def test_what_has_no_room_is_linked(record):
    sounds = Sounds(20_000)
    found = [sounds.player(record, "test", f"test-{number:04d}.wav") for number in range(8)]
    embedded = [each for each in found if each.source.startswith("data:")]
    linked = [each for each in found if each.linked]
    assert embedded
    assert linked
    assert len(embedded) + len(linked) == 8
    assert sum(len(each.source) * 3 / 4 for each in embedded) <= 20_100
    assert all("linked" in each.note for each in linked)


def test_a_recording_that_is_gone_is_said_to_be(record, tmp_path):
    assert "is missing" in Sounds(10**6).player(record, "test", "nowhere.wav").note
    moved = changed(record, task_directory=tmp_path / "nowhere")
    assert "are missing" in Sounds(10**6).player(moved, "test", "test-0000.wav").note
    with pytest.raises(UserError, match="no task directory with audio"):
        recording(moved, "test", "test-0000.wav")


@pytest.fixture
def diary(tmp_path) -> Path:
    """A recording of the machine that belongs to no task."""
    path = tmp_path / "private" / "diary.wav"
    path.parent.mkdir()
    soundfile.write(path, np.linspace(-0.5, 0.5, 1600), 16000)
    return path


@pytest.mark.parametrize("clip", ["{diary}", "../../../private/diary.wav", "link.wav"])
def test_a_record_shows_nothing_but_recordings_of_its_task(record, tmp_path, diary, clip):
    directory = task_directories.make_task(tmp_path, "scene", n=4)
    (directory / "16000/test/link.wav").symlink_to(diary)
    other = changed(record, task_directory=directory)
    clip = clip.format(diary=diary)
    assert (directory / "16000/test" / clip).is_file()
    with pytest.raises(UserError, match="outside its task's directory"):
        recording(other, "test", clip)
    assert Sounds(10**6).player(other, "test", clip).source == ""
    assert Sounds(0).player(other, "test", clip).source == ""


def test_a_folder_that_is_no_task_has_no_recordings(record, tmp_path, diary):
    folder = tmp_path / "16000" / "test"
    folder.mkdir(parents=True)
    diary.rename(folder / "diary.wav")
    other = changed(record, task_directory=tmp_path)
    assert "are missing" in Sounds(10**6).player(other, "test", "diary.wav").note


def test_a_link_leads_from_the_pages_folder_to_the_recording(record, tmp_path):
    directory = task_directories.make_task(tmp_path / "my tasks", "scene", n=4)
    other = changed(record, task_directory=directory)
    found = Sounds(0, tmp_path / "pages").player(other, "test", "test-0000.wav")
    assert found.source.startswith("../my%20tasks/")
    place = tmp_path / "pages" / unquote(found.source)
    assert place.resolve() == directory / "16000/test/test-0000.wav"


def test_a_damaged_recording_is_said_to_be(record, tmp_path):
    directory = task_directories.make_task(tmp_path, "scene", n=4)
    (directory / "16000/test/test-0000.wav").write_bytes(b"RIFF")
    other = changed(record, task_directory=directory)
    sound = Sounds(10**6).player(other, "test", "test-0000.wav")
    assert sound.source == ""
    assert "test-0000.wav" in sound.note
