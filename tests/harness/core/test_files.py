from __future__ import annotations

import pytest

from harness.core.files import new_directory, write_file


def test_write_file_replaces_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    write_file(path, "one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_write_file_keeps_the_old_one_when_it_fails(tmp_path):
    path = tmp_path / "file"
    write_file(path, "one")
    with pytest.raises(TypeError):
        write_file(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 1


def test_new_directory_appears_whole_or_not_at_all(tmp_path):
    final = tmp_path / "unit"
    with pytest.raises(FileNotFoundError), new_directory(final) as temporary:
        (temporary / "half").rename(temporary / "whole")
    assert list(tmp_path.iterdir()) == []
    with new_directory(final) as temporary:
        (temporary / "whole").write_text("x")
        assert not final.exists()
    assert (final / "whole").read_text() == "x"


def test_of_two_writers_the_first_stays(tmp_path):
    final = tmp_path / "unit"
    with new_directory(final) as slow:
        (slow / "file").write_text("slow")
        with new_directory(final) as quick:
            (quick / "file").write_text("quick")
    assert (final / "file").read_text() == "quick"
    assert [p.name for p in tmp_path.iterdir()] == ["unit"]
