from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import task_directories

from harness.core.memory import FileMemory
from tasks.check import Finding, check_task, format_findings, sound
from tasks.format.task import multiclass_targets, read_task

Edit = Callable[[Path], Any]


def make(tmp_path: Path, kind: str = "scene", **more: Any) -> Path:
    """A small task without a finding."""
    options: dict[str, Any] = {"n": 4, "seconds": 3.0 if kind in ("events", "notes") else 0.05}
    return task_directories.make_task(tmp_path, kind, **{**options, **more})


def said(findings: list[Finding], severity: str) -> list[str]:
    return [f"{f.file}: {f.reason}" for f in findings if f.severity == severity]


@pytest.mark.parametrize("kind", task_directories.KINDS)
def test_a_task_in_order_has_no_finding(tmp_path: Path, kind: str) -> None:
    classes = {"pitch": 4}.get(kind)
    assert check_task(make(tmp_path, kind, rates=(16000, 44100), classes=classes)) == []


def test_labels_that_read_the_same_are_warned_of(tmp_path: Path) -> None:
    task = make(tmp_path)
    (task / "labelvocabulary.csv").write_text("idx,label\n0,Café\n1,Cafe\u0301\n2,CAFÉ\n3,x\n")
    for split, label in (("train", "Café"), ("valid", "café"), ("test", "x\u200b")):
        names = json.loads((task / f"{split}.json").read_text())
        (task / f"{split}.json").write_text(json.dumps({name: [label] for name in names}))
    found = check_task(task, audio=False)
    assert (
        r"labelvocabulary.csv: the labels 'Café' (idx 0) and 'Cafe\u0301' (idx 1) and 'CAFÉ' (idx "
        "2) read the same and differ in the Unicode form of letters alone: they count as 3 "
        "classes. If they are one class, use one spelling."
    ) in said(found, "warning")
    valid, test = (each for each in said(found, "error") if "labelvocabulary" in each)
    assert "'Café' is in it; they differ in capitals alone." in valid
    assert r"the label 'x\u200b' of" in test
    assert "'x' is in it; they differ in invisible characters alone." in test


def set_events(task: Path, events: list[dict[str, object]]) -> None:
    for split in ("train", "valid", "test"):
        names = json.loads((task / f"{split}.json").read_text())
        (task / f"{split}.json").write_text(json.dumps(dict.fromkeys(names, events)))


@pytest.mark.parametrize(
    ("spans", "reachable"),
    [
        ([(100, 800), (600, 1500)], "0.667"),
        ([(100, 800), (800, 1500)], "0.667"),
        ([(100, 2500), (300, 600), (900, 1300)], "0.500"),
        ([(100, 800), (1200, 1500)], None),
        # Nearer than half of the median filter, too short: nothing overlaps, and yet they are lost.
        ([(100, 800), (850, 1500)], "0.667"),
        ([(100, 800), (1200, 1250)], "0.667"),
    ],
)
def test_what_keeps_perfect_frames_from_a_perfect_score_is_told(
    tmp_path: Path, spans: list[tuple[int, int]], reachable: str | None
) -> None:
    task = make(tmp_path, "events")
    label = read_task(task).labels[0]
    other = note(read_task(task).labels[1], 100, 2000)
    set_events(task, [*(each for span in spans for each in note(label, *span))])
    found = said(check_task(task, audio=False, closely=True), "warning")
    reached = [each for each in found if "best reachable" in each]
    assert [f"event_onset_200ms_fms is {reachable}, not 1" in each for each in reached] == (
        [True] if reachable else []
    )
    overlap = [each for each in found if "overlap or touch (" in each]
    assert len(overlap) == (3 if spans[1][0] <= spans[0][1] else 0)
    if overlap:
        times = " and ".join(f"{start} to {end}" for start, end in spans[:2])
        assert f"('{label}' in 'test-0000.wav', {times} ms" in overlap[-1]
    set_events(task, other + note(label, 150, 900))
    assert not [f for f in check_task(task, audio=False, closely=True) if "overlap" in f.reason]


def set_json(name: str, content: Any) -> Edit:
    return lambda task: (task / name).write_text(json.dumps(content))


def set_text(name: str, content: str) -> Edit:
    return lambda task: (task / name).write_bytes(content.encode("latin-1"))


def set_clip(split: str, clip: str, value: Any) -> Edit:
    return lambda task: task_directories.edit_json(
        task / f"{split}.json", lambda table: {**table, clip: value}
    )


