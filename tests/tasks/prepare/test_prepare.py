"""Preparing a task as a whole: the command, what is odd, going on after a stop."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import soundfile
from support import corpora
from support.changed import changed

from harness.cli import call
from harness.commands.examples import EXAMPLES
from harness.core.errors import UserError
from tasks.cards.builtin import card
from tasks.check import check_task
from tasks.find import find_task
from tasks.format.files import METADATA
from tasks.format.groups import GROUPS
from tasks.format.newtask import NewClip
from tasks.format.task import UNLIKE_CARD, read_task
from tasks.prepare import archive, run
from tasks.prepare.folder import SourceFolder
from tasks.prepare.registry import CORPORA
from tasks.prepare.run import prepare

PART = "esc50_part-v2.0.0-full"


@pytest.fixture
def esc50(tmp_path: Path) -> Path:
    return corpora.esc50(tmp_path / "source")


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the card of ESC-50 be that of the miniature."""
    about = changed(card("esc50"), clips=10, n_test=10, classes=2)
    monkeypatch.setattr("tasks.prepare.run.card", lambda _: about)


def said_by(name: str, source: Path, tasks_dir: Path, rates: tuple[int, ...] = ()) -> list[str]:
    said: list[str] = []
    prepare(name, source, tasks_dir, rates=rates, say=said.append)
    return said


def test_the_command_writes_a_directory(
    esc50: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks_dir = tmp_path / "tasks"
    options = ["--source", str(esc50), "--tasks-dir", str(tasks_dir), "--jobs", "2"]
    assert call(["tasks", "prepare", "esc50", *options]) == 0
    printed = capsys.readouterr()
    directory = tasks_dir / PART
    assert printed.out.strip() == str(directory)
    assert "10 clips here, 2,000 on the card" in printed.err
    assert "2 classes here, 50 on the card" in printed.err
    assert "10 of 10 clips" in printed.err
    assert [path.name for path in directory.iterdir() if path.is_dir()] == ["48000"]


def test_a_mistake_ends_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["tasks", "prepare", "esc50", "--source", str(tmp_path / "gone")]) == 2
    assert "gone does not exist" in capsys.readouterr().err


def test_classes_have_one_unicode_form_and_those_that_read_the_same_are_told(
    esc50: Path, tmp_path: Path
) -> None:
    (table,) = esc50.rglob("esc50.csv")
    first, *rows = table.read_text().splitlines()
    for i, name in enumerate(["Café", "Cafe\u0301", "café"]):
        rows[i] = rows[i].replace("dog", name).replace("vacuum_cleaner", name)
    table.write_text("\n".join([first, *rows]) + "\n")
    said = said_by("esc50", esc50, tmp_path / "tasks")
    (task,) = map(read_task, (tmp_path / "tasks").iterdir())
    assert {"Café", "café"} < set(task.labels)
    assert "Cafe\u0301" not in task.labels
    (warning,) = (line for line in said if "read the same" in line)
    assert warning == (
        "warning: the labels 'Café' and 'café' read the same and differ in capitals alone: they "
        "count as 2 classes"
    )


def test_the_rates_asked_for_are_written(esc50: Path, tmp_path: Path) -> None:
    directory = prepare("esc50", esc50, tmp_path, rates=(16_000, 32_000))
    for rate in (16_000, 32_000):
        info = soundfile.info(directory / str(rate) / "fold00" / "1-100033-A-0.wav")
        assert (info.samplerate, info.frames, info.channels) == (rate, 5 * rate, 1)


def test_the_tables_are_in_hears_order_and_name_the_sources(esc50: Path, tmp_path: Path) -> None:
    directory = prepare("esc50", esc50, tmp_path)
    truths = json.loads((directory / "fold00.json").read_text())
    assert list(truths) == sorted(truths)
    metadata = json.loads((directory / "task_metadata.json").read_text())
    assert metadata["version"] == "v2.0.0"
    assert metadata["mode"] == "full"
    assert metadata["evaluation"] == list(card("esc50").metrics)
    assert metadata["prepared_from"][0]["url"] == card("esc50").sources[0].url


