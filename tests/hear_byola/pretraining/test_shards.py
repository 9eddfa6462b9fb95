from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from support.sound_files import FORMATS, noise, pack, write

from hear_byola.pretraining.shards import BadFile, members, open_member
from hear_byola.pretraining.sound import EXTENSIONS, read_header, read_stretch


def test_members_are_found_where_they_lie(tmp_path: Path) -> None:
    contents = {"a/1.wav": b"first", "a/1.json": b"{}", "./b.FLAC": b"second", "c.txt": b"x"}
    path = pack(tmp_path / "s.tar", contents)
    found = list(members(path, EXTENSIONS))
    assert [member.name for member in found] == ["a/1.wav", "b.FLAC"]
    for member, content in zip(found, (b"first", b"second"), strict=True):
        with open_member(path, member.offset, member.size) as file:
            assert file.read() == content


def test_a_member_is_a_file_of_its_own(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.tar", {"a.wav": b"before", "b.wav": b"0123456789", "c.wav": b"after"})
    _, member, _ = members(path, EXTENSIONS)
    with open_member(path, member.offset, member.size) as file:
        assert file.seek(-3, os.SEEK_END) == 7
        assert file.read(100) == b"789"
        assert file.read(1) == b""
        assert file.seek(2) == 2
        file.seek(2, os.SEEK_CUR)
        assert (file.read(2), file.tell()) == (b"45", 6)


@pytest.mark.parametrize("extension", FORMATS)
def test_sounds_in_a_shard_are_read_as_from_a_file(tmp_path: Path, extension: str) -> None:
    alone = write(tmp_path / f"a.{extension}", noise(3, 48_000), 48_000)
    shard = pack(tmp_path / "s.tar", {"x.wav": b"\1" * 999, alone.name: alone.read_bytes()})
    member = list(members(shard, EXTENSIONS))[1]
    with open_member(shard, member.offset, member.size) as file:
        assert read_header(file) == read_header(alone)
    with open_member(shard, member.offset, member.size) as file:
        np.testing.assert_array_equal(
            read_stretch(file, 20_000, 9_999), read_stretch(alone, 20_000, 9_999)
        )


def test_links_and_devices_are_no_members(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in {
            "a.wav": tarfile.SYMTYPE,
            "b.wav": tarfile.LNKTYPE,
            "c.wav": tarfile.CHRTYPE,
        }.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    assert list(members(path, EXTENSIONS)) == []


def test_compressed_cut_or_other_files_are_refused(tmp_path: Path) -> None:
    contents = {"a.wav": b"\1" * 20_000, "b.wav": b"\1" * 20_000}
    cut = pack(tmp_path / "cut.tar", contents)
    cut.write_bytes(cut.read_bytes()[:30_000])
    other = tmp_path / "other.tar"
    other.write_bytes(b"no tar" * 999)
    for path in (pack(tmp_path / "hidden.tar", contents, "w:gz"), cut, other):
        with pytest.raises(
            BadFile, match=r"not an uncompressed tar|truncated: it ends inside b\.wav"
        ):
            list(members(path, EXTENSIONS))