def metadata(**changes: Any) -> Edit:
    return lambda task: task_directories.edit_metadata(task, **changes)


def audio(name: str, samples: Any, rate: int = 16000, **more: Any) -> Edit:
    return lambda task: soundfile.write(task / "16000" / name, np.array(samples), rate, **more)


def cut(name: str) -> Edit:
    def edit(task: Path) -> None:
        path = task / "16000" / name
        path.write_bytes(path.read_bytes()[:900])

    return edit


def note(label: object, start: object, end: object) -> list[dict[str, object]]:
    return [{"label": label, "start": start, "end": end}]


SCENE_ERRORS: dict[str, tuple[Edit, str]] = {
    "metadata gone": (lambda t: (t / "task_metadata.json").unlink(), "not a task directory"),
    "metadata broken": (
        set_text("task_metadata.json", '{"task_name": "a",\n  oops}'),
        "task_metadata.json: not JSON: .* at line 2, column 3",
    ),
    "metadata list": (set_json("task_metadata.json", []), "must contain a JSON object, not a list"),
    "metadata empty": (set_json("task_metadata.json", {}), "splits is missing"),
    "endless number": (set_text("train.json", '{"a": ' + "9" * 5000 + "}"), "train.json: not a"),
    "misspelt key": (
        metadata(split_mode=..., splitmode="trainvaltest"),
        "split_mode is missing: .*\\. Did you mean 'splitmode'",
    ),
    "path in a name": (
        metadata(task_name="../../home"),
        "task_name is .*it must be a plain name",
    ),
    "embedding type": (metadata(embedding_type="scenes"), "Did you mean 'scene'"),
    "prediction type": (
        metadata(prediction_type=None),
        "prediction_type is None: it must be one of",
    ),
    "splits missing": (metadata(splits=["train", "test"]), "must be train, valid and test"),
    "splits empty": (metadata(splits=[]), "splits is .*: it must be a list of names"),
    "split twice": (
        metadata(splits=["train", "train"]),
        "splits is .*a list of names, each once",
    ),
    "split path": (metadata(splits=["train", "../valid", "test"]), "plain name"),
    "split length": (metadata(splits=["train", "v" * 256, "test"]), "at most 255 bytes"),
    "split bytes": (metadata(splits=["train", "ä" * 128, "test"]), "at most 255 bytes"),
    "duration": (
        metadata(sample_duration=0),
        "sample_duration is 0: it must be a number of",
    ),
    "no metric": (metadata(evaluation=[]), "evaluation is .*: it must be a list of names"),
    "unknown metric": (metadata(evaluation=["top1acc"]), "Did you mean 'top1_acc'"),
    "far metric": (metadata(evaluation=["xyzzy"]), "'xyzzy' is unknown. There are .*mAP"),
    "event metric": (metadata(evaluation=["segment_1s_er"]), "is not for scene tasks"),
    "scoring": (
        metadata(use_scoring_for_early_stopping="no"),
        "is 'no': it must be true or false",
    ),
    "params": (
        metadata(evaluation_params=[1]),
        "evaluation_params is .*it must be fields",
    ),
    "param grid": (
        metadata(evaluation_params={"task_specific_param_grid": {"max_epochs": 50}}),
        "evaluation_params.task_specific_param_grid.max_epochs is 50: it must be a list",
    ),
    "vocabulary gone": (lambda t: (t / "labelvocabulary.csv").unlink(), "labelvocabulary.csv: the"),
    "vocabulary header": (set_text("labelvocabulary.csv", "index,label\n0,a\n"), "lacks idx"),
    "vocabulary empty": (set_text("labelvocabulary.csv", "idx,label\n"), "lists no label"),
    "vocabulary gap": (
        set_text("labelvocabulary.csv", "idx,label\n0,class00\n2,class01\n"),
        "idx must count 0 to 1; 1 is missing",
    ),
    "vocabulary idx": (set_text("labelvocabulary.csv", "idx,label\nzero,a\n"), "line 2: needs a"),
    "vocabulary idx twice": (set_text("labelvocabulary.csv", "idx,label\n0,a\n0,b\n"), "idx 0"),
    "vocabulary twice": (
        set_text("labelvocabulary.csv", "idx,label\n0,a\n1,a\n"),
        "line 3: the label 'a' is on line 2 too",
    ),
    "not utf-8": (set_text("labelvocabulary.csv", "idx,label\n0,\xe9\n"), "not UTF-8"),
    "split gone": (lambda t: (t / "valid.json").unlink(), "valid.json: the file is missing"),
    "split broken": (set_text("train.json", '{"a.wav": ["x"'), "train.json: not JSON"),
    "split list": (set_json("train.json", ["a.wav"]), "train.json: must contain a JSON object"),
    "split empty": (set_json("valid.json", {}), "valid.json: lists no clip"),
    "clip twice": (
        set_text("test.json", '{"a.wav": ["class00"], "a.wav": ["class01"]}'),
        "test.json: the key 'a.wav' occurs twice",
    ),
    "unknown label": (set_clip("test", "test-0001.wav", ["clas02"]), "Did you mean 'class02'"),
    "label null": (set_clip("test", "test-0001.wav", [None]), "must be text or a number, not null"),
    "label bare": (set_clip("test", "test-0001.wav", "class00"), "labels must be a list, not text"),
    "no label": (set_clip("test", "test-0001.wav", []), "clip 'test-0001.wav': 0 labels"),
    "two labels": (set_clip("test", "test-0001.wav", ["class00", "class01"]), "2 labels"),
    "clip outside": (set_clip("test", "../../x.wav", ["class00"]), "stays inside"),
    "clip absolute": (set_clip("test", "/etc/passwd", ["class00"]), "stays inside"),
    "clip missing": (
        set_clip("test", "gone.wav", ["class00"]),
        "16000/test/gone.wav: is missing",
    ),
    "no audio": (lambda t: shutil.rmtree(t / "16000"), "there is no audio"),
    "no split folder": (lambda t: shutil.rmtree(t / "16000/valid"), "16000/valid: the folder"),
    "empty file": (
        lambda t: (t / "16000/train/train-0002.wav").write_bytes(b""),
        "16000/train/train-0002.wav: is an empty file",
    ),
    "no sample": (audio("train/train-0002.wav", []), "contains no sample"),
    "noise file": (
        lambda t: (t / "16000/train/train-0002.wav").write_bytes(b"\0" * 500),
        "train-0002.wav: is no audio file",
    ),
    "pointer": (
        lambda t: (t / "16000/train/train-0002.wav").write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
        ),
        "train-0002.wav: is a Git LFS pointer, not the audio: run `git lfs pull`.",
    ),
    "truncated": (cut("train/train-0002.wav"), "train-0002.wav: is truncated"),
    "stereo": (audio("test/test-0000.wav", np.zeros((800, 2))), "2 channels"),
    "wrong rate": (
        audio("test/test-0000.wav", np.zeros(800), 44100),
        "44100 Hz, but",
    ),
    "not finite": (audio("test/test-0000.wav", [0.0, np.inf], subtype="FLOAT"), "infinite"),
    "too long": (audio("test/test-0000.wav", np.zeros(16000 * 1201)), "1201.0 s long"),
}


