"""A table and recordings to a task: what is planned, what is written, what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support import sound_files
from support.command_line import hear_byola

from harness.core.errors import UserError
from harness.metrics.registry import metrics_of
from harness.results import read_csv
from harness.results.predictions import read_predictions
from tasks.cards.cardfile import card_in
from tasks.check import check_task
from tasks.format.tables import Event
from tasks.format.task import Task, read_task
from tasks.make.plan import TaskPlan, clip_names, plan_task
from tasks.make.wishes import DEFAULT_METRICS, Wishes

Make = Callable[..., TaskPlan]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty half seconds of sound: ``00.wav`` to ``29.wav`` at 8 kHz, each of its own noise."""
    folder = tmp_path / "recordings"
    for i in range(30):
        sound_files.write(folder / f"{i:02d}.wav", sound_files.noise(0.5, 8000, i), 8000)
    return folder


@pytest.fixture
def make(tmp_path: Path, folder: Path) -> Make:
    """Plan a task from a table's text and wishes."""

    def make(text: str, **wishes: Any) -> TaskPlan:
        table = tmp_path / "labels.csv"
        table.write_text(text)
        say = wishes.pop("say", lambda _: None)
        return plan_task(table, folder, Wishes(name="mine", **wishes), say)

    return make


def making(table: Path, tasks_dir: Path, *more: object) -> tuple[object, ...]:
    """The words of a command that makes a task of a table beside its recordings."""
    return (
        "tasks", "make", table, table.parent, "--name", "mine", "--jobs", "1",
        "--tasks-dir", tasks_dir, *more,
    )  # fmt: skip


def labels_of(n: int = 30, kinds: str = "abc") -> str:
    return "file,label\n" + "".join(f"{i:02d}.wav,{kinds[i % len(kinds)]}\n" for i in range(n))


def splits_of(plan: TaskPlan) -> dict[str, list[str]]:
    return {
        split: [clip.name for clip in plan.task.clips if clip.split == split]
        for split in plan.task.splits
    }


# The plan --------------------------------------------------------------------------------------


def test_a_plain_table_becomes_train_valid_and_test(make: Make) -> None:
    plan = make(labels_of())
    task = plan.task
    assert task.name == "mine-v1-full"
    assert (task.embedding_type, task.prediction_type) == ("scene", "multiclass")
    assert (task.split_mode, task.splits) == ("trainvaltest", ("train", "valid", "test"))
    assert task.evaluation == ("top1_acc", "mAP", "d_prime", "aucroc")
    assert task.labels == ("a", "b", "c")
    assert {split: len(names) for split, names in splits_of(plan).items()} == {
        "train": 18,
        "valid": 6,
        "test": 6,
    }
    for split in task.splits:
        counts = Counter(clip.labels for clip in task.clips if clip.split == split)
        assert len(set(counts.values())) == 1
        assert len(counts) == 3


def test_folds_are_stratified_and_named_as_hear_names_them(make: Make) -> None:
    plan = make(labels_of(), folds=5)
    assert plan.task.split_mode == "new_split_kfold"
    assert {split: len(names) for split, names in splits_of(plan).items()} == {
        f"fold{i:02d}": 6 for i in range(5)
    }
    assert plan.card.folds == 5
    assert plan.card.n_test == 30


def test_the_plan_depends_on_the_seed_and_on_nothing_else(make: Make) -> None:
    first = make(labels_of(), seed=1).task
    assert make(labels_of(), seed=1).task == first
    header, *rows = labels_of().splitlines()
    turned = make("\n".join([header, *reversed(rows)]) + "\n", seed=1).task
    assert turned.clips == first.clips
    assert make(labels_of(), seed=2).task.clips != first.clips


