"""Test clips in other audio, for example in that of a pretraining."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bench.near_duplicates import PROMISED
from support.pretraining_runs import FIELDS

from harness.cli import call
from hear_byola.core.audiofile import BadFile
from tasks.audio import read_audio
from tasks.check.contained import RATE, OtherAudio, clips_of_tests, find_contained
from tasks.demo import demo_directory

PIPES = demo_directory("demo_pipe_pitch")
VOICES = demo_directory("demo_voice_count")
GUITARS = demo_directory("demo_guitar_chord")


def in_memory(name: str, audio: np.ndarray) -> OtherAudio:
    return OtherAudio(name, len(audio), lambda start, count: audio[start : start + count])


def others(count: int) -> list[np.ndarray]:
    """Recordings of guitars, which no test of pipes or voices contains."""
    paths = sorted((GUITARS / str(RATE)).glob("*/*.wav"))
    return [read_audio(path, RATE) for path in paths[:count]]


def surrounded(audio: np.ndarray, first: float) -> np.ndarray:
    """The audio within a longer recording, from the second ``first`` on."""
    around = np.concatenate(others(12))
    return np.concatenate([around[: round(first * RATE)], audio, around[-2 * RATE :]])


def test_the_clips_of_test_splits_are_searched_for() -> None:
    assert {clip.split for clip in clips_of_tests(PIPES)} == {"test"}
    assert {clip.split for clip in clips_of_tests(GUITARS)} == {"fold00", "fold01", "fold02"}


@pytest.mark.parametrize(
    "change",
    [
        "20 ms later",
        "resampled to 11,025 Hz and back",
        "white noise 30 dB below it",
        "Vorbis",
        "MP3",
    ],
)
def test_a_changed_copy_within_a_longer_recording_is_found(change: str) -> None:
    clip = clips_of_tests(VOICES)[7]
    copy = np.clip(PROMISED[change](read_audio(clip.path, RATE), RATE), -1, 1).astype(np.float32)
    recordings = [in_memory(str(i), audio) for i, audio in enumerate(others(6))]
    recordings.insert(3, in_memory("it", surrounded(copy, 5.3)))
    (found,) = find_contained([clip], recordings)
    assert (found.clip, found.recording) == (clip, 3)
    assert 5.0 < found.seconds < 5.3 + len(copy) / RATE
    assert 0.8 <= found.likeness <= 1.0


def test_other_recordings_are_not_found() -> None:
    recordings = [in_memory("guitar", np.concatenate(others(60)))]
    assert (
        find_contained([*clips_of_tests(PIPES)[:20], *clips_of_tests(VOICES)[:20]], recordings)
        == []
    )


def test_a_clip_in_two_recordings_is_found_in_both() -> None:
    clip = clips_of_tests(VOICES)[3]
    audio = read_audio(clip.path, RATE)
    recordings = [in_memory("a", surrounded(audio, 1.0)), in_memory("b", surrounded(audio, 3.0))]
    assert {found.recording for found in find_contained([clip], recordings)} == {0, 1}


def test_a_clip_in_many_recordings_is_found_in_all() -> None:
    clips = clips_of_tests(VOICES)[3:5]
    audio = read_audio(clips[0].path, RATE)
    recordings = [in_memory(str(i), surrounded(audio, 0.5 * i)) for i in range(12)]
    recordings += [in_memory("other", each) for each in others(4)]
    found = find_contained(clips, recordings)
    assert sorted((each.clip.name, each.recording) for each in found) == [
        (clips[0].name, i) for i in range(12)
    ]


def test_silence_and_broken_recordings_are_left_out() -> None:
    def broken(start: int, count: int) -> np.ndarray:
        raise BadFile("is truncated.")

    clip = clips_of_tests(VOICES)[3]
    recordings = [
        in_memory("silence", np.zeros(5 * RATE, np.float32)),
        OtherAudio("broken", 5 * RATE, broken),
        in_memory("short", np.full(3, 0.1, np.float32)),
    ]
    assert find_contained([clip], recordings) == []


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two recordings of guitars, and one that contains a test clip."""
    folder = tmp_path / "corpus" / "music"
    folder.mkdir(parents=True)
    for i, audio in enumerate(others(2)):
        soundfile.write(folder / f"{i}.flac", audio, RATE)
    clip = next(
        clip
        for clip in clips_of_tests(VOICES)
        if clip.name == sorted(each.name for each in clips_of_tests(VOICES))[0]
    )
    stereo = np.repeat(surrounded(read_audio(clip.path, RATE), 2.0)[:, None] * 0.3, 2, 1)
    soundfile.write(folder / "with_it.wav", stereo, RATE)
    return folder.parent


def test_check_names_the_clips_that_a_folder_contains(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = sorted(each.name for each in clips_of_tests(VOICES))[0]
    pairs = tmp_path / "pairs.csv"
    command = ["tasks", "check", str(VOICES), "--no-audio", "--pairs", str(pairs)]
    assert call([*command, "--against", str(corpus)]) == 0
    shown = capsys.readouterr().out
    assert f"test.json: clip '{clip}': the same recording is in {corpus}" in shown
    assert "'music/with_it.wav' at 2." in shown
    (row,) = csv.DictReader(pairs.read_text().splitlines())
    assert row["clip"] == clip
    assert row["other_split"] == str(corpus)
    assert row["other_clip"].startswith("music/with_it.wav@2.")


def test_strict_fails_on_a_contained_clip_and_passes_without(corpus: Path) -> None:
    command = ["tasks", "check", str(VOICES), "--no-audio", "--strict", "--against", str(corpus)]
    assert call(command) == 1
    (corpus / "music" / "with_it.wav").unlink()
    assert call(command) == 0


def test_a_pretraining_leaves_out_what_contains_test_clips(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [t for name, value in FIELDS.items() for t in ("--set", f"{name}={value}")]
    out = tmp_path / "run"
    command = ["pretrain", str(corpus), "--config", "byola-512", "--out", str(out), *settings]
    assert call([*command, "--exclude-tasks", str(VOICES)]) == 0
    assert "left out: 1 of 3 sounds that contain test clips" in capsys.readouterr().err
    record = json.loads((out / "corpus.json").read_text())
    assert (record["version"], record["audio"], record["sounds"]) == (1, str(corpus), 2)
    ((name, reason),) = record["skipped"].items()
    assert name == "music/with_it.wav"
    assert reason.startswith("contains the test clip demo_voice_count-v1-full/test/")
    # What was left out was not trained on.
    check = ["tasks", "check", str(VOICES), "--no-audio", "--against", str(out / "corpus.json")]
    assert call(check) == 0
    assert "the same recording is in" not in capsys.readouterr().out


def test_a_corpus_without_its_audio_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corpus.json").write_text('{"sha256": "0"}')
    assert call(["tasks", "check", str(VOICES), "--against", str(tmp_path / "corpus.json")]) == 2
    assert "is no corpus.json that names its audio" in capsys.readouterr().err
