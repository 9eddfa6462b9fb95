"""Trainings of a study as tasks of a Ray cluster: failures, deaths, resuming."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import study_trainings
from support.kills import descendants

from harness.ablation.ray_trainings import train_on_ray
from harness.ablation.trainings import LOG, Training, finished, train
from harness.core.ray.pool import RayPool
from harness.run.engines import Wanted, start_engine
from hear_byola.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(ray_address, tmp_path) -> Iterator[RayPool]:
    with closing(start_engine("ray", Wanted(tmp_path, address=ray_address))) as started:
        yield started


def training(out: Path, **changes: object) -> Training:
    return Training(out.name, Path("audio"), study_trainings.configure("tiny", changes), out)


def test_trainings_end_as_on_one_machine(engine, tmp_path):
    fates = ["user", "bug", "killed", ""]
    arms = [training(tmp_path / "ray" / f"t{i}", fail=fate) for i, fate in enumerate(fates)]
    said: list[str] = []
    failures = train_on_ray(arms, study_trainings.pretrain, said.append, engine, jobs=2)
    told = {each.name: error for each, error in failures.items()}
    assert told["t0"] == "audio: nothing to hear"
    assert told["t1"].startswith("RuntimeError: a fault of ours (traceback in")
    assert "signal 9" in told["t2"]
    assert "t3: from step 0 on cpu" in said
    assert "trained   t3" in said
    assert "printed by t3" in (arms[3].out / LOG).read_text()
    here = training(tmp_path / "here" / "t3")
    assert train([here], study_trainings.pretrain, said.append, ["cpu"]) == {}
    one, other = (finished(each, study_trainings.differing) for each in (arms[3], here))
    states = [read_checkpoint(path).state for path in (one, other)]
    assert all(states[0][name].equal(value) for name, value in states[1].items())


def test_a_training_whose_worker_dies_resumes(engine, tmp_path):
    slow = training(tmp_path / "slow", steps=40, pause=0.1)
    state = slow.out / "state.txt"

    def kill() -> None:
        while not state.exists() or int(state.read_text() or 0) < 5:
            time.sleep(0.05)
        for pid in descendants(os.getpid()):
            if b"ray::run_aloud" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    said: list[str] = []
    assert train_on_ray([slow], study_trainings.pretrain, said.append, engine, jobs=1) == {}
    assert finished(slow, study_trainings.differing)
    starts = [line for line in said if "from step" in line]
    assert len(starts) == 2
    assert int(starts[1].split()[3]) >= 5
    assert [line for line in said if "its worker was lost" in line]
