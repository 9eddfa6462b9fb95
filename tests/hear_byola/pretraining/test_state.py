from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hear_byola.core.errors import UserError
from hear_byola.pretraining.metrics import CurveLog
from hear_byola.pretraining.state import WholeFiles, replacing

SMALL = {"pytorch-lightning_version": "2", "weights": torch.arange(10.0), "step": 3, "names": ["a"]}
LARGE = {"weights": torch.zeros(300_000), "step": 4}


def on_a_full_disk(action: Callable[[], object], limit: int) -> str:
    """What an action raises in a process that cannot write files beyond a size."""

    def child(say: multiprocessing.connection.Connection) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            action()
        except UserError as error:
            say.send(str(error))
        except BaseException as error:
            say.send(f"NOT TOLD: {error!r}")
        else:
            say.send("NOT RAISED")
        os._exit(0)

    heard, say = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=child, args=(say,))
    process.start()
    assert heard.poll(60)
    message = heard.recv()
    process.join(30)
    return message


def test_a_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "resume.ckpt"
    files = WholeFiles()
    files.save_checkpoint(LARGE, path)
    files.save_checkpoint(SMALL, path)
    found = files.load_checkpoint(path)
    assert found["weights"].equal(SMALL["weights"])
    assert (found["step"], found["names"]) == (3, ["a"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["resume.ckpt"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    files.remove_checkpoint(path)
    files.remove_checkpoint(path)
    assert not path.exists()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_full_disk_leaves_the_state_before(tmp_path: Path) -> None:
    path = tmp_path / "resume.ckpt"
    WholeFiles().save_checkpoint(SMALL, path)
    before = path.read_bytes()
    message = on_a_full_disk(lambda: WholeFiles().save_checkpoint(LARGE, path), 100_000)
    assert f"{path} could not be written" in message
    assert "enforce fail" not in message
    assert "the older file is complete" in message
    assert "repeat the command" in message
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["resume.ckpt"]


def test_a_full_disk_at_the_first_state(tmp_path: Path) -> None:
    path = tmp_path / "resume.ckpt"
    message = on_a_full_disk(lambda: WholeFiles().save_checkpoint(LARGE, path), 100_000)
    assert "nothing was saved before" in message
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_curves_are_logged(tmp_path: Path) -> None:
    log = CurveLog(tmp_path / "metrics.csv")
    log.log_metrics({"loss": 1}, 10)

    def fill() -> None:
        for step in range(20, 10_000):
            log.log_metrics({"loss": 1}, step)

    message = on_a_full_disk(fill, 1000)
    assert "metrics.csv could not be written" in message


def test_what_goes_wrong_inside_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_half_written_file_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    """Else each kill in the middle of saving would leave a file of hundreds of megabytes."""
    path = tmp_path / "file"
    unfinished = replacing(path)
    unfinished.__enter__().write_text("half")  # and then nothing more: killed
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("plain_pickle", [True, False])
def test_code_in_a_state_is_not_run(tmp_path: Path, plain_pickle: bool) -> None:
    path, victim = tmp_path / "resume.ckpt", tmp_path / "victim"
    content = {"state_dict": Malicious(victim)}
    if plain_pickle:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"cannot be read .*Delete it to start again"):
        WholeFiles().load_checkpoint(path)
    assert not victim.exists()


@pytest.mark.parametrize("content", [b"", b"not a state"])
def test_a_damaged_state_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "resume.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"resume\.ckpt cannot be read"):
        WholeFiles().load_checkpoint(path)
    WholeFiles().save_checkpoint(SMALL, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"resume\.ckpt cannot be read"):
        WholeFiles().load_checkpoint(path)
