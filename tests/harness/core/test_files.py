from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from harness.core import files
from harness.core.files import (
    move_directory,
    new_directory,
    remove_abandoned,
    replacing,
    write_file,
)


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


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_a_pipe_is_never_replaced_by_a_file(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(FileExistsError, match="a pipe is there"):
        write_file(path, "one")
    assert path.is_fifo()
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


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    for one_writer in (True, False):
        with pytest.raises(TypeError), replacing(path, one_writer=one_writer) as temporary:
            temporary.write_bytes("no bytes")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with replacing(path, one_writer=False) as slow:
        slow.write_text("slow")
        write_file(path, "quick")
        assert path.read_text() == "quick"
    assert path.read_text() == "slow"


def test_an_error_names_the_file_that_was_to_be_written(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_file(tmp_path / "file", "x")
    assert caught.value.filename == str(tmp_path / "file")


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 255)
    write_file(path, "x")
    assert path.read_text() == "x"


@pytest.mark.parametrize("many", [0, 100])
def test_a_finished_directory_gets_its_name(tmp_path, monkeypatch, many):
    monkeypatch.setattr(files, "_MANY", many)
    made, final = tmp_path / "made", tmp_path / "final"
    (made / "below").mkdir(parents=True)
    (made / "below" / "file").write_text("x")
    move_directory(made, final)
    assert (final / "below" / "file").read_text() == "x"
    (made / "other").mkdir(parents=True)
    with pytest.raises(OSError, match="final"):
        move_directory(made, final)
    assert (made / "other").is_dir()


def test_what_ended_processes_left_is_removed_and_nothing_else(tmp_path):
    code = (
        "import sys; from pathlib import Path; from hear_byola.core.owner import temporary_beside\n"
        "path = Path(sys.argv[1]); temporary_beside(path / 'unit').mkdir()\n"
        "temporary_beside(path / 'file').touch()"
    )
    (tmp_path / ".of_the_user.part").touch()
    (tmp_path / "unit").mkdir()
    with new_directory(tmp_path / "mine") as mine:
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        elsewhere = [tmp_path / f".00000000-{pid}-1.0a1b2c3d.part" for pid in (1, 2)]
        for path in elsewhere:
            (path / "below").mkdir(parents=True)
        past = time.time() - 2 * 86_400
        os.utime(elsewhere[0] / "below", (past, past))
        os.utime(elsewhere[0], (past, past))
        assert len(list(tmp_path.iterdir())) == 7
        remove_abandoned(tmp_path)
        left = {".of_the_user.part", "unit", mine.name, elsewhere[1].name}
        assert {path.name for path in tmp_path.iterdir()} == left


def test_text_that_utf_8_lacks_is_written_as_an_escape(tmp_path):
    write_file(tmp_path / "file", "a \udcff b")
    assert (tmp_path / "file").read_text() == "a \\udcff b"
