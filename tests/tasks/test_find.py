from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import taskmaker
from click.testing import CliRunner

import tasks.listing
from harness.commands.tasks import tasks as command
from harness.errors import UserError
from tasks.card import card, cards, read_card, suites
from tasks.find import find_suite, find_task
from tasks.listing import list_tasks


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
    with pytest.raises(UserError, match="stands for several tasks"):
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
    other = taskmaker.make_task(tmp_path, "scene", n=3, seconds=0.1)
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
    taskmaker.make_task(tmp_path, "scene", n=3, seconds=0.1)
    lines = list_tasks(tmp_path, "byola-paper").splitlines()[1:]
    assert [line.split()[0] for line in lines] == [c.name for c in suites()["byola-paper"]]
    with pytest.raises(UserError, match="Did you mean 'byola-paper'"):
        list_tasks(tmp_path, "byola")


def test_what_is_not_known_is_a_question_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = replace(card("esc50"), clips=None, hours=None)
    monkeypatch.setattr(tasks.listing, "cards_of_suite", lambda _: (unknown,))
    assert list_tasks(tmp_path, "hear2021").splitlines()[1].split()[4:7] == ["5", "?", "?"]


def test_show_prints_a_card_that_could_be_a_file(tmp_path: Path) -> None:
    for name in ("fsd50k", "fsd50k-v1.0-full"):
        done = CliRunner().invoke(command, ["show", name])
        assert done.exit_code == 0
        assert read_card(done.output, "fsd50k") == card("fsd50k")
