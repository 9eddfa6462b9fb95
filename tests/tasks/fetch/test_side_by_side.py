from __future__ import annotations

import _thread
import threading
import time

import pytest

from harness.core.errors import UserError
from tasks.fetch.side_by_side import side_by_side


def test_no_more_than_asked_run_at_once():
    running, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    ended: list[str] = []
    names = [str(i) for i in range(8)]
    assert side_by_side(dict.fromkeys(names, work), 2, threading.Event(), ended.append) == {}
    assert most == 2
    assert sorted(ended) == names


def test_an_interrupt_stops_what_runs_and_what_waits():
    stop, stopped = threading.Event(), threading.Event()
    begun: list[str] = []

    def first() -> None:
        begun.append("first")
        _thread.interrupt_main()
        if stop.wait(30):
            stopped.set()

    with pytest.raises(KeyboardInterrupt):
        side_by_side(
            {"first": first, "second": lambda: begun.append("second")}, 1, stop, lambda _: None
        )
    assert stopped.wait(30)
    assert begun == ["first"]


def test_an_error_of_the_system_is_a_sentence():
    def refused() -> None:
        raise PermissionError(13, "Permission denied", "/some/file")

    def wrong() -> None:
        raise UserError("That is wrong.")

    failures = side_by_side({"a": refused, "b": wrong}, 2, threading.Event(), lambda _: None)
    assert failures["b"] == "That is wrong."
    assert failures["a"].startswith("/some/file: Permission denied. Name a place")