@pytest.mark.parametrize("case", SCENE_ERRORS)
def test_errors_of_a_scene_task(tmp_path: Path, case: str) -> None:
    edit, reason = SCENE_ERRORS[case]
    task = make(tmp_path)
    edit(task)
    expect(said(check_task(task), "error"), reason)


def expect(found: list[str], pattern: str) -> None:
    assert any(re.search(pattern, text) for text in found), f"{pattern!r} not in {found}"


EVENT_ERRORS: dict[str, tuple[Edit, str]] = {
    "multiclass": (metadata(prediction_type="multiclass"), "must have prediction_type"),
    "scene metric": (metadata(evaluation=["mAP"]), "not for event tasks"),
    "grid key": (
        metadata(evaluation_params={"event_postprocessing_grid": {"median_filter": [1]}}),
        "Did you mean 'median_filter_ms'",
    ),
    "grid value": (
        metadata(evaluation_params={"event_postprocessing_grid": {"threshold": [-1]}}),
        "threshold is .*: it must be a list of numbers, 0 or more",
    ),
    "no events list": (set_clip("test", "test-0000.wav", {"label": "a"}), "must be a list, not an"),
    "labels instead": (set_clip("test", "test-0000.wav", ["class00"]), "must be an object, not te"),
    "lacks end": (set_clip("test", "test-0000.wav", [{"label": "a", "start": 1}]), "lacks end"),
    "nan": (set_clip("test", "test-0000.wav", note("class00", 0, float("nan"))), "end must be"),
    "text time": (set_clip("test", "test-0000.wav", note("class00", "1", 2)), "start must be"),
    "unknown": (
        set_clip("test", "test-0000.wav", note("clas00", 1, 900)),
        "Did you mean 'class00'",
    ),
    "backwards": (set_clip("test", "test-0000.wav", note("class00", 90, 80)), "ends before it st"),
    "negative": (set_clip("test", "test-0000.wav", note("class00", -5, 80)), "starts before the"),
    "beyond": (
        set_clip("test", "test-0000.wav", note("class00", 3000, 4000)),
        "starts at 3000 ms, but the clip ends at 3000 ms",
    ),
}


