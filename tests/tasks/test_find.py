from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from support import task_directories
from support.changed import changed

import tasks.listing
from harness.commands.tasks import tasks as command
from harness.core.errors import UserError
from tasks.cards.builtin import card, cards, suites
from tasks.cards.card import CARD
from tasks.cards.cardfile import read_card, write_card
from tasks.find import find_card, find_suite, find_task
from tasks.format.task import read_task
from tasks.listing import list_tasks
from tasks.show import show_task
from tasks.ways import ways_to_get


def put(tasks_dir: Path, *names: str) -> None:
    """Let the tasks of these cards lie in a folder."""
    for name in names:
        directory = tasks_dir / card(name).directory
        directory.mkdir(parents=True)
        (directory / "task_metadata.json").write_text("{}")


def test_a_task_is_found_by_card_directory_task_name_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "nsynth_pitch_5h", "esc50")
    esc50 = tmp_path / "esc50-v2.0.0-full"
    for name in ("esc50", "esc50-v2.0.0-full", str(esc50)):
        assert find_task(name, tmp_path) == (esc50, "hear2021")
    monkeypatch.chdir(esc50)
    assert find_task("./", tmp_path) == (Path("."), "hear2021")
    expected = (tmp_path / "nsynth_pitch-v2.2.3-5h", "hear2021")
    assert find_task("nsynth_pitch", tmp_path) == find_task("nsynth_pitch_5h", tmp_path) == expected


def test_a_name_that_stands_for_two_directories_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "nsynth_pitch_5h", "nsynth_pitch_50h")
    with pytest.raises(UserError, match="matches several tasks"):
        find_task("nsynth_pitch", tmp_path)
    assert find_task("nsynth_pitch_50h", tmp_path)[0].name == "nsynth_pitch-v2.2.3-50h"


def test_a_task_that_is_not_here_comes_with_the_way_to_get_it(tmp_path: Path) -> None:
    fetch = f"`hear-byola tasks fetch esc50 --tasks-dir {tmp_path}`"
    with pytest.raises(UserError, match=re.escape(fetch)):
        find_task("esc50", tmp_path)
    with pytest.raises(UserError, match=r"tasks prepare NAME --source DIR .*voxforge\."):
        find_task("voxforge", tmp_path)


def test_no_option_is_suggested_that_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="Published: `hear-byola tasks fetch esc50`"):
        find_task("esc50", Path("tasks"))


def test_an_unfinished_folder_is_not_the_task(tmp_path: Path) -> None:
    (tmp_path / card("esc50").directory).mkdir()
    with pytest.raises(UserError, match=re.escape(f"Not in {tmp_path}: esc50")):
        find_task("esc50", tmp_path)


def test_a_suite_names_all_that_is_missing(tmp_path: Path) -> None:
    absent = {"fsd50k", "maestro"}
    put(tmp_path, *({each.name for each in suites()["hear2021"]} - absent))
    with pytest.raises(UserError) as raised:
        find_suite("hear2021", tmp_path)
    assert "2 of the 20 tasks of the suite hear2021" in str(raised.value)
    assert "tasks fetch fsd50k maestro" in str(raised.value)
    assert "esc50" not in str(raised.value)
    put(tmp_path, *absent)
    found = find_suite("hear2021", tmp_path)
    assert [path.name for path, _ in found] == [c.directory for c in suites()["hear2021"]]
    assert {suite for _, suite in found} == {"hear2021"}


def test_an_unknown_suite_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Did you mean 'hear2021'.*byola-paper, demo, hear-extra"):
        find_suite("hear2012", tmp_path)


def test_the_list_is_aligned_and_says_what_is_here(tmp_path: Path) -> None:
    put(tmp_path, "esc50")
    other = task_directories.make_task(tmp_path, "scene", n=3, seconds=0.1)
    lines = list_tasks(tmp_path).splitlines()
    rows = {line.split()[0]: line for line in lines[1 : 1 + len(cards())]}
    assert set(rows) == set(cards())
    here, title = lines[0].index("HERE"), lines[0].index("TITLE")
    said = {name: line[here:title].strip() for name, line in rows.items()}
    assert said["esc50"] == "yes"
    assert said["fsd50k"] == "-"
    assert said["demo_voice_count"] == "built in"
    assert all(line[title:] == card(name).title for name, line in rows.items())
    assert lines[-1].strip() == other.name


