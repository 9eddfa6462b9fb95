"""Trainings in processes of their own: failures, stops, resuming, sharing a folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support import study_trainings

from harness.ablation.trainings import LOG, RECORD, Training, finished, train
from harness.core.errors import UserError
from harness.core.lease import claims_in, lease
from hear_byola.checkpoint import read_checkpoint
from hear_byola.pretraining.config import PretrainConfig, differing


def training(out: Path, **changes: object) -> Training:
    config = study_trainings.configure("tiny", changes)
    return Training(out.name, Path("audio"), config, out)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder of a training that went well, and what it said."""
    said: list[str] = []
    out = tmp_path_factory.mktemp("done") / "one"
    one = training(out, seed=3)
    assert finished(one, study_trainings.differing) is None
    assert train([one], study_trainings.pretrain, said.append, ["cpu"]) == {}
    return out, said


def test_a_training_leaves_its_checkpoint_and_is_then_done(done):
    out, said = done
    path = finished(training(out, seed=3), study_trainings.differing)
    assert path == out / "one.safetensors"
    assert read_checkpoint(path).training_config["seed"] == 3
    assert said == ["one: from step 0 on cpu", "trained   one"]
    # What a training prints does not disturb who started it.
    assert "printed by one" in (out / LOG).read_text()
    assert not list(out.parent.glob("*.lease"))


def test_a_finished_training_may_be_moved(done, tmp_path):
    shutil.copytree(done[0], tmp_path / "two")
    moved = finished(training(tmp_path / "two", seed=3), study_trainings.differing)
    assert moved == tmp_path / "two" / "one.safetensors"


def test_another_config_is_refused_and_its_fields_named(done):
    # A field that changes no weight may change.
    assert finished(training(done[0], seed=3, pause=1.0), study_trainings.differing)
    with pytest.raises(UserError, match=r"another config \(blur: 0.0 -> 0.5\).*--out"):
        finished(training(done[0], seed=3, blur=0.5), study_trainings.differing)


def test_a_training_of_a_version_without_a_field_had_its_default(done, tmp_path):
    shutil.copytree(done[0], tmp_path / "one")
    path = tmp_path / "one" / RECORD
    record = json.loads(path.read_text())
    older = {name: v for name, v in PretrainConfig().as_dict().items() if name != "init"}
    path.write_text(json.dumps({**record, "config": older}))
    one = training(tmp_path / "one")
    assert finished(replace(one, config=PretrainConfig().as_dict()), differing)
    with pytest.raises(UserError, match=r"another config \(init: 'pytorch' -> 'contrast'"):
        finished(replace(one, config=PretrainConfig(init="contrast").as_dict()), differing)
    path.write_text(json.dumps({**record, "config": {**older, "colour": "red"}}))
    with pytest.raises(UserError, match=r"another config \(colour: 'red' -> None"):
        finished(replace(one, config=PretrainConfig().as_dict()), differing)


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / RECORD).write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        finished(training(tmp_path / "one"), study_trainings.differing)


def test_failures_are_told_apart_and_the_others_go_on(tmp_path):
    fates = ["user", "bug", "killed", ""]
    all_of_them = [training(tmp_path / f"t{i}", fail=fate) for i, fate in enumerate(fates)]
    said: list[str] = []
    failures = train(all_of_them, study_trainings.pretrain, said.append, ["cuda:0", "cuda:1"])
    told = {each.name: error for each, error in failures.items()}
    assert told["t0"] == "audio: nothing to hear"
    assert told["t1"].startswith("RuntimeError: a fault of ours (traceback in")
    assert "Traceback" in (tmp_path / "t1" / LOG).read_text()
    assert "signal 9" in told["t2"]
    assert "t3" not in told
    assert finished(all_of_them[3], study_trainings.differing)
    devices = [(each.out / "starts.txt").read_text().strip() for each in all_of_them]
    assert set(devices) == {"cuda:0", "cuda:1"}
    killed = "FAILED    t2: its process was killed by signal 9 (Killed). Is memory short? "
    assert [line for line in said if line.startswith(killed)]


def test_what_another_process_trains_is_waited_for(tmp_path):
    one = training(tmp_path / "one")
    said: list[str] = []
    with lease(one.out):
        (claim,) = claims_in(tmp_path)
        holder = claim.file.rename(str(claim.file).replace(claim.owner, "00000000-1-1"))
        started = time.monotonic()

        # Let go of the lease while the other waits.
        code = f"import time, os; time.sleep(6); os.unlink({str(holder)!r})"
        with subprocess.Popen([sys.executable, "-c", code]):
            assert train([one], study_trainings.pretrain, said.append, ["cpu"]) == {}
    assert time.monotonic() - started > 5
    assert said[-1] == "trained   one"


STUDY = """
    import signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from support import study_trainings
    from harness.cli import _interrupt
    from harness.ablation.trainings import Training, train

    if __name__ == "__main__":
        signal.signal(signal.SIGTERM, _interrupt)
        config = study_trainings.configure("tiny", {{"steps": 1000, "pause": 0.05}})
        train([Training("one", Path("x"), config, Path({out!r}))],
              study_trainings.pretrain, print, ["cpu"])
"""


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_study_leaves_no_process_and_its_trainings_go_on(tmp_path, how):
    out = tmp_path / "one"
    script = tmp_path / "study.py"
    tests = str(Path(study_trainings.__file__).parents[1])
    script.write_text(textwrap.dedent(STUDY.format(tests=tests, out=str(out))))
    with subprocess.Popen([sys.executable, script], stdout=-1, stderr=-1) as study:
        wait_for(lambda: (out / "state.txt").exists() and (out / "state.txt").read_text() > "2")
        os.kill(study.pid, how)
        study.communicate(timeout=60)
    # Its process has ended: the lease is given back, and no step is made any more.
    wait_for(lambda: not claims_in(tmp_path))
    reached = int((out / "state.txt").read_text())
    assert not (out / RECORD).exists()
    said: list[str] = []
    shorter = training(out, steps=reached + 1)
    assert train([shorter], study_trainings.pretrain, said.append, ["cpu"]) == {}
    assert said[0] == f"one: from step {reached} on cpu"


def wait_for(condition) -> None:
    until = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