def test_missing_sounds_are_named_and_the_rest_is_made(esc50: Path, tmp_path: Path) -> None:
    (esc50 / "audio" / "2-100034-A-0.wav").unlink()
    (esc50 / "audio" / "4-100036-A-36.wav").unlink()
    said = said_by("esc50", esc50, tmp_path)
    assert said[0].startswith("missing: 2 of 10 clips that the corpus lists (2-100034-A-0.wav, 4-")
    assert "8 of 8 clips" in said[-1]


def test_a_whole_task_that_is_there_is_left_alone(esc50: Path, whole: None, tmp_path: Path) -> None:
    directory = prepare("esc50", esc50, tmp_path)
    assert directory.name == "esc50-v2.0.0-full"
    assert read_task(directory).unlike_card == ()
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    assert "already exists" in said_by("esc50", tmp_path / "gone", tmp_path)[0]
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before
    with pytest.raises(UserError, match="Delete it"):
        prepare("esc50", esc50, tmp_path, rates=(16_000,))


def test_a_task_that_is_there_without_groups_is_named(tmp_path: Path) -> None:
    directory = tmp_path / card("spoken_digit").directory
    (directory / "16000").mkdir(parents=True)
    (directory / METADATA).write_text("{}")
    assert said_by("spoken_digit", tmp_path, tmp_path)[0].endswith(
        "prepare it again. It has no groups."
    )
    (directory / GROUPS).write_text("clip,group\n")
    assert said_by("spoken_digit", tmp_path, tmp_path)[0].endswith("prepare it again.")


def test_a_part_is_not_called_like_the_whole(esc50: Path, tmp_path: Path) -> None:
    directory = prepare("esc50", esc50, tmp_path)
    assert directory.name == PART
    assert find_task("esc50_part", tmp_path) == (directory, "")
    with pytest.raises(UserError, match="tasks fetch esc50"):
        find_task("esc50", tmp_path)
    assert read_task(directory).unlike_card == (
        "unlike the card of esc50: 10 clips here, 2,000 on the card",
        "unlike the card of esc50: 2 classes here, 50 on the card",
    )
    assert "already exists" in said_by("esc50", esc50, tmp_path)[-1]


@pytest.mark.parametrize(("lost", "is_part"), [((1, 2), False), ((1, 2, 3), True), ((199,), True)])
def test_a_hundredth_of_the_clips_or_of_the_test_makes_a_part(
    lost: tuple[int, ...], is_part: bool
) -> None:
    splits = ["train"] * 150 + ["valid"] * 49 + ["test"]
    about = changed(card("voxforge"), clips=len(splits), n_test=1, classes=2, hours=None)
    clips = [
        NewClip(f"{i}.wav", split, i, ("ab"[i % 2],))
        for i, split in enumerate(splits)
        if i not in lost
    ]
    task = run._task(about, clips, print)
    assert task.task_name == ("voxforge_part" if is_part else "voxforge")
    assert task.extra[UNLIKE_CARD][0] == (
        f"unlike the card of voxforge: {200 - len(lost)} clips here, 200 on the card"
    )


def test_a_sound_that_was_cut_short_is_not_taken_for_silence(esc50: Path, tmp_path: Path) -> None:
    cut = esc50 / "audio" / "3-100035-A-0.wav"
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"3-100035-A-0\.wav.*956 of .* bytes of sound are present"):
        prepare("esc50", esc50, tmp_path, say=[].append)