@pytest.mark.parametrize("wishes", [{}, {"folds": 4}])
def test_groups_are_never_divided(make: Make, wishes: dict[str, Any]) -> None:
    rows = "".join(f"{i:02d}.wav,{'abc'[i % 3]},g{i // 4}\n" for i in range(30))
    task = make("file,label,group\n" + rows, **wishes).task
    places = {(int(clip.name[:2]) // 4, clip.split) for clip in task.clips}
    assert len(places) == 8


def test_several_labels_make_a_multilabel_task(make: Make) -> None:
    text = labels_of() + "00.wav,c\n"
    task = make(text).task
    assert task.prediction_type == "multilabel"
    assert task.evaluation == ("mAP", "d_prime", "aucroc")
    assert task.clips[0].labels == ("a", "c")
    assert make(labels_of(), prediction_type="multilabel").task.prediction_type == "multilabel"
    with pytest.raises(UserError, match=r"line 2: '00.wav' has 2 labels, a, c; a multiclass"):
        make(text, prediction_type="multiclass")


def test_events_become_an_event_task(make: Make) -> None:
    rows = "".join(f"{i:02d}.wav,0.3,0.5,b\n{i:02d}.wav,0.1,0.2,a\n" for i in range(29))
    plan = make("file,onset,offset,label\n" + rows + "29.wav,,,\n")
    task = plan.task
    assert (task.embedding_type, task.prediction_type) == ("event", "multilabel")
    assert task.evaluation == ("event_onset_200ms_fms", "segment_1s_er")
    assert task.clips[0].events == (Event("a", 100.0, 200.0), Event("b", 300.0, 500.0))
    assert task.clips[29].events == ()
    assert plan.card.classes == 2


def test_one_kind_of_event_is_enough_and_one_label_of_scenes_is_not(make: Make) -> None:
    rows = "".join(f"{i:02d}.wav,0,0.2,cough\n" for i in range(30))
    assert make("file,onset,offset,label\n" + rows).card.classes == 1
    with pytest.raises(UserError, match="1 different label, but a task needs at least 2"):
        make(labels_of(kinds="a"))


@pytest.mark.parametrize("end", ["end", "stop", "t1", "end_s", "Offset (s)"])
def test_times_of_other_names_are_hinted_at(make: Make, end: str) -> None:
    rows = "".join(f"{i:02d}.wav,0,0.2,cough\n" for i in range(30))
    with pytest.raises(UserError, match=r"no column 'offset'.*(rename|Did you mean)"):
        make(f"file,onset,{end},label\n{rows}")


def test_cutting_takes_events_with_it(make: Make) -> None:
    said: list[str] = []
    rows = "".join(
        f"{i:02d}.wav,0.1,0.4,a\n{i:02d}.wav,0.3,0.5,b\n{i:02d}.wav,0,0.1,b\n" for i in range(30)
    )
    task = make("file,onset,offset,label\n" + rows, seconds=0.25, say=said.append).task
    assert task.clips[0].events == (Event("b", 0.0, 100.0), Event("a", 100.0, 250.0))
    assert said[-1] == "30 events start after 0.25 s, where clips are cut, and are left out"


def test_recordings_that_are_cut_are_counted_with_the_longest(make: Make, folder: Path) -> None:
    def cut(**wishes: Any) -> list[str]:
        said: list[str] = []
        make(labels_of(), say=said.append, **wishes)
        return [line for line in said if " cut to " in line]

    sound_files.write(folder / "07.wav", sound_files.noise(1.25, 8000), 8000)
    assert cut() == cut(seconds=1.25) == []
    assert cut(seconds=0.5) == [
        "warning: 1 of 30 recordings is cut to 0.5 s; the longest, '07.wav', lasts 1.25 s: "
        "--seconds 1.25 keeps all of it"
    ]
    assert cut(seconds=0.4)[0].startswith("warning: 30 of 30 recordings are cut to 0.4 s")
    soundfile.write(folder / "07.wav", np.zeros(100 * 1201, dtype=np.int16), 100)
    assert cut(seconds=1)[0].endswith("lasts 1201.00 s: clips of tasks last at most 1200 s")


def test_given_folds_are_kept_in_the_order_of_their_numbers(make: Make) -> None:
    rows = "".join(f"{i:02d}.wav,{'abc'[i % 3]},{i % 11 + 1}\n" for i in range(30))
    plan = make("file,label,fold\n" + rows)
    assert plan.task.split_mode == "presplit_kfold"
    assert plan.task.splits == tuple(f"fold{i:02d}" for i in range(11))
    assert all(int(clip.split[4:]) == int(clip.name[:2]) % 11 for clip in plan.task.clips)


def test_given_folds_whose_numbers_are_equal_have_an_order_too(make: Make) -> None:
    names = [f"{'0' * i}1" for i in reversed(range(6))]
    rows = "".join(f"{i:02d}.wav,{'abc'[i % 3]},{names[i % 6]}\n" for i in range(30))
    task = make("file,label,fold\n" + rows).task
    assert all(int(clip.split[4:]) == int(clip.name[:2]) % 6 for clip in task.clips)


def test_given_splits_are_kept(make: Make) -> None:
    rows = "".join(
        f"{i:02d}.wav,{'abc'[i % 3]},{('train', 'test', 'valid')[i // 10]}\n" for i in range(30)
    )
    plan = make("file,label,split\n" + rows)
    assert splits_of(plan) == {
        "train": [f"{i:02d}.wav" for i in range(10)],
        "valid": [f"{i:02d}.wav" for i in range(20, 30)],
        "test": [f"{i:02d}.wav" for i in range(10, 20)],
    }


def test_a_quarter_of_train_validates_where_no_split_does(make: Make) -> None:
    rows = "".join(
        f"{i:02d}.wav,{'ab'[i % 2]},{'train' if i < 24 else 'test'},g{i // 2}\n" for i in range(30)
    )
    plan = make("file,label,split,group\n" + rows)
    splits = splits_of(plan)
    assert splits["test"] == [f"{i:02d}.wav" for i in range(24, 30)]
    assert len(splits["valid"]) == 6
    groups = [{int(name[:2]) // 2 for name in names} for names in splits.values()]
    assert not groups[0] & groups[1]
    assert "a quarter of 'train'" in str(plan.task.extra)


def test_whole_numbers_are_ordered_by_value(make: Make) -> None:
    rows = "".join(f"{i:02d}.wav,{(9, 10, 101)[i % 3]}\n" for i in range(30))
    assert make("file,label\n" + rows).task.labels == ("9", "10", "101")


def test_the_sample_rate_loses_nothing_that_hear_has_room_for(make: Make, folder: Path) -> None:
    assert make(labels_of()).rates == (16000,)
    sound_files.write(folder / "00.wav", sound_files.noise(0.5, 44100), 44100)
    assert make(labels_of()).rates == (44100,)
    sound_files.write(folder / "00.wav", sound_files.noise(0.5, 96000), 96000)
    assert make(labels_of()).rates == (48000,)
    assert make(labels_of(), rates=(8000, 16000)).rates == (8000, 16000)


def test_names_of_clips_are_plain_and_unique() -> None:
    long = "x/" + "ä" * 100 + ".wav"
    names = clip_names(["a.wav", "x/b.flac", "x_b.wav", "c.mp3", "C/.hid.den.ogg", ".wav", long])
    assert names["a.wav"] == "a.wav"
    assert names["c.mp3"] == "c.wav"
    assert names["C/.hid.den.ogg"] == "C_.hid.den.wav"
    assert names["x/b.flac"].startswith("x_b-")
    assert names["x_b.wav"].startswith("x_b-")
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert all(name.endswith(".wav") and name[0] != "." for name in names.values())
    assert all(len(os.fsencode(name)) < 150 for name in names.values())


def test_the_default_metrics_are_defined_for_their_kind() -> None:
    for (embedding_type, prediction_type), metrics in DEFAULT_METRICS.items():
        assert set(metrics) <= metrics_of(embedding_type, prediction_type).keys()


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "fewer clips than splits": (
        labels_of() .replace("00.wav,a", "00.wav,rare"),
        {},
        "labels.csv cannot be used:\n  line 2: the label 'rare' is in 1 file (line 2), too few "
        "for train, valid and test, each of which must have it: add files or remove the label.",
    ),
    "fewer clips than folds": (
        labels_of(12),
        {"folds": 5},
        "line 2: the label 'a' is in 4 files (lines 2, 5, 8, 11), too few for 5 folds, each of "
        "which must have it: add files, remove the label or give fewer --folds.",
    ),
    "fewer groups than folds": (
        "file,label,group\n"
        + "".join(f"{i:02d}.wav,{'ab'[i % 2]},{i // 10}\n" for i in range(30)),
        {"folds": 4},
        "the label 'a' is in 3 groups (lines 2, 4, 6, 8, 10 and 10 more), too few for 4 folds",
    ),
    "folds twice": (
        "file,label,fold\n00.wav,a,1\n",
        {"folds": 4},
        "gives each file's fold: omit --folds, or remove the column.",
    ),
    "two folds": (
        "file,label,fold\n00.wav,a,1\n01.wav,b,2\n",
        {},
        "gives 2 folds, but at least 3 are needed",
    ),
    "no test": (
        "file,label,split\n00.wav,a,train\n01.wav,b,valid\n",
        {},
        "no file has the split 'test'",
    ),
    "no train": ("file,label,split\n00.wav,a,test\n", {}, "no file has the split 'train'"),
    "nothing to validate": (
        "file,label,split\n00.wav,a,train\n01.wav,b,test\n",
        {},
        "has 1 file, too few for train, valid.",
    ),
    "metric of events": (labels_of(), {"metrics": ("segment_1s_er",)}, "--metric segment_1s_er: "
        "multiclass scene tasks have aucroc, d_prime, mAP, pitch_acc, chroma_acc, top1_acc."),
    "unknown metric": (labels_of(), {"metrics": ("map",)}, "Did you mean 'mAP'?"),
    "metric of multiclass": (
        labels_of() + "00.wav,c\n",
        {"metrics": ("pitch_acc",)},
        "--metric pitch_acc: multilabel scene tasks have",
    ),
    "score of multiclass": (
        labels_of() + "00.wav,c\n",
        {"metrics": ("top1_acc", "mAP")},
        "counts a clip's first label alone",
    ),
    "metric twice": (labels_of(), {"metrics": ("mAP", "mAP")}, "mAP mAP has a value twice"),
    "version": (labels_of(), {"version": "v-1"}, "--version 'v-1' may contain only letters"),
    "seconds": (labels_of(), {"seconds": float("nan")}, "--seconds must be above 0"),
    "long": (labels_of(), {"seconds": 1201.0}, "--seconds must be above 0 and at most 1200"),
    "licence": (labels_of(), {"licence": "none"}, "licence is 'none': it must be an SPDX expr"),
    "domain": (labels_of(), {"domain": "Music"}, "domain is 'Music': it must be 'music'"),
    "multiclass events": (
        "file,onset,offset,label\n00.wav,0,0.1,a\n",
        {"prediction_type": "multiclass"},
        "lists events, but event tasks are always multilabel",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_made_is_told_in_words(make: Make, case: str) -> None:
    text, wishes, reason = REFUSED[case]
    with pytest.raises(UserError) as caught:
        make(text, **wishes)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["my task", "my-task", "", "../x", "."])
def test_a_name_that_no_directory_can_have_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"--name .* may contain only letters, digits"):
        plan_task(folder / "labels.csv", folder, Wishes(name=name), print)


def test_the_name_of_a_built_in_task_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="a built-in task has this name"):
        plan_task(folder / "labels.csv", folder, Wishes(name="demo_pipe_pitch"), print)


def test_recordings_that_cannot_be_used_are_all_named_with_their_lines(
    make: Make, folder: Path
) -> None:
    (folder / "03.wav").rename(folder / "03.WAV")
    (folder / "04.wav").write_text("no sound")
    (folder / "05.wav").write_bytes((folder / "06.wav").read_bytes()[:2000])
    (folder / "06.wav").write_bytes(b"")
    soundfile.write(folder / "07.wav", np.zeros(0), 8000)
    (folder / "08.wav").unlink()
    (folder / "08.wav").mkdir()
    with pytest.raises(UserError) as caught:
        make(labels_of() + "deep/30.wav,a\n")
    for text in (
        f"line 5: there is no '03.wav' in {folder}. Did you mean '03.WAV'?",
        "line 6: '04.wav' is a text file, not audio. It begins with 'no sound'.",
        "line 7: '05.wav' is truncated: 1956 of 8000 bytes of sound are present.",
        "line 8: '06.wav' is an empty file.",
        "line 9: '07.wav' is empty: it contains no sample.",
        "line 10: '08.wav' cannot be read (Is a directory).",
        f"line 32: there is no 'deep/30.wav' in {folder}. There is no folder {folder / 'deep'}.",
    ):
        assert text in str(caught.value)


def test_what_is_wrong_with_rows_and_with_recordings_is_told_together(
    make: Make, folder: Path
) -> None:
    (folder / "04.wav").unlink()
    (folder / "05.wav").unlink()
    with pytest.raises(UserError) as caught:
        make(labels_of().replace("03.wav,a", "03.wav,").replace("05.wav,c", "05.wav,"))
    message = str(caught.value)
    assert "lines 5, 7: the label is empty" in message
    assert f"line 6: there is no '04.wav' in {folder}." in message
    assert f"line 7: there is no '05.wav' in {folder}." in message


def test_bad_recordings_are_left_out_when_asked(make: Make, folder: Path) -> None:
    (folder / "04.wav").unlink()
    (folder / "05.wav").write_bytes(b"")
    said: list[str] = []
    plan = make(labels_of(), skip_bad=True, say=said.append)
    assert f"left out: there is no '04.wav' in {folder}." in " ".join(said)
    assert "left out: '05.wav' is an empty file." in said
    assert len(plan.task.clips) == plan.card.clips == 28
    assert plan.task.extra["left_out"] == ["04.wav", "05.wav"]


def test_what_is_told_of_a_table_before_any_sound_is_written(make: Make, folder: Path) -> None:
    def said_of(text: str, **wishes: Any) -> list[str]:
        said: list[str] = []
        make(text, say=said.append, **wishes)
        return [line.removeprefix(f"{folder.parent / 'labels.csv'}") for line in said]

    ungrouped = " has no column group: clips of one speaker or recording may be in several splits"
    assert said_of(labels_of()) == [ungrouped]
    header, *rows = labels_of().splitlines()
    text = "\n".join([f"{header},speaker,note", *(f"{row},x,y" for row in rows)])
    assert said_of(text) == [
        ": not used: the columns speaker, note; rename speaker to group to keep each in one split",
        ungrouped,
    ]
    text = "\n".join([f"{header},group,source", *(f"{row},{i},y" for i, row in enumerate(rows))])
    assert said_of(text) == [": not used: the column source"]
    multilabel = "multilabel, as 1 of 30 files has several labels: '00.wav' (lines 2, 32: a, c)"
    assert said_of(labels_of() + "00.wav,c\n") == [ungrouped, multilabel]
    text = "\n".join([f"{header},start (s),End", *(f"{row},0,1" for row in rows)])
    assert said_of(text)[0] == (
        ": not used: the columns start (s), end; for a task of events, rename start (s) to onset "
        "and end to offset (seconds from the start of the file)"
    )
    assert said_of(labels_of() + "00.wav,c\n", prediction_type="multilabel") == [ungrouped]


def test_rates_and_lengths_are_in_the_description(make: Make, folder: Path) -> None:
    sound_files.write(folder / "00.wav", sound_files.noise(1.25, 22050), 22050)
    assert (
        "recordings of 8000, 22050 Hz, written at 22050 Hz; the shortest lasts 0.5 s, the longest "
        "1.25 s"
    ) in make(labels_of()).description


def test_an_event_past_the_end_is_named_with_its_line(make: Make) -> None:
    rows = "".join(f"{i:02d}.wav,0.1,0.4,a\n" for i in range(30))
    text = f"file,onset,offset,label\n{rows}00.wav,0.45,0.5005,a\n"
    assert len(make(text).task.clips) == 30
    with pytest.raises(UserError) as caught:
        make(text + "00.wav,0.4,0.7,a\n01.wav,100,200,a\n")
    message = str(caught.value)
    assert "line 33: the event 'a' ends at 0.7 s, but '00.wav' at 0.5 s" in message
    assert "line 34: the event 'a' ends at 200 s, but '01.wav' at 0.5 s" in message


def test_a_recording_longer_than_hear_allows_needs_a_length(make: Make, folder: Path) -> None:
    soundfile.write(folder / "00.wav", np.zeros(100 * 1201, dtype=np.int16), 100)
    with pytest.raises(UserError, match=r"line 2: '00.wav' is 1201.0 s long.* give --seconds"):
        make(labels_of())
    assert make(labels_of(), seconds=1.0).card.hours == pytest.approx(30 / 3600, rel=1e-3)


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(labels_of())
    with pytest.raises(UserError, match="none is not a folder"):
        plan_task(table, tmp_path / "none", Wishes(name="mine"), print)


def errors_in(directory: Path) -> list[str]:
    return [finding.reason for finding in check_task(directory) if finding.severity == "error"]


# The command -----------------------------------------------------------------------------------


def tones(folder: Path) -> Path:
    """Recordings of three pitches in folders by pitch and formats by number, and their table."""
    rows = ["file,label"]
    for label, frequency in (("low", 300), ("middle", 900), ("high", 2700)):
        for i in range(10):
            rate = (16000, 22050, 48000)[i % 3]
            time = np.arange(int(rate * (0.3 + 0.05 * i))) / rate
            sound = 0.3 * np.sin(2 * np.pi * (frequency + 10 * i) * time)
            stereo = np.stack([sound, 0.5 * sound], axis=1)
            name = f"{label}/{i}.{('wav', 'flac', 'ogg')[i % 3]}"
            sound_files.write(folder / name, stereo if i % 2 else sound, rate)
            rows.append(f"{name},{label}")
    table = folder / "labels.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def made(tmp_path: Path, *options: str) -> tuple[int, str, str]:
    table = tones(tmp_path / "sounds")
    return hear_byola(*making(table, tmp_path / "tasks", *options))


def test_from_a_folder_of_recordings_to_a_score(tmp_path: Path) -> None:
    code, out, err = made(tmp_path, "--seconds", "0.5", "--sample-rate", "16000")
    assert code == 0, err
    directory = tmp_path / "tasks" / "mine-v1-full"
    assert out == f"{directory}\n"
    assert "train: 18 clips, 6 of each label" in err
    assert "3 labels, 15 s; scored by" in err
    assert errors_in(directory) == []
    task = read_task(directory)
    lengths = {soundfile.info(path).frames for path in directory.rglob("*.wav")}
    assert lengths == {8000}
    assert len(list(directory.rglob("*.wav"))) == 30
    assert {clip.name for clips in task.clips.values() for clip in clips} >= {"low_0.wav"}
    code, out, err = hear_byola("tasks", "check", directory)
    assert code == 0, out
    assert "(card: mine)" in out
    assert "error:" not in out
    code, out, err = hear_byola(
        "run", "-m", "harness.baselines.logmel", "-t", "mine", "--protocol", "linear",
        "--tasks-dir", directory.parent, "--out", tmp_path / "runs", "--jobs", "1",
    )  # fmt: skip
    assert code == 0, err
    table = read_csv(tmp_path / "runs" / "results.csv")
    score = table[table.is_primary & (table.split == "all")]
    assert score.metric.item() == "top1_acc"
    assert score.value.item() == 1.0


def test_a_made_task_has_a_card(tmp_path: Path) -> None:
    options = ("--title", "Three tones", "--licence", "CC0-1.0", "--domain", "music")
    code, _, err = made(tmp_path, "--folds", "3", *options)
    assert code == 0, err
    card = card_in(tmp_path / "tasks" / "mine-v1-full")
    assert card is not None
    assert (card.title, card.licence, card.domain) == ("Three tones", "CC0-1.0", "music")
    assert (card.clips, card.classes, card.folds, card.n_test) == (30, 3, 3, 30)
    assert card.split_clips == {"fold00": 10, "fold01": 10, "fold02": 10}
    assert card.clip_seconds is None
    seconds = sum(soundfile.info(path).duration for path in tmp_path.glob("tasks/*/48000/*/*.wav"))
    assert card.hours == pytest.approx(seconds / 3600, rel=1e-3)
    _, out, _ = hear_byola("tasks", "list", "--tasks-dir", tmp_path / "tasks")
    assert "Three tones" in out
    assert "without a card" not in out
    for name in ("mine", "mine-v1-full"):
        _, out, _ = hear_byola("tasks", "show", name, "--tasks-dir", tmp_path / "tasks")
        assert "title: Three tones" in out


def test_a_second_call_does_nothing_and_another_task_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "--seconds", "0.5")
    directory = tmp_path / "tasks" / "mine-v1-full"
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*.wav")}
    table = tmp_path / "sounds" / "labels.csv"
    arguments = ("tasks", "make", table, table.parent, "--name", "mine")
    where = ("--tasks-dir", tmp_path / "tasks", "--jobs", "1")
    code, out, err = hear_byola(*arguments, "--seconds", "0.5", *where)
    assert (code, out) == (0, f"{directory}\n")
    assert "already exists" in err
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*.wav")} == before
    code, _, err = hear_byola(*arguments, "--seconds", "0.4", *where)
    assert code == 2
    assert "its clips are 0.5 s long, not 0.4 s long. Delete it, or" in err
    assert "give the new task a different --name or --version" in err
    code, _, err = hear_byola(*arguments, "--seconds", "0.4", "--version", "v2", *where)
    assert code == 0, err


def test_what_was_changed_on_the_card_by_hand_stays(tmp_path: Path) -> None:
    table = tones(tmp_path / "sounds")
    where = ("--tasks-dir", tmp_path / "tasks", "--jobs", "1")

    def make(*options: str) -> str:
        code, _, err = hear_byola(
            "tasks", "make", table, table.parent, "--name", "mine", *where, *options
        )
        assert code == 0, err
        return err

    make()
    path = tmp_path / "tasks" / "mine-v1-full" / "card.yaml"
    path.write_text(path.read_text().replace("licence: null", "licence: CC-BY-4.0"))
    mended = path.read_bytes()
    assert "left as it is" not in make("--licence", "CC-BY-4.0")
    err = make("--licence", "CC0-1.0", "--domain", "music", "--title", "mine")
    assert f"{path} is kept: it has the licence 'CC-BY-4.0', not --licence 'CC0-" in err
    assert "it has the domain 'other', not --domain 'music'. Change the card" in err
    assert "--title" not in err
    assert path.read_bytes() == mended
    path.write_text("no card")
    assert f"The card {path} must hold fields" in make()
    path.unlink()
    make("--licence", "CC0-1.0")
    assert "licence: CC0-1.0" in path.read_text()


def test_only_another_content_makes_other_recordings(tmp_path: Path) -> None:
    made(tmp_path)
    sound = tmp_path / "sounds" / "low" / "0.wav"
    os.utime(sound, (1, 1))
    arguments = (
        "tasks", "make", tmp_path / "sounds" / "labels.csv", tmp_path / "sounds", "--name", "mine",
        "--jobs", "1", "--tasks-dir", tmp_path / "tasks",
    )  # fmt: skip
    code, _, err = hear_byola(*arguments)
    assert code == 0, err
    assert "already exists" in err
    sound.write_bytes((tmp_path / "sounds" / "low" / "3.wav").read_bytes())
    code, _, err = hear_byola(*arguments)
    assert code == 2
    assert "made from something else: 1 clip from other recordings ('low_0.wav'). Delete" in err


def test_two_machines_make_the_same_files(tmp_path: Path) -> None:
    made(tmp_path, "--seconds", "0.5")
    shutil.copytree(tmp_path / "sounds", tmp_path / "elsewhere")
    table = tmp_path / "elsewhere" / "labels.csv"
    hear_byola(
        "tasks", "make", table, table.parent, "--name", "mine", "--seconds", "0.5", "--jobs", "2",
        "--tasks-dir", tmp_path / "others",
    )  # fmt: skip
    first, second = tmp_path / "tasks" / "mine-v1-full", tmp_path / "others" / "mine-v1-full"
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) > 30
    for file in files:
        if file.name != ".plan":
            assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_a_recording_that_cannot_be_decoded_is_named_and_can_be_mended(tmp_path: Path) -> None:
    table = tones(tmp_path / "sounds")
    flac = tmp_path / "sounds" / "low" / "1.flac"
    whole = damage(flac)
    arguments = making(table, tmp_path / "tasks")
    code, out, err = hear_byola(*arguments)
    assert code == 2
    assert "low_1.wav: " in err
    assert "sounds/low/1.flac" in err
    assert not (tmp_path / "tasks" / "mine-v1-full").exists()
    flac.write_bytes(whole)
    code, out, err = hear_byola(*arguments)
    assert code == 0, err
    assert errors_in(Path(out.strip())) == []


