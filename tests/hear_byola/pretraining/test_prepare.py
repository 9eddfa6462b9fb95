"""How a corpus is described in a line, and measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.sound_files import noise, write

from hear_byola.pretraining import prepare
from hear_byola.pretraining.corpus import scan
from hear_byola.pretraining.crops import CropSource, Sampling
from hear_byola.pretraining.prepare import describe, duration, measure


def described(root: Path) -> str:
    return describe(CropSource(scan(root), Sampling(), seed=1))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (59.0, "59.0 s"), (60.0, "1.0 min"), (1935.0, "32.2 min"), (4500, "1.25 h")],
)
def test_a_length_is_told_in_a_unit_that_says_something(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_few_kinds_are_told_each(tmp_path: Path) -> None:
    for number in range(8):
        write(tmp_path / f"word{number}" / "a.wav", noise(1 + number / 10, seed=number))
    assert described(tmp_path) == (
        "word0 1.0 s, word1 1.1 s, word2 1.2 s, word3 1.3 s, word4 1.4 s, word5 1.5 s, "
        "word6 1.6 s, word7 1.7 s; 8 sounds"
    )


def test_of_many_kinds_those_with_the_most_audio_are_named(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / f"word{number:02}" / "a.wav", noise(8 + number % 7, seed=number))
    assert described(tmp_path) == (
        "12 kinds, 2.1 min: word06 14.0 s, word05 13.0 s, word04 12.0 s, word11 12.0 s, "
        "word03 11.0 s, 7 others 1.1 min; 12 sounds"
    )


def test_measuring_tells_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_LINE_EVERY", 0.0)
    told: list[str] = []
    for number in range(20):
        write(tmp_path / f"{number}.wav", noise(1.0, seed=number))
    measure(CropSource(scan(tmp_path), Sampling(), seed=1), "slaney", told.append)
    assert told[0].startswith("measured 16 of 20 crops, ")
    assert told[0].endswith(" left")
    assert told[1].startswith("measured 20 of 20 crops")


def test_sounds_without_a_kind_are_told(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(2.0))
    assert described(tmp_path) == "audio 2.0 s; 1 sounds"
