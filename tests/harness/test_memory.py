from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.memory import FileMemory


class Asked:
    """Counts how often something had to be found out."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> str:
        self.times += 1
        return f"answer {self.times}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("content")
    return path


def test_an_unchanged_file_is_asked_once(tmp_path: Path, file: Path) -> None:
    asked = Asked()
    memory = FileMemory(tmp_path / "memory.json")
    assert [memory.recall(file, asked) for _ in range(3)] == ["answer 1"] * 3
    memory.save()
    assert FileMemory(tmp_path / "memory.json").recall(file, asked) == "answer 1"
    assert asked.times == 1


@pytest.mark.parametrize("change", ["size", "time", "inode"])
def test_a_changed_file_is_asked_again(tmp_path: Path, file: Path, change: str) -> None:
    asked = Asked()
    memory = FileMemory(tmp_path / "memory.json")
    memory.recall(file, asked)
    status = file.stat()
    if change == "size":
        file.write_text("content more")
    if change == "inode":
        (tmp_path / "other").write_text("CONTENT")
        os.replace(tmp_path / "other", file)
    later = 1 if change == "time" else 0
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + later))
    assert memory.recall(file, asked) == "answer 2"


def test_verify_finds_out_again_once(tmp_path: Path, file: Path) -> None:
    asked = Asked()
    memory = FileMemory(tmp_path / "memory.json")
    memory.recall(file, asked)
    memory.save()
    verifying = FileMemory(tmp_path / "memory.json", verify=True)
    assert verifying.recall(file, asked) == "answer 2"
    assert verifying.recall(file, asked) == "answer 2"
    verifying.save()
    assert FileMemory(tmp_path / "memory.json").recall(file, asked) == "answer 2"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99, "files": {}}', "\x80"])
def test_a_damaged_memory_counts_as_empty(tmp_path: Path, file: Path, content: str) -> None:
    (tmp_path / "memory.json").write_bytes(content.encode("latin-1"))
    memory = FileMemory(tmp_path / "memory.json")
    assert memory.recall(file, Asked()) == "answer 1"
    memory.save()
    assert FileMemory(tmp_path / "memory.json").recall(file, pytest.fail) == "answer 1"


def test_what_cannot_be_found_out_is_not_remembered(tmp_path: Path, file: Path) -> None:
    memory = FileMemory(tmp_path / "memory.json")

    def fails() -> str:
        raise ValueError

    with pytest.raises(ValueError):
        memory.recall(file, fails)
    assert memory.recall(file, Asked()) == "answer 1"
    with pytest.raises(FileNotFoundError):
        memory.recall(tmp_path / "absent", Asked())


def test_two_savers_keep_each_others_entries(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other"
    other.write_text("x")
    first, second = (FileMemory(tmp_path / "memory.json") for _ in range(2))
    first.recall(file, lambda: "first")
    second.recall(other, lambda: "second")
    first.save()
    second.save()
    both = FileMemory(tmp_path / "memory.json")
    assert both.recall(file, pytest.fail) == "first"
    assert both.recall(other, pytest.fail) == "second"


def test_savers_at_the_same_time_leave_a_whole_file(tmp_path: Path, file: Path) -> None:
    def work(i: int) -> None:
        mine = tmp_path / f"mine{i}"
        mine.write_text("x")
        memory = FileMemory(tmp_path / "memory.json")
        memory.recall(mine, lambda: str(i))
        memory.recall(file, lambda: "shared")
        memory.save()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    assert FileMemory(tmp_path / "memory.json").recall(file, pytest.fail) == "shared"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_relative_and_absolute_are_one_file(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = FileMemory(tmp_path / "memory.json")
    monkeypatch.chdir(tmp_path)
    memory.recall(Path(file.name), lambda: "once")
    assert memory.recall(file, pytest.fail) == "once"