def damage(flac: Path) -> bytes:
    """Overwrite some of a file's sound, which its ends do not show; return what it was."""
    whole = flac.read_bytes()
    middle = len(whole) // 3
    flac.write_bytes(whole[:middle] + bytes(20) + whole[middle + 20 :])
    return whole


def test_a_row_that_is_left_out_leaves_the_other_clips_as_they_are(tmp_path: Path) -> None:
    table = tones(tmp_path / "sounds")
    damage(tmp_path / "sounds" / "low" / "1.flac")
    arguments = making(table, tmp_path / "tasks")
    code, _, err = hear_byola(*arguments)
    assert code == 2
    assert "remove them from the table or give --skip-bad, and run again" in err
    table.write_text(table.read_text().replace("low/1.flac,low\n", ""))
    code, out, err = hear_byola(*arguments)
    assert code == 0, err
    assert "29 files already existed, 0 are new" in err
    assert errors_in(Path(out.strip())) == []


def test_sounds_that_cannot_be_decoded_are_left_out_when_asked(tmp_path: Path) -> None:
    table = tones(tmp_path / "sounds")
    whole = damage(tmp_path / "sounds" / "low" / "1.flac")
    (tmp_path / "sounds" / "low" / "2.ogg").unlink()
    arguments = making(table, tmp_path / "tasks", "--skip-bad")
    code, out, err = hear_byola(*arguments)
    assert code == 0, err
    directory = Path(out.strip())
    assert err.count("low_1.wav: ") == 1
    assert "left out: there is no 'low/2.ogg'" in err
    task = read_task(directory)
    assert task.metadata["left_out"] == ["low/1.flac", "low/2.ogg"]
    assert sum(len(clips) for clips in task.clips.values()) == 28
    card = (directory / "card.yaml").read_bytes()
    assert "clips: 28" in card.decode()
    assert errors_in(directory) == []
    # Done is done, and the card is that of what was done.
    code, again, err = hear_byola(*arguments)
    assert (code, again) == (0, out), err
    assert (directory / "card.yaml").read_bytes() == card
    (tmp_path / "sounds" / "low" / "1.flac").write_bytes(whole)
    code, _, err = hear_byola(*arguments)
    assert code == 2
    assert "1 clip from other recordings ('low_1.wav')" in err


