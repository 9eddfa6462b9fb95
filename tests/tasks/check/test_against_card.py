from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from support import task_directories
from support.changed import changed

import tasks.audio
from harness.commands.check import check
from harness.core.errors import UserError
from tasks.cards.builtin import card
from tasks.cards.card import CARD, Card, ZenodoArchive
from tasks.cards.cardfile import write_card
from tasks.check.against_card import card_for, compare
from tasks.check.finding import Finding
from tasks.demo import demo_directory, demo_names
from tasks.fetch.archive import Archive
from tasks.fetch.installed import write_record
from tasks.format.directory import read_contents


def task_and_card(tmp_path: Path, kind: str = "scene", **more: Any) -> tuple[Path, Card]:
    """A small task, and a card that says all that is true of it."""
    task = task_directories.make_task(tmp_path, kind, n=4, seconds=1.0, name="tiny", **more)
    metadata = json.loads((task / "task_metadata.json").read_text())
    kfold = "nfolds" in metadata
    clips = 4 * len(metadata["splits"])
    return task, changed(
        card("demo_pipe_pitch"),
        name="tiny",
        directory=task.name,
        suite="mine",
        embedding_type=metadata["embedding_type"],
        prediction_type=metadata["prediction_type"],
        split_mode=metadata["split_mode"],
        folds=metadata["nfolds"] if kfold else None,
        clip_seconds=1.0,
        clips=clips,
        n_test=clips if kfold else 4,
        classes=task_directories.CLASSES[kind],
        hours=round(clips / 3600, 4),
        metrics=tuple(metadata["evaluation"]),
        published=None,
        split_clips=dict.fromkeys(metadata["splits"], 4),
        metadata_md5=hashlib.md5((task / "task_metadata.json").read_bytes()).hexdigest(),
    )


def differences(task: Path, its_card: Card, seconds: dict[int, float] | None = None) -> list[Any]:
    contents = read_contents(task, lambda *_: None)
    return list(compare(its_card, task, contents, seconds or {}))


@pytest.mark.parametrize("kind", task_directories.KINDS)
def test_a_task_that_is_what_its_card_says_has_no_difference(tmp_path: Path, kind: str) -> None:
    task, its_card = task_and_card(tmp_path, kind)
    assert differences(task, its_card, {16000: 3600 * (its_card.hours or 0.0)}) == []