@pytest.mark.parametrize("case", EVENT_ERRORS)
def test_errors_of_an_event_task(tmp_path: Path, case: str) -> None:
    edit, reason = EVENT_ERRORS[case]
    task = make(tmp_path, "events", n=1)
    edit(task)
    expect(said(check_task(task), "error"), reason)


KFOLD_ERRORS: dict[str, tuple[Edit, str]] = {
    "two folds": (
        metadata(splits=["fold00", "fold01"], nfolds=2),
        "2 folds, but at least 3 are needed",
    ),
    "nfolds": (metadata(nfolds=5), "nfolds is 5, but splits has 3"),
    "empty fold": (set_json("fold01.json", {}), "fold01.json: lists no clip"),
}


@pytest.mark.parametrize("case", KFOLD_ERRORS)
def test_errors_of_folds(tmp_path: Path, case: str) -> None:
    edit, reason = KFOLD_ERRORS[case]
    task = make(tmp_path, "kfold")
    edit(task)
    expect(said(check_task(task), "error"), reason)


def times_in_seconds(task: Path) -> None:
    for split in ("train", "valid", "test"):
        set_json(f"{split}.json", {f"{split}-0000.wav": note("class00", 0.5, 1.5)})(task)


def set_labels(*labels: str) -> Edit:
    return lambda task: task_directories.write_vocabulary(task, labels)