def test_groups_go_from_the_table_into_the_predictions(tmp_path: Path) -> None:
    table = tones(tmp_path / "sounds")
    header, *rows = table.read_text().splitlines()
    grouped = [f"{header},group", *(f"{row},tape {i % 10}" for i, row in enumerate(rows))]
    table.write_text("\n".join(grouped) + "\n")
    tasks_dir, runs = tmp_path / "tasks", tmp_path / "runs"
    code, out, err = hear_byola(*making(table, tasks_dir))
    assert code == 0, err
    assert "train: 18 clips of 6 groups, 6 of each label" in err
    assert "warning: groups.csv: the test has 2 groups. Below 6, no confidence interval" in err
    directory = Path(out.strip())
    groups = {
        clip.name: clip.group for split in read_task(directory).clips.values() for clip in split
    }
    assert len(groups) == 30
    assert all(group == f"tape {name.split('_')[1][0]}" for name, group in groups.items())
    model = ("-m", "harness.baselines.logmel,name=logmel")
    tested = tuple(groups[clip.name] for clip in read_task(directory).clips["test"])
    for arguments in (
        ("run", *model, "-t", "mine", "--tasks-dir", tasks_dir),
        ("embed", *model, "-t", "mine", "--tasks-dir", tasks_dir, "--layout", "heareval"),
        ("probe", runs / "heareval" / "logmel" / directory.name),
    ):
        knn = () if arguments[0] == "embed" else ("--protocol", "knn")
        code, out, err = hear_byola(*arguments, *knn, "--out", runs, "--jobs", "1")
        assert code == 0, err
    found = [
        read_predictions(path.parent, "test") for path in runs.glob("results/*/*/*/test.pred*z")
    ]
    assert [fold.groups for fold in found] == [tested] * 2