def test_what_a_card_does_not_know_is_not_compared(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path)
    nothing = dict.fromkeys(("clip_seconds", "clips", "n_test", "classes", "hours"))
    blank = changed(its_card, **nothing, split_clips={}, metadata_md5=None)
    assert differences(task, blank, {16000: 1e6}) == []


ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "embedding": ({"embedding_type": "event"}, "embedding_type is scene; the card tiny has event"),
    "prediction": (
        {"prediction_type": "multilabel"},
        "prediction_type is multiclass; the card tiny has multilabel",
    ),
    "split mode": (
        {"split_mode": "presplit_kfold"},
        "split_mode is trainvaltest; the card tiny has presplit_kfold",
    ),
    "score": (
        {"metrics": ("mAP", "top1_acc")},
        "first metric, the score, is top1_acc; the card tiny has mAP",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_another_kind_of_task_is_an_error(tmp_path: Path, case: str) -> None:
    task, its_card = task_and_card(tmp_path)
    changes, reason = ERRORS[case]
    (found,) = differences(task, changed(its_card, **changes))
    assert found == Finding("error", "task_metadata.json", f"the {reason}.")


def test_another_number_of_folds_is_an_error(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path, "kfold")
    (found,) = differences(task, changed(its_card, folds=5))
    assert found.severity == "error"
    assert found.reason == "the number of folds is 3; the card tiny has 5."


WARNINGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "metrics": (
        {"metrics": ("top1_acc", "mAP")},
        "task_metadata.json",
        "metrics is top1_acc, mAP, d_prime, aucroc; the card tiny has top1_acc, mAP",
    ),
    "length": (
        {"clip_seconds": 2.5},
        "task_metadata.json",
        "sample_duration is 1; the card tiny has 2.5 s",
    ),
    "clips": ({"clips": 1500}, "", "number of clips is 12; the card tiny has 1,500"),
    "test": (
        {"n_test": 5, "split_clips": {}},
        "test.json",
        "number of clips is 4; the card tiny has 5",
    ),
    "split": (
        {"split_clips": {"valid": 7}},
        "valid.json",
        "number of clips is 4; the card tiny has 7",
    ),
    "classes": (
        {"classes": 9},
        "labelvocabulary.csv",
        "number of labels is 4; the card tiny has 9",
    ),
    "hours": ({"hours": 0.5}, "16000", "length of all clips is 0.003333 h; the card tiny has 0.5"),
    "rate": (
        {"published": ZenodoArchive(record="1", file="hear2021-tiny-v1-full-48000.tar.gz")},
        "",
        "audio's sample rate in Hz is 16000; the card tiny has 48000",
    ),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_more_or_less_or_other_material_is_a_warning(tmp_path: Path, case: str) -> None:
    task, its_card = task_and_card(tmp_path)
    changes, file, reason = WARNINGS[case]
    (found,) = differences(task, changed(its_card, **changes), {16000: 12.0})
    assert found == Finding("warning", file, f"the {reason}.")


def test_other_metadata_than_published_is_a_warning(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path)
    task_directories.edit_metadata(task, note="mine")
    (found,) = differences(task, its_card)
    assert (found.severity, found.file) == ("warning", "task_metadata.json")
    assert f"has {its_card.metadata_md5}." in found.reason


def test_clips_without_a_common_length_are_compared(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path)
    task_directories.edit_metadata(task, sample_duration=None)
    (found,) = differences(task, changed(its_card, metadata_md5=None))
    assert "sample_duration is null" in found.reason


def test_what_cannot_be_read_is_not_compared(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path)
    (task / "valid.json").write_text("[")
    (task / "labelvocabulary.csv").unlink()
    task_directories.edit_metadata(task, evaluation=..., split_mode="k", sample_duration="1 s")
    assert differences(task, changed(its_card, clips=99, classes=99, metadata_md5=None)) == []


def test_the_card_inside_a_directory_comes_first(tmp_path: Path) -> None:
    task = tmp_path / card("esc50").directory
    task.mkdir()
    assert card_for(task) == card("esc50")
    (task / CARD).write_text(write_card(changed(card("esc50"), title="Mine")))
    own = card_for(task)
    assert own is not None
    assert own.title == "Mine"
    assert card_for(tmp_path) is None


# The command ----------------------------------------------------------------------------------


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(check, [str(a) for a in arguments], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.return_value, done.stdout


def test_demo_tasks_are_what_their_cards_say_and_share_no_recording() -> None:
    code, said = run(*(demo_directory(name) for name in demo_names()))
    assert code == 0
    assert re.findall(r"\(card: (\w+)", said) == list(demo_names())
    assert "(card: demo_pipe_pitch; groups: train 34, valid 11, test 14)" in said
    (few,) = re.findall(r"  (?:error|warning): (.*)", said)
    assert few.startswith("groups.csv: the test has 14 groups. Below about 40, confidence")


def test_the_command_compares_with_the_card_inside(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path)
    assert run(task) == (0, f"{task}: no findings (card: none)\n")
    (task / CARD).write_text(write_card(its_card))
    assert run(task) == (0, f"{task}: no findings (card: tiny)\n")
    (task / CARD).write_text(write_card(changed(its_card, hours=None, clip_seconds=2.0)))
    code, said = run(task)
    assert (code, said.splitlines()[0]) == (0, f"{task}: 0 errors, 1 warning (card: tiny)")
    (task / CARD).write_text(write_card(changed(its_card, metrics=("mAP",))))
    code, said = run(task)
    assert code == 1
    assert "error: task_metadata.json: the first metric, the score, is top1_acc" in said


def test_hours_are_compared_when_audio_is_heard(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path)
    longer = changed(its_card, clip_seconds=None, hours=2.0)
    (task / CARD).write_text(write_card(longer))
    assert "16000: the length of all clips is 0.003333 h; the card tiny has 2.0." in run(task)[1]
    assert run(task, "--no-audio") == (0, f"{task}: no findings (card: tiny)\n")


def test_a_wrong_card_is_an_error_beside_the_others(tmp_path: Path) -> None:
    task, _ = task_and_card(tmp_path)
    (task / CARD).write_text("name: tiny\n")
    (task / "16000/test/test-0000.wav").unlink()
    code, said = run(task)
    assert code == 1
    assert "2 errors" in said
    assert f"{task / CARD}: 22 faults:\n- title is missing" in said


def test_a_renamed_directory_is_a_warning(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path)
    (task / CARD).write_text(write_card(its_card))
    renamed = task.rename(tmp_path / "other-v1-full")
    code, said = run(renamed)
    assert code == 0
    assert f"warning: card.yaml: {renamed / CARD} is the card of tiny-v1-full" in said


def test_tasks_are_checked_by_name_too(tmp_path: Path) -> None:
    task, _ = task_and_card(tmp_path)
    for name in ("tiny", task.name):
        assert run(name, "--tasks-dir", tmp_path)[1].startswith(f"{task}: no findings")
    with pytest.raises(UserError, match="Did you mean 'tiny-v1-full'"):
        run("tini-v1-full", "--tasks-dir", tmp_path)
    (tmp_path / "other").mkdir()
    assert "is not a task directory" in run(tmp_path / "other")[1]


def test_tables_that_are_not_as_they_were_fetched_are_a_warning(tmp_path: Path) -> None:
    task, its_card = task_and_card(tmp_path)
    its_card = changed(
        its_card, published=ZenodoArchive(record="1", file=f"{task.name}-16000.tar.gz")
    )
    archive = Archive(f"{task.name}-16000.tar.gz", tmp_path, None, None, "")
    write_record(task, its_card, archive)
    assert "no findings" in run(task)[1]
    task_directories.edit_json(
        task / "train.json", lambda table: {**table, "train-0000.wav": ["class01"]}
    )
    assert "warning: train.json: differs from the published and fetched one." in run(task)[1]
    (task / ".fetched").write_text("{")
    assert "differs from the published and" not in run(task)[1]


def test_pairs_are_written_for_every_directory(tmp_path: Path) -> None:
    tasks = []
    for name in ("one", "two"):
        task, _ = task_and_card(tmp_path / name)
        audio, rate = soundfile.read(task / "16000/train/train-0001.wav")
        soundfile.write(task / "16000/test/test-0002.wav", audio / 2, rate)
        shutil.copy(task / "16000/train/train-0000.wav", task / "16000/valid/valid-0000.wav")
        tasks.append(task)
    code, _ = run(*tasks, "--pairs", tmp_path / "pairs.csv")
    assert code == 0
    with (tmp_path / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert rows[0] == {
        "task": "tiny-v1-full",
        "split": "valid",
        "clip": "valid-0000.wav",
        "other_split": "train",
        "other_clip": "train-0000.wav",
        "likeness": "1.0",
        "same_samples": "True",
        "same_labels": "True",
    }
    assert (rows[1]["clip"], rows[1]["same_samples"], rows[1]["same_labels"]) == (
        "test-0002.wav",
        "False",
        "False",
    )


def test_pairs_take_the_place_of_pairs_alone(tmp_path: Path) -> None:
    task, _ = task_and_card(tmp_path)
    pairs, mine = tmp_path / "pairs.csv", tmp_path / "mine.csv"
    assert run(task, "--pairs", pairs)[0] == run(task, "--pairs", pairs)[0] == 0
    mine.write_text("file,label\n")
    with pytest.raises(UserError, match=r"mine\.csv exists and is not a table of pairs"):
        run(task, "--pairs", mine)
    assert mine.read_text() == "file,label\n"


@pytest.mark.usefixtures("settled")
def test_a_second_check_is_quick_and_verify_hears_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = task_and_card(tmp_path)
    heard: list[Path] = []

    def decode(path: Path, rate: int) -> Any:
        heard.append(path)
        return tasks.audio.decode(path, rate)

    monkeypatch.setattr("tasks.check.sound.decode", decode)
    assert run(task)[0] == 0
    assert len(heard) == 12
    assert run(task)[0] == 0
    assert len(heard) == 12
    task_directories.write_wav(task / "16000/test/test-0000.wav", 0.1 * np.ones(16000), 16000)
    assert run(task)[0] == 0
    assert len(heard) == 13
    assert run(task, "--verify")[0] == 0
    assert len(heard) == 25


@pytest.mark.usefixtures("settled")
def test_a_memory_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEAR_BYOLA_CACHE", str(tmp_path / "file"))
    task, _ = task_and_card(tmp_path)
    done = CliRunner().invoke(check, [str(task)], standalone_mode=False)
    assert done.return_value == 0
    assert "no findings" in done.stdout
    assert "results cannot be stored" in done.stderr
