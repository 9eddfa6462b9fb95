"""A study from its file to its table, with real checkpoints, tasks and processes."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sysconfig
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import study_trainings, task_directories

from harness.ablation import StudyOutcome, Trainer, ablate
from harness.ablation.study import Study, read_study
from harness.ablation.trainings import RECORD, train
from harness.cli import call
from harness.core.errors import UserError
from harness.results import read_csv
from harness.run.engines import local_engine
from tasks.format.task import TaskSource

TRAINER = Trainer(
    study_trainings.configure,
    study_trainings.differing,
    study_trainings.pretrain,
    study_trainings.audio,
    study_trainings.trained_on,
    "hear_byola",
    study_trainings.untrained,
)
ARMS = {
    "sharp": None,
    "blurred one": {"blur": 0.9},
    "silent": {"fail": "user", "seeds": [1]},
    "untrained": {"untrained": True, "seeds": 3},
}


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> TaskSource:
    root = tmp_path_factory.mktemp("tasks")
    return TaskSource(task_directories.make_task(root, "multilabel", n=12, seconds=0.3))


def write_study(folder: Path, task: TaskSource, **changes: object) -> Study:
    (folder / "pool").mkdir(exist_ok=True)
    content = {
        "audio": "pool",
        "config": "tiny",
        "seeds": 2,
        "reference": "sharp",
        "arms": ARMS,
        "tasks": [str(task.directory)],
        **changes,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return read_study(path)


def run(study: Study, task: TaskSource, out: Path, said: list[str] | None = None) -> StudyOutcome:
    return ablate(
        study,
        [task],
        out,
        TRAINER,
        train=partial(train, devices=["cpu", "cpu"]),
        engine=local_engine(["cpu"]),
        command="hear-byola ablate",
        say=([] if said is None else said).append,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, task) -> tuple[Study, Path, StudyOutcome]:
    folder = tmp_path_factory.mktemp("study")
    study = write_study(folder, task)
    return study, folder / "out", run(study, task, folder / "out")


def test_every_arm_and_seed_ends_in_one_results_csv(finished):
    _, out, _ = finished
    table = read_csv(out / "results.csv")
    assert sorted(set(table.model)) == [
        "blurred one-seed0", "blurred one-seed1", "sharp-seed0", "sharp-seed1",
        "untrained-seed0", "untrained-seed1", "untrained-seed2",
    ]  # fmt: skip
    trained = table[table.model == "sharp-seed1"].iloc[0]
    assert trained.checkpoint == str(out / "sharp" / "seed1" / "sharp-seed1.safetensors")
    random = table[table.model == "untrained-seed1"].iloc[0]
    assert (random.checkpoint, random.model_options) == ("", '{"seed": 1}')
    # The stand-in of a training is its seed's weights: the same value as untrained.
    primary = table[table.is_primary & (table.split == "all")].set_index("model").value
    assert primary["sharp-seed0"] == primary["untrained-seed0"]


def test_an_arm_that_fails_is_reported_and_the_others_go_on(finished):
    study, _, outcome = finished
    assert outcome.failures == (("silent-seed1", f"{study.audio}: nothing to hear"),)
    assert "Missing:\n- silent-seed1: " in outcome.table
    assert "| silent" in outcome.table


def test_the_table_is_written_as_text_and_in_long_form(finished):
    _, out, outcome = finished
    assert (out / "table.md").read_text() == outcome.table
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert [row["arm"] for row in rows if row["task"] == "mean"] == list(ARMS)
    by_arm = {row["arm"]: row for row in rows if row["task"] == "mean"}
    assert by_arm["blurred one"]["n_seeds"] == "2"
    assert by_arm["silent"]["value"] == ""
    assert by_arm["sharp"]["ordering"] == "reference"


def test_the_same_command_again_trains_and_probes_nothing(finished, task):
    study, out, outcome = finished
    before = (out / "results.csv").read_bytes()
    logs = {path: path.read_bytes() for path in out.glob("*/*/log.txt")}
    said: list[str] = []
    again = run(study, task, out, said)
    assert again.table == outcome.table
    assert (out / "results.csv").read_bytes() == before
    changed = [path for path in logs if path.read_bytes() != logs[path]]
    assert [path.parent.parent.name for path in changed] == ["silent"]
    assert "to do: 1 training" in "\n".join(said)


def test_an_arm_of_another_config_is_not_taken_for_done(finished, task):
    study, out, _ = finished
    changed = write_study(study.path.parent, task, overrides={"blur": 0.1}, arms={"sharp": None})
    with pytest.raises(UserError, match=r"sharp/seed0 was trained with another config \(blur: 0.0"):
        run(changed, task, out)
    write_study(study.path.parent, task)


def test_arms_that_heard_different_audio_are_refused(tmp_path, task):
    arms = {"sharp": {"seeds": 1}, "blurred": {"blur": 0.5, "seeds": 1}}
    study = write_study(tmp_path, task, arms={"sharp": arms["sharp"]})
    out = tmp_path / "out"
    table = run(study, task, out).table
    moved = tmp_path / "moved"
    shutil.copytree(study.audio, moved)
    assert run(replace(study, audio=moved), task, out).table == table
    (study.audio / "new.wav").write_bytes(b"")
    grown = write_study(tmp_path, task, arms=arms)
    for each in (study, grown):
        with pytest.raises(UserError, match=r"other audio than there is now: .*sharp/seed0"):
            run(each, task, out)
    assert not (out / "blurred").exists()
    (out / "sharp" / "seed0" / RECORD).unlink()
    run(grown, task, out)
    # One that came from elsewhere, its audio being gone.
    other = tmp_path / "other"
    (study.audio / "new.wav").unlink()
    run(study, task, other)
    shutil.rmtree(out / "sharp")
    shutil.copytree(other / "sharp", out / "sharp")
    (study.audio / "new.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"than there is now: .*sharp/seed0\. .* delete these"):
        run(grown, task, out)


def test_audio_that_changes_while_a_study_runs_is_told_of(tmp_path, task):
    arms = {"sharp": {"seeds": 1}, "grown": {"blur": 0.5, "grow": True, "seeds": 1}}
    run(write_study(tmp_path, task, arms={"sharp": arms["sharp"]}), task, tmp_path / "out")
    with pytest.raises(UserError, match=r"other audio than the other arms: .*/(sharp|grown)/seed0"):
        run(write_study(tmp_path, task, arms=arms), task, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"sharp": None, "odd": {"blurr": 1}}}, "arm 'odd': no field 'blurr'"),
        ({"config": "tidy"}, "arm 'sharp': no config 'tidy'"),
        ({"arms": {"sharp": None, "same": {"blur": 0.0}}}, "'sharp' and 'same' have one config"),
        ({"audio": "nowhere"}, "audio: there is nothing at"),
        ({"protocols": ["lineal"]}, "Did you mean 'linear'"),
        ({"protocols": ["byola"]}, "byola"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(tmp_path, task, changes, said):
    study = write_study(tmp_path, task, **changes)
    with pytest.raises(UserError) as error:
        run(study, task, tmp_path / "out")
    assert said in str(error.value)
    assert not list(tmp_path.rglob("log.txt"))


def test_tasks_are_checked_before_anything_is_trained(tmp_path):
    directory = task_directories.make_task(tmp_path, "scene", n=4, seconds=0.2)
    (directory / "16000" / "test" / "test-0000.wav").write_bytes(b"no audio")
    bad = TaskSource(directory)
    with pytest.raises(UserError, match=r"test-0000\.wav"):
        run(write_study(tmp_path, bad), bad, tmp_path / "out")
    assert not list(tmp_path.rglob("log.txt"))


def test_a_study_of_which_nothing_trains_ends_with_the_reasons(tmp_path, task):
    arms = {"sharp": {"fail": "user", "seeds": 1}}
    study = write_study(tmp_path, task, arms=arms)
    with pytest.raises(UserError, match=r"No arm could be trained:\n  sharp-seed0: .*nothing to h"):
        run(study, task, tmp_path / "out")
    assert not list(tmp_path.rglob(RECORD))


# The command


@pytest.fixture
def tiny_study(tmp_path, task) -> Path:
    """A study whose trainings are real: three steps of eight crops of synthetic audio."""
    rng = np.random.default_rng(0)
    for kind in ("low", "high"):
        tone = np.sin(2 * np.pi * {"low": 300, "high": 2000}[kind] * np.arange(32000) / 16000)
        audio = 0.3 * tone + 0.05 * rng.normal(size=32000)
        task_directories.write_wav(tmp_path / "pool" / kind / "one.wav", audio, 16000)
    base = {"batch_size": 8, "crops": 24, "hidden": 64, "workers": 0, "unit": "seconds"}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    study = {
        "audio": "pool",
        "config": "base.yaml",
        "reference": "both",
        "arms": {
            "both": None,
            "crop": {"augmentations": ["random_resize_crop"]},
            "untrained": {"untrained": True},
        },
        "tasks": [str(task.directory)],
        "protocols": ["knn"],
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def command(*arguments: str | Path) -> subprocess.Popen:
    program = Path(sysconfig.get_path("scripts"), "hear-byola")
    return subprocess.Popen(
        [str(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_refuses_half_precision_on_a_cpu(tiny_study, capsys):
    content = yaml.safe_load(tiny_study.read_text())
    content["overrides"] = {"precision": "16-mixed"}
    tiny_study.write_text(yaml.safe_dump(content))
    out = str(tiny_study.parent / "out")
    assert call(["ablate", str(tiny_study), "--device", "cpu", "--out", out]) == 2
    assert "arm 'both': precision 16-mixed is for GPUs" in capsys.readouterr().err
    assert not list(tiny_study.parent.rglob("log.txt"))


def test_the_command_trains_and_compares(tiny_study):
    out = tiny_study.parent / "out"
    with command("ablate", tiny_study, "--out", out, "--device", "cpu", "--jobs", "2") as done:
        stdout, stderr = done.communicate()
    assert done.returncode == 0, stderr
    assert [line.split("|")[1].strip() for line in stdout.splitlines() if line[:1] == "|"][2:] == [
        "metric", "both", "crop", "untrained",
    ]  # fmt: skip
    assert str(out / "table.md") in stdout
    table = read_csv(out / "results.csv")
    assert set(table.model) == {"both-seed0", "crop-seed0", "untrained-seed0"}
    assert table.command.str.contains("ablate").all()
    # The state to go on from is large, and a finished arm has no need of it.
    assert not list(out.rglob("*.ckpt"))


@pytest.mark.slow
def test_a_stopped_command_goes_on_in_the_middle_of_a_training(tiny_study):
    base = tiny_study.with_name("base.yaml")
    base.write_text(base.read_text() + "save_every: 1\n")
    study = yaml.safe_load(tiny_study.read_text())
    study["overrides"] = {"crops": 160}
    tiny_study.write_text(yaml.safe_dump(study, sort_keys=False))
    out = tiny_study.parent / "out"
    with command("ablate", tiny_study, "--out", out, "--device", "cpu") as stopped:
        until = time.monotonic() + 200
        while not list(out.rglob("resume.ckpt")) and time.monotonic() < until:
            time.sleep(0.05)
        stopped.send_signal(signal.SIGINT)
        _, stderr = stopped.communicate()
    assert stopped.returncode == 130, stderr
    assert "the same command resumes" in stderr
    with command("ablate", tiny_study, "--out", out, "--device", "cpu") as done:
        _, stderr = done.communicate()
    assert done.returncode == 0, stderr
    assert "resuming from" in stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"both": {"mixup_alfa": 1}}}, "arm 'both': "),
        ({"arms": {"both": {"mixup_alfa": 1}}}, "Did you mean 'mixup_alpha'?"),
        ({"config": "byola-513"}, "no config 'byola-513'"),
        ({"suite": "dem"}, "Did you mean 'demo'?"),
        ({"refrence": "x"}, "Did you mean 'reference'?"),
    ],
)
def test_a_mistake_ends_the_command_in_a_sentence(tiny_study, changes, said, capsys):
    study = yaml.safe_load(tiny_study.read_text())
    tiny_study.write_text(yaml.safe_dump({**study, **changes}))
    assert call(["ablate", str(tiny_study), "--out", str(tiny_study.parent / "out")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["table2", "table3", "checkpoint"])
def test_the_shipped_studies_lack_nothing_but_audio(name, tmp_path, capsys):
    path = Path(__file__).parents[3] / "results" / "studies" / f"{name}.yaml"
    assert call(["ablate", str(path), "--audio", str(tmp_path / "x"), "--out", str(tmp_path)]) == 2
    assert "audio: there is nothing at" in capsys.readouterr().err