def test_given_splits_that_divide_groups_are_warned_of(tmp_path: Path) -> None:
    table = tones(tmp_path / "sounds")
    header, *rows = table.read_text().splitlines()
    splits = ("train", "train", "train", "valid", "test")
    lines = [f"{row},{splits[i % 5]},tape {i % 10 // 2}" for i, row in enumerate(rows)]
    table.write_text("\n".join([f"{header},split,group", *lines]) + "\n")
    code, _, err = hear_byola(*making(table, tmp_path / "tasks"))
    assert code == 0, err
    assert "warning: groups.csv: 2 of 5 groups are in several splits" in err
    assert "Probes are tested on groups that are also in training" in err


def test_what_the_check_would_find_is_said_before_any_audio_is_written(tmp_path: Path) -> None:
    table = tones(tmp_path / "sounds")
    header, *rows = table.read_text().splitlines()
    split = {"low": "train", "middle": "valid", "high": "test"}
    table.write_text(
        "\n".join([f"{header},split", *(f"{row},{split[row.split(',')[1]]}" for row in rows)])
    )
    _, _, err = hear_byola(*making(table, tmp_path / "tasks"))
    told = [line for line in err.splitlines() if line.startswith("warning: train.json")]
    assert told == [
        "warning: train.json: 2 of 3 labels ('high', 'middle') have no clip in this split."
    ]


