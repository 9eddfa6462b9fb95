from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hear_byola.core.locks import claimed

HOLD = """
import sys, time
from pathlib import Path
from hear_byola.core.locks import claimed

with claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(300)
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "folder" / ".place"
    with claimed(place) as first, claimed(place) as second, claimed(tmp_path / "other") as third:
        assert (first, second, third) == (True, False, True)
    with claimed(place) as again:
        assert again
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "place")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with claimed(tmp_path / "place") as mine:
        assert not mine
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with claimed(tmp_path / "place") as mine:
        assert mine
    holder.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_ends_the_claim(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "place"):
        raise ZeroDivisionError
    with claimed(tmp_path / "place") as mine:
        assert mine


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught, claimed(tmp_path / "file" / "place"):
        pass
    assert caught.value.filename == str(tmp_path / "file")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_on_the_file_system_every_claim_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claimed(tmp_path / "place") as mine:
        assert mine
