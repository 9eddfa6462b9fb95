"""A study's YAML file: what it may say, and how mistakes in it are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from harness.ablation.study import read_study
from harness.core.errors import UserError

ROOT = Path(__file__).parents[3]
SPEC = {
    "audio": "pool",
    "config": "tiny",
    "reference": "whole",
    "seeds": 2,
    "arms": {"whole": None, "half": {"blur": 0.5}, "random": {"untrained": True, "seeds": [3, 5]}},
    "suite": "demo",
}


def write(tmp_path: Path, **changes: object) -> Path:
    content = {k: v for k, v in {**SPEC, **changes}.items() if v is not ...}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_what_is_not_said_has_a_default(tmp_path):
    study = read_study(write(tmp_path))
    assert study.name == "study"
    assert study.protocols == ("linear",)
    assert study.audio == tmp_path / "pool"
    assert [arm.name for arm in study.arms] == ["whole", "half", "random"]
    assert study.arms[1].overrides == {"blur": 0.5}
    assert [arm.seeds for arm in study.arms] == [(0, 1), (0, 1), (3, 5)]
    assert [arm.untrained for arm in study.arms] == [False, False, True]


def test_paths_are_relative_to_the_study(tmp_path):
    (tmp_path / "mine.yaml").write_text("d: 512\n")
    study = read_study(
        write(tmp_path, config="mine.yaml", tasks=["./a-v1-full", "demo_pipe_pitch"], suite=...)
    )
    assert study.config == str(tmp_path / "mine.yaml")
    assert study.tasks == (str(tmp_path / "a-v1-full"), "demo_pipe_pitch")


def test_names_stay_as_typed_and_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: 010\naudio: ~/pool\nconfig: ~/c.yaml\nreference: 1.10\ntasks: [~/t-v1-full]\n"
        "arms: {1.10: {batch_size: 0100}, yes: {d: 1_000}}\n"
    )
    study = read_study(path)
    home = tmp_path / "home"
    assert (study.name, study.reference) == ("010", "1.10")
    assert [arm.name for arm in study.arms] == ["1.10", "yes"]
    assert study.arms[0].overrides == {"batch_size": "0100"}
    assert (study.audio, study.config) == (home / "pool", str(home / "c.yaml"))
    assert study.tasks == (str(home / "t-v1-full"),)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": True}, "name is True: it must be a text"),
        ({"name": ""}, "name is '': it must be a text that is not empty"),
        ({"refrence": "whole"}, "no field 'refrence'. Did you mean 'reference'?"),
        ({"audio": ...}, "audio is missing: it must be a text"),
        ({"reference": "hole"}, "reference is 'hole', which is no arm. Did you mean 'whole'?"),
        ({"seeds": 0}, "seeds is 0: it must be how many, or a list of seeds, each 0 or more"),
        ({"seeds": [1, 1]}, "seeds is [1, 1]: it must be a list in which no seed occurs twice"),
        ({"seeds": [-1]}, "seeds is [-1]: it must be how many"),
        ({"seeds": True}, "seeds is True: it must be how many"),
        ({"seeds": 10**15}, "it must be at most 1000 seeds"),
        ({"arms": []}, "arms is []: it must be "),
        ({"arms": {}}, "arms is {}: it must be the arms by name"),
        ({"arms": {"whole": [1]}}, "arms.whole is [1]: it must be fields and their values"),
        ({"arms": {"whole": {"seed": 1}}}, "arms.whole.seed is 1: it must be left out: write `see"),
        ({"overrides": {"seed": 1}}, "overrides.seed is 1: it must be left out: write `seeds`"),
        (
            {"arms": {"whole": {"untrained": 1}}},
            "arms.whole.untrained is 1: it must be true or",
        ),
        ({"arms": {"whole": {"seeds": "x"}}}, "arms.whole.seeds is 'x': it must be how many"),
        ({"arms": {"results": None}}, "an arm cannot be called 'results'"),
        ({"suite": ...}, "name tasks"),
        ({"protocols": [True]}, "protocols[0] is True: it must be a text"),
        ({"paper": "no.csv"}, "there is no file"),
    ],
)
def test_a_mistake_is_named_with_file_and_field(tmp_path, changes, said):
    path = write(tmp_path, **changes)
    with pytest.raises(UserError) as error:
        read_study(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_all_mistakes_are_named_at_once(tmp_path):
    path = write(tmp_path, audio=..., refrence="whole", arms={"whole": {"seed": 1, "seeds": -1}})
    with pytest.raises(UserError) as error:
        read_study(path)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{path}: 4 faults:"
    found = ("audio is", "no field 'refrence'", "arms.whole.seed is", "arms.whole.seeds is")
    for words in found:
        assert sum(line.startswith(f"- {words}") for line in lines) == 1, words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML"),
        ("just words", "must hold fields"),
        ("audio: x\naudio: y\n", "field 'audio' occurs twice"),
        ("arms:\n  a: {x: 1}\n  a: {x: 2}\n", "line 3: field 'a' occurs twice"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path, text, said):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        read_study(path)


def test_a_study_that_is_not_there_is_told_with_the_nearest(tmp_path):
    write(tmp_path)
    with pytest.raises(UserError, match=r"Did you mean 'study\.yaml'"):
        read_study(tmp_path / "stuby.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arm,mean\nwhole,1\n", "the column 'source' is missing"),
        ("arm,source,mean\nhole,T,1\n", "line 2: 'hole' is no arm"),
        ("arm,source,mean\nwhole,T,1\nwhole,T,2\n", "line 3: 'whole' occurs twice"),
        ("arm,source,x,mean\nwhole,T,a,1\n", "line 2: x is 'a'"),
        ("arm,source,mean\nwhole,T,\n", "line 2: mean is ''"),
        ("", "is not a CSV"),
    ],
)
def test_mistakes_in_the_papers_table_are_named(tmp_path, text, said):
    (tmp_path / "paper.csv").write_text(text)
    with pytest.raises(UserError) as error:
        read_study(write(tmp_path, paper="paper.csv"))
    assert said in str(error.value)
    assert "paper.csv" in str(error.value)


def test_an_empty_cell_of_the_paper_was_not_printed(tmp_path):
    (tmp_path / "paper.csv").write_text('arm,source,x,y,mean\nhalf,"T, I",,2.5,1\n')
    study = read_study(write(tmp_path, paper="paper.csv"))
    assert study.paper["half"].scores == {"y": 2.5, "mean": 1.0}
    assert study.paper["half"].source == "T, I"


@pytest.mark.parametrize(("name", "trained"), [("table2", 6), ("table3", 6)])
def test_the_shipped_studies(name, trained, tmp_path):
    study = read_study(ROOT / "results" / "studies" / f"{name}.yaml")
    arms = {arm.name: arm for arm in study.arms}
    assert sum(not arm.untrained for arm in study.arms) == trained
    assert len(arms["untrained"].seeds) == 3
    assert study.paper[study.reference].scores["mean"] == 72.3
    assert study.audio.name == "pool"
    # It may lie anywhere, with the paper's table beside it.
    for path in (study.path, study.path.with_name(f"{name}.paper.csv")):
        shutil.copy(path, tmp_path)
    assert read_study(tmp_path / f"{name}.yaml").arms == study.arms
