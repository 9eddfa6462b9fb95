from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import soundfile

import tasks.demo
from harness.core.errors import UserError
from tasks.demo import demo_directory

NAME = "demo_transport_events"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEAR_BYOLA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_layout_is_that_of_a_hear_task(root: Path) -> None:
    directory = demo_directory(NAME)
    assert directory.name == "demo_transport_events-v1-full"
    assert directory.is_relative_to(root)
    info = soundfile.info(directory / "16000" / "train" / "train_00.wav")
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert not list(directory.rglob("*.ogg"))
    assert {path.name for path in directory.iterdir()} == {
        *("16000", "ATTRIBUTION.md", "labelvocabulary.csv", "origins.csv", "task_metadata.json"),
        *("train.json", "valid.json", "test.json"),
    }


def test_a_second_call_writes_nothing(root: Path) -> None:
    directory = demo_directory(NAME)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert demo_directory(NAME) == directory
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_processes_that_unpack_at_once_agree(root: Path) -> None:
    code = f"from tasks.demo import demo_directory; print(demo_directory({NAME!r}))"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = {process.communicate(timeout=120)[0].strip() for process in running}
    assert all(process.returncode == 0 for process in running)
    assert found == {str(demo_directory(NAME))}
    assert len(list((root / "demo").iterdir())) == 1


def test_changed_content_does_not_meet_an_old_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = demo_directory(NAME)
    changed = tmp_path / "package"
    stored = Path(str(files("tasks.demo") / "data")) / before.name
    shutil.copytree(stored, changed / "data" / before.name)
    labels = changed / "data" / before.name / "test.json"
    labels.write_text(labels.read_text().replace("horn", "tool", 1))
    monkeypatch.setattr(tasks.demo, "files", lambda _: changed)
    after = demo_directory(NAME)
    assert after != before
    assert (after / "test.json").read_text() == labels.read_text()
    assert (before / "test.json").read_text() != labels.read_text()


def test_a_failed_unpacking_leaves_nothing_behind(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(ogg: bytes) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tasks.demo, "_decoded", full)
        with pytest.raises(UserError, match="HEAR_BYOLA_CACHE"):
            demo_directory(NAME)
    assert not any((root / "demo").iterdir())
    assert demo_directory(NAME).is_dir()


def test_an_unknown_task_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'demo_voice_count'"):
        demo_directory("demo_voices_count")


def test_the_cache_falls_back_to_xdg_and_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEAR_BYOLA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert demo_directory(NAME).is_relative_to(tmp_path / "xdg" / "hear-byola")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert demo_directory(NAME).is_relative_to(tmp_path / "home" / ".cache" / "hear-byola")
