"""A study from its file to its table, with real checkpoints, tasks and processes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import taskmaker
import trainmaker
import yaml

from harness.ablate import Outcome, Trainer, ablate
from harness.errors import UserError
from harness.results import read_csv
from harness.study import Study, read_study
from harness.task import TaskSource
from harness.trainings import RECORD

TRAINER = Trainer(
    trainmaker.configure,
    trainmaker.differing,
    trainmaker.pretrain,
    "hear_byola",
    trainmaker.untrained,
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
    return TaskSource(taskmaker.make_task(root, "multilabel", n=12, seconds=0.3))


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


def run(study: Study, task: TaskSource, out: Path, said: list[str] | None = None) -> Outcome:
    return ablate(
        study,
        [task],
        out,
        TRAINER,
        training_devices=["cpu", "cpu"],
        devices=["cpu"],
        command="hear-byola ablate",
        say=([] if said is None else said).append,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, task) -> tuple[Study, Path, Outcome]:
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
    assert "to do: 1 trainings" in "\n".join(said)


def test_an_arm_of_another_config_is_not_taken_for_done(finished, task):
    study, out, _ = finished
    changed = write_study(study.path.parent, task, overrides={"blur": 0.1}, arms={"sharp": None})
    with pytest.raises(UserError, match=r"sharp/seed0 was trained with another config \(blur: 0.0"):
        run(changed, task, out)
    write_study(study.path.parent, task)


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
    directory = taskmaker.make_task(tmp_path, "scene", n=4, seconds=0.2)
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