def test_an_event_task_of_real_layout_is_scored(tmp_path: Path) -> None:
    rows = ["file;onset;offset;label"]
    rng = np.random.default_rng(0)
    for i in range(12):
        sound = 0.01 * rng.standard_normal(32000)
        for k, (label, frequency) in enumerate((("low", 300), ("high", 2700))):
            start = 0.2 + k + 0.1 * (i % 4)
            first = round(start * 16000)
            sound[first : first + 6400] += 0.3 * np.sin(
                2 * np.pi * frequency * np.arange(6400) / 16000
            )
            rows.append(f"{i}.wav;{start:.2f};{start + 0.4:.2f};{label}")
        sound_files.write(tmp_path / "sounds" / f"{i}.wav", sound, 16000)
    table = tmp_path / "events.csv"
    table.write_text("\n".join(rows) + "\n", "utf-8-sig")
    code, out, err = hear_byola(
        "tasks", "make", table, tmp_path / "sounds", "--name", "beeps", "--seconds", "2",
        "--tasks-dir", tmp_path / "tasks", "--jobs", "1",
    )  # fmt: skip
    assert code == 0, err
    task: Task = read_task(Path(out.strip()))
    assert errors_in(task.directory) == []
    assert json.loads((task.directory / "test.json").read_text())
    code, out, err = hear_byola(
        "run", "-m", "harness.baselines.logmel", "-t", "beeps", "--protocol", "linear",
        "--tasks-dir", tmp_path / "tasks", "--out", tmp_path / "runs", "--jobs", "1",
    )  # fmt: skip
    assert code == 0, err
    table = read_csv(tmp_path / "runs" / "results.csv")
    score = table[table.is_primary & (table.split == "all")]
    assert score.metric.item() == "event_onset_200ms_fms"
    assert score.value.item() > 0.5  # silence scores 0