def test_the_list_of_a_suite_holds_that_suite_alone(tmp_path: Path) -> None:
    task_directories.make_task(tmp_path, "scene", n=3, seconds=0.1)
    lines = list_tasks(tmp_path, "byola-paper").splitlines()[1:]
    assert [line.split()[0] for line in lines] == [c.name for c in suites()["byola-paper"]]
    with pytest.raises(UserError, match="Did you mean 'byola-paper'"):
        list_tasks(tmp_path, "byola")


def test_what_is_not_known_is_a_question_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = changed(card("esc50"), clips=None, hours=None)
    monkeypatch.setattr(tasks.listing, "suite_in", lambda *_: (unknown,))
    assert list_tasks(tmp_path, "hear2021").splitlines()[1].split()[5:8] == ["5", "?", "?"]


def test_show_prints_a_card_that_could_be_a_file(tmp_path: Path) -> None:
    for name in ("fsd50k", "fsd50k-v1.0-full"):
        done = CliRunner().invoke(command, ["show", name, "--tasks-dir", str(tmp_path)])
        assert done.exit_code == 0
        assert read_card(done.stdout, "fsd50k") == card("fsd50k")


def test_show_says_where_the_task_is_or_how_to_get_it(tmp_path: Path) -> None:
    def told(name: str) -> str:
        return CliRunner().invoke(command, ["show", name, "--tasks-dir", str(tmp_path)]).stderr

    assert f"Not in {tmp_path}" in told("fsd50k")
    assert "hear-byola tasks fetch fsd50k" in told("fsd50k")
    task_directories.make_task(tmp_path, "scene", n=3, seconds=0.1, name="fsd50k", version="mine")
    # A directory of the user's comes before the card of that name, as for `run -t`.
    assert told("fsd50k") == f"Here, without a card: {tmp_path}/fsd50k-mine-full\n"
    shutil.rmtree(tmp_path / "fsd50k-mine-full")
    put(tmp_path, "fsd50k")
    assert told("fsd50k") == f"Here: {tmp_path}/fsd50k-v1.0-full\n"
    assert told("demo_voice_count") == "Comes with the package: demo_voice_count.\n"


