"""A unit that is killed goes on where it was, to the result of one that was not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.probe_data import QUICK, balanced, class_task, event_task

from harness.probe import PROTOCOLS, UnitResult, next_units
from harness.probe.partial import Partial
from harness.probe.run import run_unit

SPLITS = {"train": balanced(300), "valid": balanced(30), "test": balanced(30)}
# Protocol and kind of task; the text at which the first process is killed, and the first text
# after that. Two validations lie before the kill, and one epoch without a validation.
CASES = {
    "hear2021 scene": ("epoch 8 of at most 30", "epoch 8 of at most 30"),
    "mlp scene": ("epoch 8 of at most 30", "epoch 8 of at most 30"),
    "hear2021 event": ("epoch 8 of at most 30", "epoch 8 of at most 30"),
    "linear scene": ("strength 5 of at most 12", "strength 5 of at most 12"),
    "linear event": ("strength 5 of at most 12", "strength 5 of at most 12"),
}
# A worker for each case is killed by itself; they are forked before torch computes anything.
KILLED = """
import os, sys, pathlib
from test_partial import CASES, kill_at, probe
codes = []
for case, (text, _) in CASES.items():
    child = os.fork()
    if not child:
        probe(case, pathlib.Path(sys.argv[1]), kill_at(text))
        os._exit(0)
    codes.append(os.waitpid(child, 0)[1])
print(codes)
"""


def probe(case: str, folder: Path | None, tell: Callable[[str], None]) -> UnitResult:
    """Run a unit that keeps its state in a folder at every opportunity."""
    torch.set_num_threads(1)
    name, kind = case.split()
    if kind == "scene":
        grid = {**QUICK, "dropout": (0.2,)}
        task, embeddings = class_task(SPLITS, noise=3.0, task_specific_param_grid=grid)
    else:
        task, embeddings = event_task(noise=2.0)
    protocol = PROTOCOLS[name]
    partial = Partial(folder and folder / case, every=0.0)
    unit = next_units(protocol, task, {})[0]
    return run_unit(protocol, unit, task, embeddings, 0, tell=tell, partial=partial)


def kill_at(text: str) -> Callable[[str], None]:
    """Return a `tell` that kills the process at a text, as the system does when memory is short."""

    def tell(told: str) -> None:
        if told == text:
            os.kill(os.getpid(), 9)

    return tell


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Iterator[Path]:
    """The folder that the killed processes left."""
    folder = tmp_path_factory.mktemp("killed")
    tests = Path(__file__).parents[2]
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED.replace("harness.probe.test_partial", "test_partial"),
            folder,
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), path]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str([9] * len(CASES))
    threads = torch.get_num_threads()
    yield folder
    torch.set_num_threads(threads)


@pytest.mark.parametrize("case", CASES)
def test_a_killed_unit_goes_on_to_the_same_result(case: str, killed: Path) -> None:
    kept = sorted(path.name for path in killed.iterdir())
    assert case in kept
    assert not [name for name in kept if name.endswith(".part")]
    told: list[str] = []
    found = probe(case, killed, told.append)
    expected = probe(case, None, lambda _: None)
    assert told[0] == CASES[case][1]
    assert found.probabilities.tobytes() == expected.probabilities.tobytes()
    assert found.model_dump(exclude={"seconds"}) == expected.model_dump(exclude={"seconds"})


def test_a_damaged_state_is_left_aside(tmp_path) -> None:
    case = "linear scene"
    (tmp_path / case).write_bytes(b"\x00" * 100)
    told: list[str] = []
    found = probe(case, tmp_path, told.append)
    assert told[0] == "strength 1 of at most 12"
    np.testing.assert_array_equal(
        found.probabilities, probe(case, None, lambda _: None).probabilities
    )


def test_a_state_is_saved_when_it_is_due_and_survives(tmp_path) -> None:
    nothing = Partial()
    assert not nothing.due()
    nothing.save({}, {})
    assert nothing.load() is None
    partial = Partial(tmp_path / "unit.partial", every=1e6)
    assert not partial.due()
    assert partial.load() is None
    fields = {"best": float("inf"), "curve": [[1, float("nan"), 0.1]]}
    tensors = {"a": torch.arange(6.0).view(2, 3).T, "state": torch.Generator().get_state()}
    partial.save(fields, tensors)
    read, found = Partial(tmp_path / "unit.partial").load()
    assert str(read) == str(fields)
    assert {name: t.tolist() for name, t in found.items()} == {
        name: t.tolist() for name, t in tensors.items()
    }
    partial.remove()
    partial.remove()
    assert not list(tmp_path.iterdir())


def test_a_state_that_cannot_be_written_is_no_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    partial = Partial(tmp_path / "file" / "unit.partial", every=0.0)
    partial.save({}, {"a": torch.zeros(1)})
    assert partial.load() is None
