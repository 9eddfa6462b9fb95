"""Lines about progress: how often, and how they write durations."""

from __future__ import annotations

import re

import pytest

from harness.core import progress
from harness.core.progress import Countdown, Pace, duration, rough_duration


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_pace_is_due_once_in_its_seconds(clock):
    pace, due = Pace(5.0), []
    for passed in (0, 4.9, 5.0, 5.1, 9.9, 10.0):
        clock[0] = 100.0 + passed
        due.append(pace.due())
    assert due == [False, False, True, False, False, True]
    clock[0] = 114.0
    pace.restart()
    clock[0] = 115.0
    assert not pace.due()


def test_a_countdown_reports_now_and_then_and_at_the_end(clock):
    said: list[str] = []
    countdown = Countdown(6, said.append, "recordings read")
    for _ in range(6):
        clock[0] += 3.0
        countdown.advance(bad=1)
    assert said == [
        "2 of 6 recordings read, 0 a second, 1 cannot be used, 12 s left",
        "4 of 6 recordings read, 0 a second, 1 cannot be used, 6 s left",
        "6 of 6 recordings read, 0 a second, 1 cannot be used",
    ]


def test_a_countdown_may_end_without_a_line(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 60.0)
    said: list[str] = []
    for tell_end in (True, False):
        Countdown(1, said.append, tell_end=tell_end).advance()
    assert len(said) == 1
    assert re.fullmatch(r"1 of 1 clips, \d+ a second", said[0])


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (61, "1 min 1 s"), (3725, "1 h 2 min"), (59.9, "1 min 0 s")]
)
def test_durations_are_written_in_two_units(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (61, "61 s"), (200, "3 min"), (9000, "2 h 30 min")]
)
def test_estimates_are_written_roughly(seconds, text):
    assert rough_duration(seconds) == text
