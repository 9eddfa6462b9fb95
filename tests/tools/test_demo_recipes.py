"""The parts that the demo data were made with."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.demo import demo_directory, demo_names
from tasks.format.spec import TaskSpec
from tasks.format.task import read_task
from tools.demo_recipes import layout, sound
from tools.demo_recipes.sources import PinnedPackage, copyright_stanzas, fetch
from tools.demo_recipes.vorbis import encode

RNG = np.random.default_rng(0)


def tone(hz: float, seconds: float = 0.5) -> sound.Sound:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * sound.RATE)) / sound.RATE)


def test_the_same_audio_is_encoded_to_the_same_bytes() -> None:
    audio = RNG.normal(scale=0.1, size=16000)
    assert encode(audio) == encode(audio)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40000))
def test_a_decoder_accepts_the_stream_and_finds_its_length(n: int) -> None:
    audio, rate = soundfile.read(io.BytesIO(encode(0.1 * np.sin(np.arange(n) / 10))))
    assert (len(audio), rate) == (n, 16000)


def test_noise_is_added_at_the_ratio_asked_for() -> None:
    signal, noise = tone(440), RNG.normal(size=8000)
    added = sound.add_noise(signal, noise, 6.0) - signal
    assert 20 * np.log10(sound.rms(signal) / sound.rms(added)) == pytest.approx(6.0)


def test_repitching_by_an_octave_doubles_the_frequency() -> None:
    higher = sound.repitch(tone(440, 1.0), 12)
    spectrum = np.abs(np.fft.rfft(higher * np.hanning(len(higher))))
    assert spectrum.argmax() * sound.RATE / len(higher) == pytest.approx(880, abs=3)


def test_trimming_keeps_what_is_loud() -> None:
    silence = np.zeros(1600)
    assert len(sound.trim(np.concatenate([silence, tone(300), silence]))) == 8000


@given(st.integers(1, 5000), st.integers(1, 5000))
@settings(max_examples=50, deadline=None)
def test_a_random_stretch_has_the_length_asked_for(n: int, wanted: int) -> None:
    rng = np.random.default_rng(0)
    assert len(sound.random_stretch(np.arange(n, dtype=float), wanted / sound.RATE, rng)) == wanted


def test_copyright_stanzas_join_continuation_lines() -> None:
    text = "Files: a.wav\n b.wav\nCopyright: 2013 Jo\nLicense: CC0\n\nFiles: c\nLicense: MIT\n"
    first, second = copyright_stanzas(text)
    assert first["Files"].split() == ["a.wav", "b.wav"]
    assert second == {"Files": "c", "License": "MIT"}


def test_a_package_that_lies_ready_is_unpacked_once(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    archive = tmp_path / "packages" / "some-sounds-1.0.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        entry = tarfile.TarInfo("package/a.txt")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    package = PinnedPackage("npm", "@some/sounds", "1.0", sha256)
    folder = fetch(package, tmp_path)
    assert (folder / "package" / "a.txt").read_bytes() == b"hello"
    archive.unlink()
    assert fetch(package, tmp_path) == folder


@pytest.mark.parametrize("name", demo_names())
def test_a_recipes_task_is_stored_as_the_package_has_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "encode", lambda _: b"")
    stored = Path(str(files("tasks.demo") / "data" / f"{name}-v1-full"))
    read = read_task(demo_directory(name))
    groups = {clip.name: clip.group for clips in read.clips.values() for clip in clips}
    clips = {
        split: [
            layout.DemoClip(Path(clip).stem, np.zeros(1), labels, (), groups[clip])
            for clip, labels in json.loads((stored / f"{split}.json").read_text()).items()
        ]
        for split in read.splits
    }
    fields = {key: getattr(read, key) for key in TaskSpec.model_fields}
    task = layout.DemoTask(**fields, title="", clips=clips, licence="CC0-1.0", changes="")
    layout.write(task, tmp_path)
    tables = [*stored.glob("*.json"), stored / "labelvocabulary.csv", *stored.glob("groups.csv")]
    assert len(tables) >= 5
    for table in tables:
        assert (tmp_path / stored.name / table.name).read_bytes() == table.read_bytes()
