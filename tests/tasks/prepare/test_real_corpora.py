"""Corpora of which real recordings are at hand: a cut of Speech Commands, Free Spoken Digits."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tasks.check import check_task
from tasks.format.task import read_task
from tasks.prepare.corpora import spoken_digit
from tasks.prepare.folder import SourceFolder
from tasks.prepare.run import prepare


@pytest.fixture(scope="module")
def published(test_data: Path) -> dict[str, tuple[str, str, np.ndarray]]:
    """HEAR's own cut of spoken_digit: fold, label and sound at 8 kHz of each clip."""
    archive = test_data / "archives" / "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"
    clips, truths, sounds = {}, {}, {}
    with tarfile.open(archive) as opened:
        for member in opened:
            path = Path(member.name)
            if path.suffix == ".wav":
                content = opened.extractfile(member).read()
                sounds[path.name] = soundfile.read(io.BytesIO(content))[0]
            elif path.match("fold*.json"):
                truths[path.stem] = json.load(opened.extractfile(member))
    for fold, truth in truths.items():
        for name, (label,) in truth.items():
            clips[name] = (fold, str(label), soxr.resample(sounds[name], 44_100, 8_000))
    return clips


def test_all_spoken_digits_are_found(test_data: Path) -> None:
    said: list[str] = []
    folder = SourceFolder(test_data / "fsdd", test_data, said.append)
    clips = spoken_digit.clips(folder, said.append)
    assert all(clip.source is not None for clip in clips)
    assert Counter(clip.split for clip in clips) == {f"fold0{i}": 500 for i in range(5)}
    assert said == ["left out: 500 recordings newer than version 1.0.9, for example 0_lucas_0"]
    speakers = Counter(clip.group for clip in clips)
    assert speakers == dict.fromkeys(("george", "jackson", "nicolas", "theo", "yweweler"), 500)


def test_spoken_digits_have_the_names_that_hear_gave_them(
    test_data: Path, published: dict, tmp_path: Path
) -> None:
    for stem, name in spoken_digit._hear_names().items():
        if f"{name}.wav" in published:
            (tmp_path / f"{stem}.wav").symlink_to(test_data / "fsdd" / "recordings" / f"{stem}.wav")
    directory = prepare("spoken_digit", tmp_path, tmp_path / "tasks", say=[].append)
    assert not any(found.severity == "error" for found in check_task(directory))
    labels = {
        name: label
        for fold in range(5)
        for name, (label,) in json.loads((directory / f"fold0{fold}.json").read_text()).items()
    }
    assert labels == {name: label for name, (_, label, _) in published.items()}
    # The published sounds are quantised to a few steps, but each is still most like its own.
    sounds = []
    for name, (_, _, theirs) in published.items():
        (path,) = directory.glob(f"16000/*/{name}")
        ours = soxr.resample(soundfile.read(path)[0], 16_000, 8_000)
        sounds.append((theirs / np.linalg.norm(theirs), ours / np.linalg.norm(ours)))
    likeness = np.array([a for a, _ in sounds]) @ np.array([b for _, b in sounds]).T
    assert (likeness.argmax(1) == np.arange(len(published))).all()


def test_hears_folds_are_dealt_as_ours(published: dict) -> None:
    dealt = spoken_digit._folds([name.removesuffix(".wav") for name in published])
    assert {f"{name}.wav": fold for name, fold in dealt.items()} == {
        name: fold for name, (fold, _, _) in published.items()
    }


@pytest.fixture(scope="module")
def commands(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("commands")
    for name in ("speech_commands_full", "speech_commands_v2_35"):
        prepare(name, test_data / "archives", out, say=[].append)
    return out


def test_the_cut_of_speech_commands_is_what_hear_makes_of_it(commands: Path) -> None:
    directory = commands / "speech_commands_part-v0.0.2-full"
    assert not any(found.severity == "error" for found in check_task(directory))
    rows = sorted(
        f"{split} {name} {label}"
        for split in ("train", "valid", "test")
        for name, (label,) in json.loads((directory / f"{split}.json").read_text()).items()
    )
    # The 284 rows that hear-preprocess 2021.1.1 finds in the same cut.
    assert Counter(row.split()[0] for row in rows) == {"train": 56, "valid": 132, "test": 96}
    assert hashlib.sha256("\n".join(rows).encode()).hexdigest() == (
        "ea9de5b92de42972166176736b5f05b2b7423fcff84d31dbb9fe4a851cc4ab85"
    )


def test_the_groups_of_speech_commands_are_its_speakers_and_noises(commands: Path) -> None:
    task = read_task(commands / "speech_commands_part-v0.0.2-full")
    found = {clip.name: clip.group for split in task.splits for clip in task.clips[split]}
    assert found["_unknown__seven_fb7eb481_nohash_1.wav.wav"] == "fb7eb481"
    assert found["right_e1469561_nohash_4.wav"] == found["on_e1469561_nohash_4.wav"] == "e1469561"
    assert found["_silence__842.wav"] == "842"
    assert found["_silence__running_tap-8000.wav"] == "running_tap"
    test = {clip.group for clip in task.clips["test"]}
    assert not test & {clip.group for clip in task.clips["train"]}


def test_recordings_of_16_khz_are_kept_to_the_bit(commands: Path, test_data: Path) -> None:
    archive = test_data / "archives" / "speech_commands_v0.02-small.zip"
    directory = commands / "speech_commands_v2_35_part-v0.0.2-full"
    wavs = list(directory.rglob("*.wav"))
    assert len(wavs) > 60
    with zipfile.ZipFile(archive) as opened:
        for path in wavs:
            content = opened.read(path.name.replace("_", "/", 1))
            theirs, rate = soundfile.read(io.BytesIO(content), dtype="int16")
            ours, _ = soundfile.read(path, dtype="int16")
            assert (rate, len(ours)) == (16_000, 16_000)
            np.testing.assert_array_equal(ours[: len(theirs)], theirs[:16_000])
            assert not ours[len(theirs) :].any()
