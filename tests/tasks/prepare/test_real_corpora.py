"""The corpora of which real recordings are at hand: Speech Commands (a cut) and Free Spoken Digits."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from harness.check import check_task
from tasks.prepare import spoken_digit
from tasks.prepare.run import prepare


@pytest.fixture(scope="module")
def digits(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("digits")
    return prepare("spoken_digit", test_data / "fsdd", out, say=[].append)


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
            elif path.stem.startswith("fold"):
                truths[path.stem] = json.load(opened.extractfile(member))
    for fold, truth in truths.items():
        for name, (label,) in truth.items():
            clips[name] = (fold, str(label), soxr.resample(sounds[name], 44_100, 8_000))
    return clips


def test_spoken_digits_are_whole(digits: Path) -> None:
    assert [str(found) for found in check_task(digits)] == []
    truths = [json.loads((digits / f"fold0{fold}.json").read_text()) for fold in range(5)]
    assert [len(truth) for truth in truths] == [500] * 5


def test_spoken_digits_have_the_names_that_hear_gave_them(digits: Path, published: dict) -> None:
    ours = {}
    for fold in range(5):
        ours |= json.loads((digits / f"fold0{fold}.json").read_text())
    assert {name: label for name, (_, label, _) in published.items()} == {
        name: ours[name][0] for name in published
    }
    # The published sounds are quantised to a few steps, but each is still most like its own.
    spectra = []
    for name, (_, _, theirs) in published.items():
        (path,) = digits.glob(f"16000/*/{name}")
        sound = soxr.resample(soundfile.read(path)[0], 16_000, 8_000)
        spectra.append((theirs / np.linalg.norm(theirs), sound / np.linalg.norm(sound)))
    likeness = np.array([a for a, _ in spectra]) @ np.array([b for _, b in spectra]).T
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
    directory = commands / "speech_commands-v0.0.2-full"
    assert not any(found.severity == "error" for found in check_task(directory))
    truths = {
        split: json.loads((directory / f"{split}.json").read_text())
        for split in ("train", "valid", "test")
    }
    # The counts of hear-preprocess 2021.1.1 on the same cut.
    assert {split: len(truth) for split, truth in truths.items()} == {
        "train": 56,
        "valid": 132,
        "test": 96,
    }
    silence = [name for name, labels in truths["valid"].items() if labels == ["_silence_"]]
    assert len(silence) == 121
    assert "_silence__running_tap-960000.wav" in silence
    assert len({label for truth in truths.values() for (label,) in truth.values()}) == 12


def test_recordings_of_16_khz_are_kept_to_the_bit(commands: Path, test_data: Path) -> None:
    archive = test_data / "archives" / "speech_commands_v0.02-small.zip"
    directory = commands / "speech_commands_v2_35-v0.0.2-full"
    wavs = [path for path in directory.rglob("*.wav")]
    assert len(wavs) > 60
    with zipfile.ZipFile(archive) as opened:
        for path in wavs:
            content = opened.read(path.name.replace("_", "/", 1))
            theirs, rate = soundfile.read(io.BytesIO(content), dtype="int16")
            ours, _ = soundfile.read(path, dtype="int16")
            assert (rate, len(ours)) == (16_000, 16_000)
            np.testing.assert_array_equal(ours[: len(theirs)], theirs[:16_000])
            assert not ours[len(theirs) :].any()
