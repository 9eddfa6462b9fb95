"""Every reader of files gets hostile input; `make soak` gives each of them 100,000 files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.hostile.readers import READERS
from support.hostile.trial import Reader, Trial, give, watched

A_FEW, MANY = 12, 2_000
"""Inputs for each reader in `make test` and in `make test-slow`."""


@pytest.fixture(params=READERS, ids=lambda reader: reader.name)
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """A reader, which accepts its valid input."""
    made = Trial(request.param, tmp_path)
    made.check_valid()
    return made


def test_no_input_does_harm(trial: Trial) -> None:
    assert faults_of(trial, A_FEW) == []


@pytest.mark.slow
def test_many_inputs_do_no_harm(trial: Trial) -> None:
    assert faults_of(trial, MANY) == []


def faults_of(trial: Trial, inputs: int) -> list[str]:
    given = give(trial, inputs, start=0)
    assert len(given) == inputs
    return sorted({fault for _, fault, _ in given if fault})


@pytest.mark.parametrize(
    ("deed", "fault"),
    [
        ("raise KeyError('x')", "KeyError"),
        ("open(folder.parent / 'out', 'w').close()", "did open"),
        ("os.mkdir(folder.parent / 'out')", "did os.mkdir"),
        ("pickle.loads(pickle.dumps(os.mkdir))", "did pickle.find_class"),
        ("subprocess.run(['true'])", "did subprocess.Popen"),
        ("b'x' * 200_000_000", "MiB of memory"),
        ("raise UserError('')", "refused in 0 characters"),
    ],
)
def test_harm_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, fault: str
) -> None:
    """The trial itself: what must never happen is a fault."""
    monkeypatch.setattr("support.hostile.trial.MOST_BYTES", 100_000_000)
    if "memory" in fault and sys.platform != "linux":
        pytest.skip("the peak of memory is read in /proc")
    code = f"import os, pickle, subprocess\nfrom harness.core.errors import UserError\n{deed}"
    reader = Reader(
        "harm",
        lambda folder: (folder / "file").write_text("valid"),
        ("file",),
        lambda folder: exec(code, {"folder": folder}),
    )
    assert fault in Trial(reader, tmp_path).attempt("file", b"hostile")


def test_work_inside_the_folder_is_allowed(tmp_path: Path) -> None:
    with watched(tmp_path) as seen:
        (tmp_path / "kept").write_text("x")
        (tmp_path / "kept").unlink()
    assert seen == []