def test_an_unfinished_task_is_not_listed(tmp_path: Path) -> None:
    made(tmp_path)
    directory = tmp_path / "tasks" / "mine-v1-full"
    directory.rename(directory.with_name(".mine-v1-full.unfinished"))
    _, out, _ = hear_byola("tasks", "list", "--tasks-dir", tmp_path / "tasks")
    assert "mine" not in out
    code, _, _ = hear_byola("tasks", "show", "mine", "--tasks-dir", tmp_path / "tasks")
    assert code == 2


@pytest.mark.slow
def test_the_readme_takes_a_folder_of_recordings_to_a_score(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    (script,) = re.findall(r"```\n(cd my_recordings\n.*?)```", readme, re.DOTALL)
    for label, frequency in (("cat", 300), ("dog", 2700)):
        for i in range(10):
            time = np.arange(16000) / 16000
            sound = 0.3 * np.sin(2 * np.pi * (frequency + 10 * i) * time)
            sound_files.write(tmp_path / "my_recordings" / label / f"{i}.wav", sound)
    scripts = sysconfig.get_path("scripts")
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| logmel +\| (?:\*\*)?1\.000", done.stdout)


def test_mistakes_end_with_exit_code_2_and_without_a_traceback(tmp_path: Path) -> None:
    for arguments in (
        (tmp_path / "none.csv", tmp_path, "--name", "mine"),
        (tmp_path / "none.csv", tmp_path),
        (tmp_path / "none.csv", tmp_path, "--name", "mine", "--folds", "2"),
        (tmp_path / "none.csv", tmp_path, "--name", "mine", "--seconds", "0"),
        (tmp_path / "none.csv", tmp_path, "--name", "mine", "--sample-rate", "3"),
        (tmp_path / "none.csv", tmp_path, "--name", "mine", "--prediction-type", "both"),
    ):
        code, out, err = hear_byola("tasks", "make", *arguments)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