WARNINGS: dict[str, tuple[str, Edit, str]] = {
    "folder name": ("scene", metadata(version="v2"), "names the task tiny_scene-v2-full"),
    "length": (
        "scene",
        audio("test/test-0000.wav", np.full(1600, 0.1)),
        "16000/test: clip 'test-0000.wav': not 0.05 s long .*: 0.1 s",
    ),
    "float wav": (
        "scene",
        audio("test/test-0000.wav", np.full(800, 0.1), subtype="FLOAT"),
        "not 16-bit wav .*WAV FLOAT",
    ),
    "loud": (
        "scene",
        audio("test/test-0000.wav", np.full(800, 3.0), subtype="FLOAT"),
        r"louder than 1 \(up to 3\)",
    ),
    "silent": ("scene", audio("test/test-0000.wav", np.zeros(800)), "all samples are zero"),
    "stray file": (
        "scene",
        audio("test/extra.wav", np.full(800, 0.1)),
        r"16000/test: 1 file \('extra.wav'\): not in test.json",
    ),
    "stray folder": ("scene", lambda t: (t / "16000/eval").mkdir(), "16000/eval: is not used"),
    "stray split": ("kfold", set_json("fold03.json", {}), "fold03.json: is not used"),
    "class not tested": (
        "scene",
        set_clip("test", "test-0001.wav", ["class00"]),
        r"test.json: 1 of 4 labels \('class01'\) has no clip in this split",
    ),
    "class unused": (
        "scene",
        lambda t: task_directories.write_vocabulary(t, [f"class{i:02d}" for i in range(6)]),
        r"2 of 6 labels \('class04', 'class05'\) have no clip in any split",
    ),
    "class not trained": (
        "kfold",
        lambda t: [
            set_json(f"fold0{i}.json", {f"fold0{i}-0000.wav": [f"class0{i}"]})(t) for i in range(3)
        ],
        r"fold00.json: 2 of 3 labels \('class00', 'class01'\) have no training clip",
    ),
    "label twice": (
        "multilabel",
        set_clip("test", "test-0000.wav", ["class00", "class00"]),
        "a label occurs twice",
    ),
    "no scale": (
        "pitch",
        set_text("labelvocabulary.csv", "idx,label\n0,60\n1,62\n"),
        "not the chroma",
    ),
    "no notes": (
        "pitch",
        lambda t: [metadata(evaluation=["pitch_acc"])(t), set_labels("low", "high")(t)],
        "labelvocabulary.csv: the labels are not MIDI numbers",
    ),
    "event twice": (
        "events",
        set_clip("test", "test-0000.wav", 2 * note("class00", 100, 900)),
        "test.json: clip 'test-0000.wav': an event occurs twice",
    ),
    "no length": ("events", set_clip("test", "test-0000.wav", note("class00", 9, 9)), "no length"),
    "event cut": (
        "events",
        set_clip("test", "test-0000.wav", note("class00", 2000, 3500)),
        "lasts to 3500 ms, but the clip ends at 3000 ms",
    ),
    "seconds": ("events", times_in_seconds, "look like seconds"),
    "seconds in clips of any length": (
        "events",
        lambda t: [metadata(sample_duration=None)(t), times_in_seconds(t)],
        "valid.json: .* in a clip of 3 s: the times look like seconds",
    ),
    "seconds in one split": (
        "events",
        set_json("test.json", {"test-0000.wav": note("class00", 0.5, 1.5)}),
        "test.json: .* look like seconds",
    ),
    "one label": ("scene", set_text("labelvocabulary.csv", "idx,label\n0,class00\n"), "every pred"),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_warnings(tmp_path: Path, case: str) -> None:
    kind, edit, reason = WARNINGS[case]
    task = make(tmp_path, kind)
    edit(task)
    findings = check_task(task)
    expect(said(findings, "warning"), reason)
    if case not in ("one label", "no scale", "no notes"):
        assert said(findings, "error") == []


def test_notes_with_gaps_are_pitches_all_the_same(tmp_path: Path) -> None:
    task = make(tmp_path, "pitch", classes=[60, 62, 64], evaluation=["pitch_acc"])
    assert check_task(task) == []


def test_times_in_seconds_are_seen_in_the_tables_alone(tmp_path: Path) -> None:
    task = make(tmp_path, "events", n=1)
    times_in_seconds(task)
    expect(said(check_task(task, audio=False), "warning"), "look like seconds")


def test_a_clip_in_two_splits_is_an_error(tmp_path: Path) -> None:
    task = make(tmp_path)
    shutil.copy(task / "16000/train/train-0001.wav", task / "16000/test/train-0001.wav")
    set_clip("test", "train-0001.wav", ["class01"])(task)
    reason = "test.json: clip 'train-0001.wav': also in train.json."
    assert reason in said(check_task(task), "error")
    assert reason in said(check_task(task, audio=False), "error")


def test_two_sounds_of_one_name_are_a_warning(tmp_path: Path) -> None:
    task = make(tmp_path)
    audio("test/train-0001.wav", np.full(800, 0.1))(task)
    set_clip("test", "train-0001.wav", ["class01"])(task)
    findings = check_task(task)
    assert said(findings, "error") == []
    expect(said(findings, "warning"), "train.json has a different sound of the same name")


def test_the_same_sound_under_two_names_is_a_warning(tmp_path: Path) -> None:
    task = make(tmp_path)
    shutil.copy(task / "16000/train/train-0001.wav", task / "16000/test/test-0001.wav")
    reason = "test.json: clip 'test-0001.wav': the same samples as .* 'train-0001.wav'"
    expect(said(check_task(task), "warning"), reason)


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    task = make(tmp_path)
    cut("train/train-0002.wav")(task)
    audio("test/test-0000.wav", np.zeros((800, 2)), 44100)(task)
    set_clip("valid", "valid-0001.wav", ["oops"])(task)
    metadata(evaluation=["mapp"], version=..., nfolds=3)(task)
    (task / "16000/valid/extra.wav").write_bytes(b"")
    findings = check_task(task)
    errors = said(findings, "error")
    for reason in ("truncated", "2 channels", "44100 Hz", "'oops'", "'mapp'", "version is missing"):
        expect(errors, reason)
    expect(said(findings, "warning"), "extra.wav")
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities), "errors first"


def test_bad_audio_names_its_clip_for_leaving_it_out(tmp_path: Path) -> None:
    task = make(tmp_path)
    cut("train/train-0002.wav")(task)
    set_clip("valid", "valid-0001.wav", ["oops"])(task)
    clips = [(f.split, f.clip) for f in check_task(task) if f.clip]
    assert clips == [("train", "train-0002.wav")]


