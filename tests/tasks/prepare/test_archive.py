"""Reading files inside archives, where they lie."""

from __future__ import annotations

import io
import pickle
import resource
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import corpora

from harness.core.errors import UserError
from harness.core.files import replacing
from hear_byola.core.locks import claimed
from tasks.prepare import archive as archives
from tasks.prepare.archive import close_archives, expanded_path, files_of
from tasks.prepare.folder import SourceFolder

CONTENTS = {"yes/a.wav": b"one" * 1000, "no/b.wav": b"two", "empty/c.wav": b""}


@pytest.fixture(autouse=True)
def _closed() -> None:
    close_archives()


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    folder = tmp_path / "packed"
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
    return folder


def make(packed: Path, name: str) -> Path:
    maker = corpora.zipped if name.endswith(".zip") else corpora.tarred
    return maker(packed, packed.parent / name)


def read_all(archive: Path, room: Path) -> dict[str, bytes]:
    files = dict(files_of(archive, room, lambda _: None))
    # As a worker process gets them.
    return {name: pickle.loads(pickle.dumps(file)).content() for name, file in files.items()}


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
def test_every_kind_of_archive_gives_its_files(packed: Path, name: str, tmp_path: Path) -> None:
    assert read_all(make(packed, name), tmp_path / "room") == CONTENTS
    assert not (tmp_path / "room").exists()


def test_a_large_compressed_tar_is_expanded_once(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_IN_MEMORY", 0)
    archive, room, said = make(packed, "a.tar.gz"), tmp_path / "room", []
    assert read_all(archive, room) == CONTENTS
    assert list(room.iterdir()) == [expanded_path(archive, room)]
    for _ in files_of(archive, room, said.append):
        pass
    assert said == []  # the second time finds it expanded


def test_what_others_still_read_is_not_removed(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_IN_MEMORY", 0)
    archive = corpora.tarred(packed, tmp_path / "source" / "a.tar.gz")
    room = tmp_path / "room"
    # Two tasks that are prepared from one corpus at a time.
    first, second = (SourceFolder(archive.parent, room, lambda _: None) for _ in range(2))
    ((_, sound),) = first.find(r".*yes/a\.wav", ("a.tar.gz",))
    assert second.open_archives(("a.tar.gz",))
    first.discard_expanded()
    assert sound.content() == CONTENTS["yes/a.wav"]
    second.discard_expanded()
    assert list(room.iterdir()) == []


def test_what_a_killed_expansion_left_is_removed(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_IN_MEMORY", 0)
    archive, room = make(packed, "a.tar.gz"), tmp_path / "room"
    final = expanded_path(archive, room)
    room.mkdir()
    with pytest.raises(ZeroDivisionError), replacing(final) as begun:
        raise ZeroDivisionError
    begun.write_bytes(b"half")  # as a kill leaves it
    assert read_all(archive, room) == CONTENTS
    assert list(room.iterdir()) == [final]


def test_of_two_processes_one_expands_and_the_other_waits(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_IN_MEMORY", 0)
    archive, room = make(packed, "a.tar.gz"), tmp_path / "room"
    final = expanded_path(archive, room)
    with ThreadPoolExecutor(1) as pool:
        with claimed(final) as mine:
            assert mine
            waiting = pool.submit(read_all, archive, room)
            time.sleep(0.3)
            assert not waiting.done()
            assert not final.exists()
        assert waiting.result(timeout=60) == CONTENTS
    assert list(room.iterdir()) == [final]


def test_an_expansion_without_room_leaves_nothing(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_IN_MEMORY", 0)
    archive = make(packed, "a.tar.gz")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(UserError, match=r"a\.tar\.gz cannot be expanded in .*room"):
            read_all(archive, tmp_path / "room")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "room").iterdir()) == []


@pytest.mark.parametrize("in_memory", [1 << 20, 0])
@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"no archive at all"])
def test_a_damaged_archive_is_named(
    packed: Path, name: str, damage, in_memory: int, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(archives, "_IN_MEMORY", in_memory)
    archive = make(packed, name)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(UserError, match=rf"{name} is damaged"):
        read_all(archive, tmp_path / "room")
    assert not (tmp_path / "room").exists() or not list((tmp_path / "room").iterdir())


def test_a_damaged_file_in_a_zip_is_named(packed: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("yes/a.wav", b"sound" * 100)
    archive.write_bytes(archive.read_bytes().replace(b"soundsound", b"soundSOUND", 1))
    with pytest.raises(UserError, match=r"a\.zip: yes/a\.wav cannot be read \(Bad CRC"):
        read_all(archive, tmp_path)


def test_an_encrypted_zip_is_refused(packed: Path, tmp_path: Path) -> None:
    archive = make(packed, "a.zip")
    content = bytearray(archive.read_bytes())
    for entry in (b"PK\x01\x02",):
        at = content.index(entry)
        content[at + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip is encrypted"):
        read_all(archive, tmp_path)


def test_only_regular_files_count(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as opened:
        for name, kind in (
            ("link.wav", tarfile.SYMTYPE),
            ("hard.wav", tarfile.LNKTYPE),
            ("device.wav", tarfile.CHRTYPE),
            ("pipe.wav", tarfile.FIFOTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/hostname"
            opened.addfile(entry)
        entry = tarfile.TarInfo("real.wav")
        entry.size = 4
        opened.addfile(entry, io.BytesIO(b"real"))
    assert read_all(archive, tmp_path) == {"real.wav": b"real"}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_an_archive_that_expands_without_end_is_refused(
    packed: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_LARGEST", 2000)
    with pytest.raises(UserError, match=r"are at most|contains more than"):
        read_all(make(packed, name), tmp_path)