def test_bad_sounds_are_left_out_when_asked_and_named(
    esc50: Path, whole: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (esc50 / "audio" / "3-100035-A-0.wav").write_bytes(b"no sound at all")
    arguments = [
        "tasks", "prepare", "esc50", "--source", str(esc50), "--tasks-dir", str(tmp_path),
        "--jobs", "1",
    ]  # fmt: skip
    assert call(arguments) == 2
    assert "Replace them or give --skip-bad, and run again" in capsys.readouterr().err
    assert call([*arguments, "--skip-bad"]) == 0
    printed = capsys.readouterr()
    assert "9 files already existed, 0 are new" in printed.err
    assert printed.err.count("3-100035-A-0.wav: ") == 1
    assert "left out: 1 of 10 clips, which cannot be used" in printed.err
    assert "unlike the card of esc50: 9 clips here, 10 on the card" in printed.err
    directory = tmp_path / PART
    assert printed.out.strip() == str(directory)
    task = read_task(directory)
    assert [clip.name for clip in task.clips["fold02"]] == ["3-100035-A-36.wav"]
    assert task.unlike_card == ("unlike the card of esc50: 9 clips here, 10 on the card",)
    assert task.metadata["left_out"] == ["3-100035-A-0.wav"]
    assert not any(found.severity == "error" for found in check_task(directory))
    # Done is done, though it is not called like what was begun.
    assert call([*arguments, "--skip-bad"]) == 0
    again = capsys.readouterr()
    assert again.out == printed.out
    assert f"{directory} already exists" in again.err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("packed", [False, True])
def test_empty_sounds_are_bad_ones_and_all_are_named(tmp_path: Path, packed: bool) -> None:
    root = corpora.free_spoken_digits(tmp_path / "x")
    for name in ("1_theo_0", "4_george_0"):
        (root / "recordings" / f"{name}.wav").write_bytes(b"")
    source = root
    if packed:
        source = tmp_path / "y"
        corpora.zipped(root, source / "free-spoken-digit-dataset-1.0.9.zip")
    with pytest.raises(UserError, match="2 clips cannot be used") as caught:
        prepare("spoken_digit", source, tmp_path / "tasks", say=[].append)
    for name in ("1_theo_0", "4_george_0"):
        assert re.search(rf"{name}\.wav:? is an empty file", str(caught.value))
    directory = prepare("spoken_digit", source, tmp_path / "tasks", skip_bad=True, say=[].append)
    assert sum(len(clips) for clips in read_task(directory).clips.values()) == 48


def test_the_corpus_is_the_same_however_its_folder_is_spelt(
    esc50: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = esc50 / "audio" / "3-100035-A-0.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"no sound at all")
    with pytest.raises(UserError, match=r"3-100035-A-0\.wav"):
        prepare("esc50", esc50, tmp_path, say=[].append)
    broken.write_bytes(whole)
    monkeypatch.chdir(esc50 / "audio")
    assert "1 of 1 clips" in " ".join(said_by("esc50", Path(".."), tmp_path))
    assert "already exists" in said_by("esc50", esc50, tmp_path)[-1]


@pytest.mark.parametrize("packed", [False, True])
def test_the_corpus_is_the_same_wherever_above_or_below_it_is_named(
    tmp_path: Path, packed: bool
) -> None:
    root = corpora.free_spoken_digits(tmp_path / "x" / "y")
    places = [root, root.parent, root.parent.parent, root / "recordings"]
    if packed:
        archive = root.parent.parent / "z" / "free-spoken-digit-dataset-1.0.9.zip"
        corpora.zipped(root, archive)
        shutil.rmtree(root.parent)
        places = [archive.parent, archive.parent.parent, tmp_path]
    clips = []
    for place in places:
        folder = SourceFolder(place, tmp_path, [].append, CORPORA["spoken_digit"].tops)
        found = CORPORA["spoken_digit"].clips(folder, [].append)
        clips.append({clip.name: repr(clip.source) for clip in found if clip.source})
        folder.close()
    assert len(clips[0]) == 50
    assert all(found == clips[0] for found in clips)
    plain = SourceFolder(places[0], tmp_path, [].append)
    usual = CORPORA["spoken_digit"].clips(plain, [].append)
    assert clips[0] == {clip.name: repr(clip.source) for clip in usual if clip.source}


def test_an_interrupted_preparation_goes_on_from_a_folder_above(
    esc50: Path, tmp_path: Path
) -> None:
    broken = esc50 / "audio" / "3-100035-A-0.wav"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:1000])
    with pytest.raises(UserError, match=r"3-100035-A-0\.wav"):
        prepare("esc50", esc50, tmp_path, say=[].append)
    broken.write_bytes(whole)
    assert "9 files already existed, 1 is new" in said_by("esc50", esc50.parent, tmp_path)


