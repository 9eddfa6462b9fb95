"""Commands that are stopped while foreign code keeps the main thread."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import task_directories
from support.hear_modules import write_module

from harness.core import deadline
from harness.core.deadline import stops_in_time

STUBBORN = """
import pathlib, time

def load_model(path=""):
    pathlib.Path("loading").touch()
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_model_that_catches_the_interrupt_is_ended(tmp_path: Path, number: int) -> None:
    task = task_directories.make_task(tmp_path, "scene", n=4, seconds=0.2)
    write_module(tmp_path, "stubborn", STUBBORN)
    words = ["run", "-m", "./stubborn.py", "-t", str(task), "--out", "out", "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 100
        while not (tmp_path / "loading").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    # The promise is 5 s; the rest is for machines with much other work.
    assert time.monotonic() - began < 20
    assert process.returncode == deadline.INTERRUPTED
    assert err.endswith(f"{deadline.STOPPED}\n")


def test_other_signals_and_signals_of_forks_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "_GRACE", 0.0)
    before = {
        number: signal.signal(number, lambda *_: None)
        for number in (signal.SIGCHLD, signal.SIGTERM)
    }
    try:
        with stops_in_time(), stops_in_time():
            os.kill(os.getpid(), signal.SIGCHLD)
            child = os.fork()
            if not child:
                os.kill(os.getpid(), signal.SIGTERM)
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            time.sleep(0.2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


FORKS = """
import os, signal, time
from harness.core import deadline

deadline._GRACE = 0.1
signal.signal(signal.SIGTERM, lambda *_: None)
try:
    with deadline.stops_in_time():
        child = os.fork()
        if not child:
            with deadline.stops_in_time():
                pass
            raise InterruptedError
        os.waitpid(child, 0)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
except InterruptedError:
    os._exit(0)
"""


def test_a_fork_that_leaves_the_block_does_not_end_the_watch() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True)
    assert done.returncode == deadline.INTERRUPTED
    assert done.stderr.endswith(f"{deadline.STOPPED}\n")


def test_a_block_that_ends_in_time_goes_on() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno())
        try:
            with pytest.raises(KeyboardInterrupt), stops_in_time():
                signal.raise_signal(signal.SIGINT)
        finally:
            assert signal.set_wakeup_fd(before) == theirs.fileno()