def test_a_split_without_a_good_clip_is_no_matter_of_clips(tmp_path: Path) -> None:
    task = make(tmp_path, n=1)
    cut("valid/valid-0000.wav")(task)
    assert "16000/valid: no clip in it can be used." in said(check_task(task), "error")


def test_only_the_rate_that_serves_the_model_is_judged(tmp_path: Path) -> None:
    task = make(tmp_path, rates=(16000, 48000))
    cut("train/train-0002.wav")(task)
    assert said(check_task(task), "error")
    assert said(check_task(task, 16000), "error")
    assert check_task(task, 44100) == []
    shutil.rmtree(task / "48000")
    expect(said(check_task(task, 44100), "warning"), "16000: is the highest rate present")


def test_a_half_made_rate_says_which_others_there_are(tmp_path: Path) -> None:
    task = make(tmp_path, rates=(16000, 48000))
    shutil.rmtree(task / "16000/valid")
    expect(said(check_task(task, 16000), "error"), r"another rate \(48000\) is resampled")


def test_tables_alone_need_no_audio(tmp_path: Path) -> None:
    task = make(tmp_path, rates=())
    assert check_task(task, audio=False) == []
    expect(said(check_task(task), "error"), "there is no audio")


def test_untrimmed_clips_may_differ_in_length(tmp_path: Path) -> None:
    task = make(tmp_path, sample_duration=None)
    audio("test/test-0000.wav", np.full(1600, 0.1))(task)
    assert check_task(task) == []


@pytest.mark.usefixtures("settled")
def test_good_clips_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make(tmp_path)
    cut("train/train-0002.wav")(task)
    audio("test/test-0000.wav", np.full(1600, 0.1))(task)
    decoded: list[str] = []
    decode = sound.decode
    monkeypatch.setattr(
        sound, "decode", lambda path, rate: [decoded.append(path.name), decode(path, rate)][1]
    )
    memory = FileMemory(tmp_path / "heard.json")
    first = check_task(task, memory=memory)
    memory.save()
    decoded.clear()
    assert check_task(task, memory=FileMemory(tmp_path / "heard.json")) == first
    assert decoded == ["train-0002.wav"], "the bad clip alone"
    assert len(said(first, "error")) == 1
    audio("test/test-0001.wav", np.zeros((800, 2)))(task)
    again = check_task(task, memory=FileMemory(tmp_path / "heard.json"))
    expect(said(again, "error"), "2 channels")


def test_what_is_no_folder_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert said(check_task(tmp_path / "absent"), "error") == [": there is no such folder."]
    (found,) = said(check_task(tmp_path / "file"), "error")
    assert found.startswith(": this is a file. Give a task directory")


def test_what_passes_can_be_read(tmp_path: Path) -> None:
    task = make(tmp_path, "notes")
    assert check_task(task) == []
    assert read_task(task).name == task.name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", ["scene", "notes"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_content_is_judged_and_what_passes_is_usable(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    directory = make(tmp_path_factory.mktemp("fuzz"), kind, n=1, rates=())
    name = data.draw(st.sampled_from(["task_metadata.json", "test.json", "fold00.json"]))
    if not (directory / name).exists():
        name = "task_metadata.json"

    def change(table: dict[str, Any]) -> None:
        for key in data.draw(st.lists(st.sampled_from(sorted(table)), max_size=2)):
            table[key] = data.draw(JSON)

    task_directories.edit_json(directory / name, change)
    if said(check_task(directory, audio=False), "error"):
        return
    task = read_task(directory)
    assert len(task.folds) in (1, 3)
    assert task.sha256
    if task.prediction_type == "multiclass":
        assert [len(multiclass_targets(task, split)) for split in task.splits] == [1, 1, 1]


def test_findings_for_people(tmp_path: Path) -> None:
    task = make(tmp_path)
    assert format_findings(task, check_task(task)) == f"{task}: no findings"
    (task / "test.json").unlink()
    text = format_findings(task, check_task(task))
    assert text.splitlines()[:2] == [
        f"{task}: 1 error, 0 warnings",
        "  error: test.json: the file is missing.",
    ]


def test_the_published_archive_is_in_order(published_digits: Path) -> None:
    assert said(check_task(published_digits), "error") == []
    task = read_task(published_digits)
    assert task.labels == tuple("0123456789")
    assert sum(map(len, task.clips.values())) == 100
    assert task.metadata["tfds_task_name"] == "spoken_digit"
