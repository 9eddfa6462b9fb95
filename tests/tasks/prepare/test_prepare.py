"""Preparing a task as a whole: the command, what is odd, going on after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import corpusmaker
import pytest
import soundfile

from harness.cli import call
from harness.errors import UserError
from harness.options import EXAMPLES
from tasks.card import card
from tasks.prepare import archive
from tasks.prepare.corpora import CORPORA
from tasks.prepare.run import prepare


@pytest.fixture
def esc50(tmp_path: Path) -> Path:
    return corpusmaker.esc50(tmp_path / "source")


def said_by(name: str, source: Path, tasks_dir: Path, rates: tuple[int, ...] = ()) -> list[str]:
    said: list[str] = []
    prepare(name, source, tasks_dir, rates=rates, say=said.append)
    return said


def test_the_command_writes_a_directory(
    esc50: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks_dir = tmp_path / "tasks"
    options = ["--source", str(esc50), "--tasks-dir", str(tasks_dir), "--jobs", "2"]
    assert call(["tasks", "prepare", "esc50", *options]) == 0
    printed = capsys.readouterr()
    directory = tasks_dir / "esc50-v2.0.0-full"
    assert printed.out.strip() == str(directory)
    assert "10 clips here, 2,000 on the card" in printed.err
    assert "2 classes here, 50 on the card" in printed.err
    assert "10 of 10 clips" in printed.err
    assert [path.name for path in directory.iterdir() if path.is_dir()] == ["48000"]


def test_a_mistake_ends_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["tasks", "prepare", "esc50", "--source", str(tmp_path / "gone")]) == 2
    assert "gone is not there" in capsys.readouterr().err


def test_the_rates_asked_for_are_written(esc50: Path, tmp_path: Path) -> None:
    directory = prepare("esc50", esc50, tmp_path, rates=(16_000, 32_000))
    for rate in (16_000, 32_000):
        info = soundfile.info(directory / str(rate) / "fold00" / "1-100033-A-0.wav")
        assert (info.samplerate, info.frames, info.channels) == (rate, 5 * rate, 1)


def test_the_tables_are_in_hears_order_and_name_the_sources(esc50: Path, tmp_path: Path) -> None:
    directory = prepare("esc50", esc50, tmp_path)
    truths = json.loads((directory / "fold00.json").read_text())
    assert list(truths) == sorted(truths)
    metadata = json.loads((directory / "task_metadata.json").read_text())
    assert metadata["version"] == "v2.0.0"
    assert metadata["mode"] == "full"
    assert metadata["evaluation"] == list(card("esc50").metrics)
    assert metadata["prepared_from"][0]["url"] == card("esc50").sources[0].url


def test_missing_sounds_are_named_and_the_rest_is_made(esc50: Path, tmp_path: Path) -> None:
    (esc50 / "audio" / "2-100034-A-0.wav").unlink()
    (esc50 / "audio" / "4-100036-A-36.wav").write_bytes(b"")
    said = said_by("esc50", esc50, tmp_path)
    assert said[0].startswith("missing: 2 of 10 clips that the corpus lists (2-100034-A-0.wav, 4-")
    assert "8 of 8 clips" in said[-1]


def test_a_directory_that_is_there_is_left_alone(esc50: Path, tmp_path: Path) -> None:
    directory = prepare("esc50", esc50, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    assert "is there already" in said_by("esc50", tmp_path / "gone", tmp_path)[0]
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before
    with pytest.raises(UserError, match="Delete it"):
        prepare("esc50", esc50, tmp_path, rates=(16_000,))


def test_a_sound_that_cannot_be_read_stops_the_end_not_the_rest(
    esc50: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = esc50 / "audio" / "3-100035-A-0.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"no sound at all")
    monkeypatch.chdir(esc50)
    with pytest.raises(UserError, match=r"3-100035-A-0\.wav"):
        prepare("esc50", Path("."), tmp_path)
    assert not (tmp_path / "esc50-v2.0.0-full").exists()
    broken.write_bytes(whole)
    assert "1 of 1 clips" in " ".join(said_by("esc50", esc50, tmp_path))


def test_what_was_expanded_is_kept_until_the_task_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_IN_MEMORY", 0)
    root = corpusmaker.esc50(tmp_path / "x")
    broken = root / "audio" / "3-100035-A-0.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"no sound at all")
    packed = corpusmaker.tarred(root, tmp_path / "source" / "ESC-50.tar.gz")
    with pytest.raises(UserError, match=r"audio/3-100035-A-0\.wav"):
        prepare("esc50", packed.parent, tmp_path / "tasks")
    assert len(list((tmp_path / "tasks").glob(".*.expanded"))) == 1
    broken.write_bytes(whole)
    for path in (packed, *(tmp_path / "tasks").glob(".*.expanded")):
        path.unlink()
    corpusmaker.tarred(root, packed)
    prepare("esc50", packed.parent, tmp_path / "tasks")
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["esc50-v2.0.0-full"]


def test_a_disk_that_is_too_small_is_named_before_the_work(esc50: Path, tmp_path: Path) -> None:
    # Ten clips of 5 s at this rate are more than any disk holds.
    with pytest.raises(UserError, match=r"takes 100000\.0 GB"):
        prepare("esc50", esc50, tmp_path / "new" / "tasks", rates=(10**12,))
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'voxforge'") as caught:
        prepare("voxforg", tmp_path, tmp_path)
    assert all(name in str(caught.value) for name in CORPORA)


def test_the_help_names_every_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    call(["tasks", "prepare", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(name in shown for name in CORPORA)
    assert EXAMPLES["tasks prepare"][0] in shown
