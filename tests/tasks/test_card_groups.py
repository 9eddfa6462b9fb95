"""Groups that cards derive from clips' names, and who sees them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from support import task_directories
from support.changed import changed

from harness.commands.check import check
from harness.core.errors import UserError
from tasks.cards.builtin import card, cards
from tasks.cards.card import CARD
from tasks.cards.cardfile import read_card, write_card
from tasks.find import find_sources, group_pattern
from tasks.format.groups import derive_groups, groups_table

PATTERN = r"\w+-\d{2}(\d)\d\.wav"

# Names as their publishers give them. HEAR keeps them (hear-preprocess 2021.1.1), but for the word
# before those of Speech Commands.
NAMES = {
    "esc50": {"1-100032-A-0.wav": "100032", "5-9032-B-49.wav": "9032"},
    "urbansound8k": {"100032-3-0-0.wav": "100032"},
    "voxceleb1": {"id10001-1zcIwhmdeo4-00001.wav": "id10001-1zcIwhmdeo4"},
    "nsynth": {"bass_synthetic_033-022-050.wav": "bass_synthetic_033"},
    "speech_commands": {
        "yes_0a7c2a8d_nohash_0.wav": "0a7c2a8d",
        "bed_0a7c2a8d_nohash_12.wav": "0a7c2a8d",
        "_unknown__seven_fb7eb481_nohash_1.wav.wav": "fb7eb481",
        "_silence__doing_the_dishes-8000.wav": "doing_the_dishes",
        "_silence__834.wav": "834",
    },
    "gunshot_triangulation": {
        "mic1_shot12_fid4.wav": "shot12",
        "mic4_shot12_fid4.wav": "shot12",
        "mic4_shot1_fid1.wav": "shot1",
    },
    "maestro": {
        "MIDI-Unprocessed_17_R1_2006_01-06_ORIG_MID--AUDIO_17_R1_2006_04_Track04_wav.wav": (
            "MIDI-Unprocessed_17_R1_2006"
        ),
        "MIDI-Unprocessed_XP_21_R1_2004_01_ORIG_MID--AUDIO_21_R1_2004_01_Track01_wav.wav": (
            "MIDI-Unprocessed_XP_21_R1_2004"
        ),
        "MIDI-Unprocessed_15_R1_2011_MID--AUDIO_R1-D6_09_Track09_wav.wav": (
            "MIDI-Unprocessed_15_R1_2011"
        ),
        "ORIG-MIDI_03_7_8_13_Group__MID--AUDIO_19_R2_2013_wav--3.wav": "ORIG-MIDI_03_7_8_13_Group",
        "MIDI-Unprocessed_R1_D2-21-22_mid--AUDIO-from_mp3_21_R1_2015_wav--5.wav": (
            "MIDI-Unprocessed_R1_D2-21-22"
        ),
        "MIDI-Unprocessed_066_PIANO066_MID--AUDIO-split_07-07-17_Piano-e_3-02_wav--3.wav": (
            "MIDI-Unprocessed_066_PIANO066"
        ),
    },
    "vox_lingua_top10": {"-D7MAh_MaQ4__U__S0---0016.440-0023.010.wav": "-D7MAh_MaQ4"},
    "beehive_states": {
        "Hive1_31_05_2018_NO_QueenBee_H1_audio___15_00_00.wav": "Hive1_31_05_2018",
        "Hive3_28_07_2017_QueenBee_H3_audio___06_10_00.wav": "Hive3_28_07_2017",
    },
}


@pytest.mark.parametrize("name", [name for name, each in cards().items() if each.group_pattern])
def test_a_pattern_tells_the_groups_of_its_corpus(name: str) -> None:
    (wanted,) = (names for corpus, names in NAMES.items() if name.startswith(corpus))
    assert derive_groups(card(name).group_pattern or "", wanted) == (wanted, "")


@pytest.mark.parametrize("pattern", [r"\d+", r"(\d)(\d)", "(", 5, ["(a)"]])
def test_a_pattern_must_be_an_expression_with_one_group(pattern: object) -> None:
    text = yaml.safe_dump(yaml.safe_load(write_card(card("esc50"))) | {"group_pattern": pattern})
    with pytest.raises(UserError, match=r"group_pattern is .*: it must be a"):
        read_card(text, "esc50")


def own_card(task: Path, **changes: str | None) -> None:
    its = changed(card("demo_pipe_pitch"), name=task.name.split("-")[0], directory=task.name)
    (task / CARD).write_text(write_card(changed(its, published=None, **changes)))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return task_directories.make_task(tmp_path, "scene", n=12, seconds=0.05)


def test_the_card_inside_a_directory_counts_before_the_packages(task: Path, tmp_path: Path) -> None:
    esc50 = task.rename(tmp_path / "esc50-v2.0.0-full")
    assert group_pattern(esc50) == card("esc50").group_pattern
    own_card(esc50, group_pattern=PATTERN)
    assert group_pattern(esc50) == PATTERN
    other = Path(shutil.copytree(esc50, tmp_path / "other-v1-full"))
    assert group_pattern(other) == "", "the card of another directory"


def test_runs_and_checks_see_the_same_groups(task: Path) -> None:
    own_card(task, group_pattern=PATTERN)
    (source,) = find_sources((str(task),), None, task.parent)
    assert {clip.name: clip.group for clip in source.read().clips["test"]} == {
        f"test-{i:04d}.wav": str(i // 10) for i in range(12)
    }
    said = CliRunner().invoke(check, [str(task), "--no-audio"]).output
    assert "groups: train 2, valid 2, test 2)" in said.splitlines()[0]
    assert "groups.csv: the test has 2 groups. Below 6, no confidence interval and no" in said
    assert "2 of 2 groups are in several splits ('0', '1'; the first in train and valid" in said
    assert "Probes are tested on groups that are also in training or validation." in said


def test_a_pattern_that_does_not_fit_is_told_and_no_group_is_used(task: Path) -> None:
    own_card(task, group_pattern=r"test-(\d+)\.wav")
    (source,) = find_sources((str(task),), None, task.parent)
    assert not source.read().has_groups
    said = CliRunner().invoke(check, [str(task), "--no-audio"]).output
    assert "group_pattern does not match the name of clip 'train-0000.wav'. No groups are" in said
    assert "groups:" not in said


@pytest.mark.parametrize(("n", "said"), [(5, "Below 6"), (6, "Below about 40"), (40, "")])
def test_few_test_groups_are_told(tmp_path: Path, n: int, said: str) -> None:
    task = task_directories.make_task(tmp_path, "scene", n=40, seconds=0.01)
    groups = {
        f"{split}-{i:04d}.wav": f"{split}-{i % n}"
        for split in ("train", "valid", "test")
        for i in range(40)
    }
    (task / "groups.csv").write_text(groups_table(groups))
    found = CliRunner().invoke(check, [str(task), "--no-audio"]).output
    assert f"groups: train {n}, valid {n}, test {n})" in found
    assert re.findall(r"Below about 40|Below 6", found) == [said] * bool(said)
    assert "several splits" not in found


def test_groups_that_training_and_validation_share_leave_the_test_free(task: Path) -> None:
    groups = {
        f"{split}-{i:04d}.wav": "test" if split == "test" else f"{i}"
        for split in ("train", "valid", "test")
        for i in range(12)
    }
    (task / "groups.csv").write_text(groups_table(groups))
    found = CliRunner().invoke(check, [str(task), "--no-audio"]).output
    assert "12 of 13 groups are in several splits ('0', '1', '10' and 9 more" in found
    assert "Probes are validated on groups that are also in training." in found