@pytest.mark.parametrize("kind", ["scene", "multilabel", "events", "kfold"])
def test_show_takes_any_task_directory(tmp_path: Path, kind: str) -> None:
    task = task_directories.make_task(tmp_path / "elsewhere", kind, n=3, seconds=0.5)
    done = CliRunner().invoke(command, ["show", str(task), "--tasks-dir", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stderr == f"Here, without a card: {task}\n"
    shown = yaml.safe_load(done.stdout)
    read = read_task(task)
    assert shown["name"] == read.task_name
    assert shown["directory"] == task.name
    assert shown["split_clips"] == {split: len(read.clips[split]) for split in read.splits}
    assert shown["clips"] == sum(shown["split_clips"].values())
    assert shown["classes"] == len(read.labels)
    assert shown["metrics"] == list(read.evaluation)
    assert (shown["folds"] is None) == (len(read.folds) == 1)


def test_show_names_the_faults_of_a_directory(tmp_path: Path) -> None:
    task = task_directories.make_task(tmp_path, "scene", n=3, seconds=0.1)
    (task / "labelvocabulary.csv").unlink()
    done = CliRunner().invoke(command, ["show", str(task), "--tasks-dir", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert "labelvocabulary.csv" in str(done.exception)
    with pytest.raises(UserError, match=f"no such folder. Did you mean '{task.name}'"):
        show_task(f"{task}l", tmp_path)


def test_the_nearest_name_is_one_of_the_users_tasks_first(tmp_path: Path) -> None:
    task_directories.make_task(tmp_path, "scene", n=3, seconds=0.1, name="esc5")
    for look in (find_task, find_card):
        with pytest.raises(UserError, match="Did you mean 'esc5'"):
            look("esc5x", tmp_path)
        with pytest.raises(UserError, match="Did you mean 'esc50'"):
            look("esc500", tmp_path)
    own(tmp_path, "mine", suite="kennel")
    with pytest.raises(UserError, match="Did you mean 'kennel'"):
        find_suite("kenel", tmp_path)
    with pytest.raises(UserError, match="There is no folder"):
        find_task("esc5", tmp_path / "not here")


def own(tasks_dir: Path, name: str, version: str = "v1", **fields: object) -> Path:
    """A task of the user's with a card inside."""
    task = task_directories.make_task(
        tasks_dir, "scene", n=3, seconds=0.1, name=name, version=version
    )
    fields = {"name": name, "directory": task.name, "suite": "own", **fields}
    made = changed(card("demo_voice_count"), **fields)
    (task / CARD).write_text(write_card(made))
    return task


def test_show_refuses_a_name_of_several_versions_and_takes_a_directory(tmp_path: Path) -> None:
    first, second = own(tmp_path, "mine"), own(tmp_path, "mine", "v2", title="The second")
    with pytest.raises(UserError, match=rf"several tasks in .*{first.name}, {second.name}"):
        find_card("mine", tmp_path)
    for name in (second.name, str(second)):
        found = find_card(name, tmp_path)
        assert found is not None
        assert found.title == "The second"
    rows = [line.split() for line in list_tasks(tmp_path, "own").splitlines()]
    assert [row[:3] for row in rows[1:]] == [["mine", "own", "v1"], ["mine", "own", "v2"]]


def test_a_card_that_is_wrong_or_of_another_folder_blocks_no_other_task(tmp_path: Path) -> None:
    good, broken = own(tmp_path, "good"), own(tmp_path, "broken")
    (broken / CARD).write_text("name: broken\n")
    copy = tmp_path / "copy-v1-full"
    shutil.copytree(good, copy)
    with pytest.warns(UserWarning, match="left out") as warned:
        listed = list_tasks(tmp_path, "own").splitlines()
    told = " ".join(str(each.message) for each in warned)
    assert f"{broken / CARD}: 22 faults:\n- title is missing" in told
    assert f"{copy / CARD} is the card of {good.name}" in told
    assert [line.split()[0] for line in listed] == ["NAME", "good"]
    found = find_card("good", tmp_path)
    assert found is not None
    assert found.name == "good"
    assert find_task("good", tmp_path) == (good, "own")
    with pytest.warns(UserWarning, match="is the card of"):
        assert find_suite("own", tmp_path) == [(good, "own")]
    assert find_task(str(copy), tmp_path) == (copy, "own")
    with pytest.warns(UserWarning, match="22 faults"):
        assert find_task(str(broken), tmp_path) == (broken, "")
    with pytest.raises(UserError, match=": 22 faults:\n- title is missing"):
        find_card("broken", tmp_path)
    with pytest.warns(UserWarning, match="Rename the folder"):
        assert find_card("copy", tmp_path) is None


def test_a_suite_that_users_fill_may_be_empty(tmp_path: Path) -> None:
    for suite, way in (("own", "tasks make`"), ("synthetic", "tasks make --synthetic")):
        assert way in list_tasks(tmp_path, suite)
        with pytest.raises(UserError, match=way):
            find_suite(suite, tmp_path)


def test_no_command_is_named_that_would_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = changed(card("voxforge"), name="mine", directory="mine-v1-full")
    (line,) = ways_to_get([mine], tmp_path)
    assert line == (f"Not published, and no command makes it: put mine-v1-full into {tmp_path}.")


def test_a_part_of_the_task_is_named(tmp_path: Path) -> None:
    task_directories.make_task(
        tmp_path,
        "scene",
        n=3,
        seconds=0.1,
        name="speech_commands_part",
        version="v0.0.2",
        mode="5h",
    )
    with pytest.raises(UserError, match=r"fewer clips: speech_commands_part-v0\.0\.2-5h\."):
        find_task("speech_commands_5h", tmp_path)