def test_another_rate_is_refused_with_what_can_be_done(esc50: Path, tmp_path: Path) -> None:
    prepare("esc50", esc50, tmp_path, rates=(16_000,), say=[].append)
    with pytest.raises(UserError) as caught:
        prepare("esc50", esc50, tmp_path, rates=(32_000,), say=[].append)
    assert "its rates are 16000 Hz, not 32000. Delete it, or choose another --tasks-dir." in str(
        caught.value
    )


def test_a_rate_that_is_a_slip_of_the_pen_is_refused(esc50: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--sample-rate 3 is too low: the lowest allowed"):
        prepare("esc50", esc50, tmp_path, rates=(3,), say=[].append)


def test_a_split_whose_sounds_are_all_bad_cannot_be_left_out(esc50: Path, tmp_path: Path) -> None:
    for path in (esc50 / "audio").glob("3-*"):
        path.write_bytes(b"no sound at all")
    with pytest.raises(UserError, match="the split 'fold02' has no clip"):
        prepare("esc50", esc50, tmp_path, skip_bad=True, say=[].append)


def test_a_sound_that_cannot_be_read_stops_the_end_not_the_rest(
    esc50: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = esc50 / "audio" / "3-100035-A-0.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"no sound at all")
    monkeypatch.chdir(esc50)
    with pytest.raises(UserError, match=r"3-100035-A-0\.wav"):
        prepare("esc50", Path("."), tmp_path)
    assert not (tmp_path / PART).exists()
    broken.write_bytes(whole)
    assert "1 of 1 clips" in " ".join(said_by("esc50", esc50, tmp_path))


def test_what_was_expanded_is_kept_until_the_task_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_IN_MEMORY", 0)
    root = corpora.esc50(tmp_path / "x")
    broken = root / "audio" / "3-100035-A-0.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"no sound at all")
    packed = corpora.tarred(root, tmp_path / "source" / "ESC-50.tar.gz")
    with pytest.raises(UserError, match=r"audio/3-100035-A-0\.wav"):
        prepare("esc50", packed.parent, tmp_path / "tasks")
    assert len(list((tmp_path / "tasks").glob(".*.expanded"))) == 1
    broken.write_bytes(whole)
    for path in (packed, *(tmp_path / "tasks").glob(".*.expanded")):
        path.unlink()
    corpora.tarred(root, packed)
    prepare("esc50", packed.parent, tmp_path / "tasks")
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == [PART]


def test_a_disk_that_is_too_small_is_named_before_the_work(esc50: Path, tmp_path: Path) -> None:
    # Ten clips of 5 s at this rate are more than any disk holds.
    with pytest.raises(UserError, match=r"needs 100000\.0 GB"):
        prepare("esc50", esc50, tmp_path / "new" / "tasks", rates=(10**12,))
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'voxforge'") as caught:
        prepare("voxforg", tmp_path, tmp_path)
    assert all(name in str(caught.value) for name in CORPORA)


def test_the_help_names_every_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    call(["tasks", "prepare", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(name in shown for name in CORPORA)
    assert EXAMPLES["tasks prepare"][0] in shown


def test_what_is_published_is_not_prepared_but_fetched(tmp_path):
    with pytest.raises(UserError, match="'fsd50k' is published: `hear-byola tasks fetch fsd50k`"):
        prepare("fsd50k", tmp_path, tmp_path / "tasks")
