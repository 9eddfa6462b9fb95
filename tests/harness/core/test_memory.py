from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.memory import _VERSION, FileMemory

pytestmark = pytest.mark.usefixtures("settled")


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


def in_place(file: Path) -> None:
    with file.open("r+") as stream:
        stream.write("CONTENT")


def longer(file: Path) -> None:
    file.write_text("content more")


def replaced(file: Path) -> None:
    other = file.with_name("other")
    other.write_text("CONTENT")
    os.replace(other, file)


def removed_and_made_again(file: Path) -> None:
    file.unlink()
    file.write_text("CONTENT")  # often with the inode that has just become free


def copied_over(file: Path) -> None:
    other = file.with_name("other")
    other.write_text("CONTENT")
    shutil.copy2(other, file)


CHANGES = [in_place, longer, replaced, removed_and_made_again, copied_over]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_asked_again_though_its_time_is_set_back(
    tmp_path: Path, file: Path, change: Callable[[Path], None]
) -> None:
    os.utime(file, (1e9, 1e9))
    asked = Asked()
    memory = FileMemory(tmp_path / "memory.json")
    memory.recall(file, asked)
    memory.save()
    time.sleep(0.02)  # two steps of the kernel's clock
    change(file)
    os.utime(file, (1e9, 1e9))
    assert FileMemory(tmp_path / "memory.json").recall(file, Asked()) == "answer 1"
    assert memory.recall(file, asked) == "answer 2"


def test_unpacking_an_archive_again_is_a_change(tmp_path: Path) -> None:
    """Fixed times in the archive, and inodes that come again."""
    memory = FileMemory(tmp_path / "memory.json")
    for content in (b"content", b"CONTENT"):
        shutil.rmtree(tmp_path / "task", ignore_errors=True)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for i in range(6):
                member = tarfile.TarInfo(f"task/{i}.wav")
                member.size, member.mtime = len(content), 1e9
                archive.addfile(member, io.BytesIO(content))
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            archive.extractall(tmp_path, filter="data")
        for path in sorted((tmp_path / "task").iterdir()):
            assert memory.recall(path, path.read_text) == content.decode()
        memory.save()
        memory = FileMemory(tmp_path / "memory.json")
        time.sleep(0.02)


def test_a_file_that_has_just_changed_is_not_remembered(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could change again within one step of the clock, and keep its times."""
    monkeypatch.setattr("hear_byola.core.filestate.SETTLED_NS", 10**12)
    asked = Asked()
    memory = FileMemory(tmp_path / "memory.json")
    os.utime(file, (1e9, 1e9))  # its content may be newer than this says
    assert memory.recall(file, asked) == "answer 1"
    assert memory.recall(file, asked) == "answer 2"
    monkeypatch.setattr("hear_byola.core.filestate.SETTLED_NS", 0)
    assert memory.recall(file, asked) == "answer 3"
    assert memory.recall(file, asked) == "answer 3"


def test_a_file_from_the_future_is_not_remembered(tmp_path: Path, file: Path) -> None:
    later = time.time() + 1000
    os.utime(file, (later, later))
    asked = Asked()
    memory = FileMemory(tmp_path / "memory.json")
    assert [memory.recall(file, asked) for _ in range(2)] == ["answer 1", "answer 2"]


def test_a_file_that_changes_while_it_is_read_is_asked_again(tmp_path: Path, file: Path) -> None:
    memory = FileMemory(tmp_path / "memory.json")

    def meanwhile() -> str:
        time.sleep(0.02)
        in_place(file)
        return "of which content?"

    memory.recall(file, meanwhile)
    assert memory.recall(file, Asked()) == "answer 1"


def test_a_memory_of_an_earlier_version_is_not_trusted(tmp_path: Path, file: Path) -> None:
    status = file.stat()
    entry = f"{status.st_size} {status.st_mtime_ns} {status.st_ino} old"
    content = {"version": 1, "files": {str(file): entry}}
    (tmp_path / "memory.json").write_text(json.dumps(content))
    assert FileMemory(tmp_path / "memory.json").recall(file, Asked()) == "answer 1"


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


DAMAGED = [
    "",
    "{",
    "[]",
    '{"version": 99, "files": {}}',
    f'{{"version": {_VERSION}}}',
    f'{{"version": {_VERSION}, "files": ["a"]}}',
    f'{{"version": {_VERSION}, "files": {{"a": 1}}}}',
    "\x80",
]


@pytest.mark.parametrize("content", DAMAGED)
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


def test_memories_that_share_what_was_seen_look_at_a_file_once(tmp_path: Path, file: Path) -> None:
    def memories() -> list[FileMemory]:
        seen: dict[str, str] = {}
        return [FileMemory(tmp_path / f"memory{i}.json", seen=seen) for i in range(2)]

    for i, memory in enumerate(memories()):
        assert memory.recall(file, lambda i=i: f"answer {i}") == f"answer {i}"
        memory.save()
    first, second = memories()
    assert first.known(file) == "answer 0"
    longer(file)  # as if it had changed a moment earlier or later
    assert (first.known(file), second.known(file)) == ("answer 0", "answer 1")
    first, second = memories()
    assert (first.known(file), second.known(file)) == (None, None)
    assert second.recall(file, lambda: "answer 2") == "answer 2"
    assert second.known(file) == "answer 2"
