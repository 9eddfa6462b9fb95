from __future__ import annotations

import errno
import os

import pytest

from harness.core.errors import did_you_mean, did_you_mean_path, disk_fault, nearest, printable


@pytest.mark.parametrize(
    ("name", "choices", "nearest"),
    [
        ("linar", ["knn", "linear", "mlp"], "linear"),
        ("LINEAR", ["knn", "linear"], "linear"),
        ("mine", ["mine-2", "mine_2"], "mine-2"),
        ("mine", ["mine_2", "mine-2"], "mine_2"),
        ("zzz", ["knn", "linear"], ""),
        ("", ["knn"], ""),
        ("knn", [], ""),
    ],
)
def test_the_nearest_choice_is_suggested_and_the_first_of_equals(name, choices, nearest):
    assert did_you_mean(name, choices) == (f" Did you mean '{nearest}'?" if nearest else "")


def test_the_nearest_path_is_one_of_the_same_folder(tmp_path):
    for name in ("demo", "demo.csv", ".demoo"):
        (tmp_path / name).touch()
    assert did_you_mean_path(tmp_path / "demoo") == " Did you mean 'demo'?"
    assert did_you_mean_path(tmp_path / "demoo", "*.csv") == " Did you mean 'demo.csv'?"
    assert did_you_mean_path(tmp_path / "xyz") == ""
    (tmp_path / "tiny.py").touch()
    assert did_you_mean_path(tmp_path / "nosuch.py") == ""
    assert did_you_mean_path(tmp_path / "tinny.py") == " Did you mean 'tiny.py'?"
    (tmp_path / "demo.txt").touch()
    assert did_you_mean_path(tmp_path / "demoo.csv") == " Did you mean 'demo.csv'?"
    assert did_you_mean_path(tmp_path / "tiny.yaml") == " Did you mean 'tiny.py'?"
    gone = tmp_path / "none"
    assert did_you_mean_path(gone / "demo") == f" There is no folder '{gone}'."


@pytest.mark.parametrize(
    ("name", "likeness", "found"),
    [("Musci", 0.7, "music"), ("musci", 0.9, ""), ("", 0.5, ""), ("speech", 1.0, "speech")],
)
def test_the_nearest_name_is_as_like_as_was_asked(name, likeness, found):
    assert nearest(name, ["speech", "music", "voice"], likeness) == found


def test_only_what_a_terminal_does_not_print_is_escaped():
    lines = "one\ttwo\r\nthree\n"
    assert printable(lines) == lines
    assert printable("a\rb\x1b[2Jc\udcff") == "a\\rb\\x1b[2Jc\\udcff"


def test_a_fault_of_the_disk_names_its_file_in_printable_characters():
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "odd\x1b[2J")
    assert disk_fault(error).startswith("odd\\x1b[2J: No space left on device. ")
