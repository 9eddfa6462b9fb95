from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.errors import UserError
from harness.metrics.metric import AnyMetric
from harness.metrics.registry import METRICS
from tasks.cards.builtin import card, card_of_directory, cards, suites
from tasks.cards.card import ZenodoArchive
from tasks.cards.cardfile import card_in, misplaced, read_card, write_card
from tasks.find import find_task

NAME = "demo_guitar_chord"


def text_with(**changes: Any) -> str:
    """The guitar card's YAML with fields changed, added, or (with ...) removed."""
    fields = yaml.safe_load((files("tasks.cards") / "data" / f"{NAME}.yaml").read_text()) | changes
    return yaml.safe_dump({key: value for key, value in fields.items() if value is not ...})


def test_every_card_is_read_and_named_like_its_file() -> None:
    assert all(name == read.name for name, read in cards().items())
    assert list(cards()) == sorted(cards())


def test_cards_of_a_directory_are_unique() -> None:
    directories = [each.directory for each in cards().values()]
    assert len(set(directories)) == len(directories)


def test_suites_hold_every_card_once() -> None:
    assert sorted(each.name for group in suites().values() for each in group) == list(cards())
    sizes = {suite: len(group) for suite, group in suites().items()}
    assert sizes == {"demo": 5, "hear2021": 20, "hear-extra": 1, "byola-paper": 6}


def test_a_card_is_found_by_its_directory() -> None:
    assert card_of_directory("esc50-v2.0.0-full") == card("esc50")
    assert card_of_directory("esc50") is None


@pytest.mark.parametrize("name", cards())
def test_a_card_written_is_read_back(name: str) -> None:
    assert read_card(write_card(card(name)), name) == card(name)


def test_written_cards_read_well() -> None:
    written = write_card(card("maestro"))
    assert "metrics: [event_onset_50ms_fms, event_onset_offset_50ms_20perc_fms]" in written
    assert "\n  @inproceedings{hawthorne2019enabling,\n" in written
    assert "\\n" not in written


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_a_card_may_ask_for_every_metric_of_its_kind(metric: AnyMetric) -> None:
    kind = {"embedding_type": str(metric.embedding_type)}
    kind["prediction_type"] = "multilabel" if kind["embedding_type"] == "event" else "multiclass"
    read = read_card(text_with(metrics=[metric.name], published_scores=None, **kind), NAME)
    assert read.metrics == (metric.name,)


def test_an_unknown_task_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'demo_guitar_chord'"):
        card("demo_gitar_chord")


def test_a_wrong_card_is_warned_of_and_blocks_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{NAME}.yaml").write_text(text_with())
    (tmp_path / "begun.yaml").write_text("name: begun\n")
    (tmp_path / "blob.yaml").write_bytes(b"\xff\xfe\0")
    monkeypatch.setattr("tasks.cards.builtin._FOLDER", tmp_path)
    cards.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"begun\.yaml: 22 faults:\n- title is missing"):
            assert list(cards()) == [NAME]
        with pytest.raises(UserError, match=r"begun\.yaml: 22 faults:\n- title is missing"):
            find_task("begun", tmp_path)
        with pytest.raises(UserError, match=r"blob\.yaml cannot be read"):
            card("blob")
    finally:
        cards.cache_clear()


@pytest.mark.parametrize("licence", ["CC-BY-NC-SA-2.0 OR MIT", "CC-BY-3.0-US", "LicenseRef-GTZAN"])
def test_licences_and_domains_of_any_right_kind_are_taken(licence: str) -> None:
    read = read_card(text_with(licence=licence, domain="bioacoustics"), NAME)
    assert (read.licence, read.domain) == (licence, "bioacoustics")


def test_what_is_empty_is_not_written() -> None:
    written = write_card(card(NAME).model_copy(update={"split_clips": {}, "metadata_md5": None}))
    assert "split_clips" not in written
    assert "metadata_md5" not in written
    assert read_card(written, NAME).metadata_md5 is None


def test_a_number_may_do_without_quotes() -> None:
    archive = "hear2021-demo_guitar_chord-v1-full-48000.tar.gz"
    text = text_with(published={"record": 5887964, "file": archive}, title=2012)
    assert read_card(text, NAME).published == ZenodoArchive(record="5887964", file=archive)
    assert read_card(text.replace("hours: 0.0997", "hours: 0.09970"), NAME).hours == 0.0997


def test_faults_of_single_fields_and_then_of_several_are_told_at_once() -> None:
    wrong = text_with(clips=0, licence="none", mode="full", split_mode="presplit_kfod")
    with pytest.raises(UserError, match="4 faults") as caught:
        read_card(wrong, NAME)
    text = str(caught.value)
    assert f"The card {NAME}.yaml: 4 faults:" in text
    assert "- split_mode is 'presplit_kfod': it must be one of 'trainvaltest', 'new_spl" in text
    assert "Did you mean 'presplit_kfold'?" in text
    with pytest.raises(UserError) as caught:
        read_card(text_with(folds=2, classes=1, hours=1.0), NAME)
    assert "folds must be" in str(caught.value)
    assert "classes must be" in str(caught.value)
    assert "hours must be" in str(caught.value)


def test_what_is_not_known_may_be_null() -> None:
    nothing = dict.fromkeys(["clips", "classes", "hours", "n_test", "licence", "clip_seconds"])
    assert read_card(text_with(**nothing), NAME).clips is None


def test_published_and_scores_are_read() -> None:
    archive = "hear2021-demo_guitar_chord-v1-full-48000.tar.gz"
    changed = text_with(published={"record": "5887964", "file": archive}, published_scores=[0, 1])
    read = read_card(changed, NAME)
    assert read.published == ZenodoArchive(record="5887964", file=archive)
    assert read.published_scores == (0.0, 1.0)


WRONG = {
    "folds": "three",
    "clips": 0,
    "hours": -1,
    "clip_seconds": True,
    "title": "",
    "metrics": [],
    "embedding_type": "scenes",
    "prediction_type": None,
    "split_mode": "kfold",
    "directory": "demo_guitar_chord",
    "licence": 3,
    "published_scores": [0.9, 0.1],
    "oddities": "none",
    "facts_from": None,
    "citation": [3],
    "suite": "Two words",
    "n_test": 1.5,
    "split_clips": "many",
    "metadata_md5": "abc",
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_refused_by_the_fields_name(field: str) -> None:
    with pytest.raises(UserError, match=rf"{NAME}\.yaml: {field}(\[0\])? is .*: it must be"):
        read_card(text_with(**{field: WRONG[field]}), NAME)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ...}, "classes is missing: it must be a whole number, 1 or more, or null"),
        ({"clases": 3}, "no field 'clases'. Did you mean 'classes'"),
        ({"folds": None}, "folds must be null with split_mode trainvaltest, and"),
        ({"split_mode": "trainvaltest"}, "folds must be null with split_mode trainvaltest, and"),
        ({"name": "other"}, "name must be 'demo_guitar_chord'"),
        ({"sources": [{"name": "a"}]}, r"sources\[0\].version is missing"),
        (
            {"published": {"record": "zenodo.5887964", "file": "a"}},
            "published.record is 'zenodo.5887964': it must be the number of a Zenodo record",
        ),
        (
            {"published": {"record": "5887964", "file": "esc50.tar.gz"}},
            "published.file must contain the directory's name",
        ),
        ({"directory": "demo_guitar_chord-v1-half"}, "directory is .*: it must be .*-<mode>"),
        ({"directory": "demo_chord-v1-full"}, "directory must start with the name"),
        ({"folds": 2}, "folds must be 3 or more"),
        ({"classes": 1}, "classes must be 2 or more"),
        ({"n_test": 288}, "n_test must be equal to clips, which is 287"),
        ({"n_test": 60}, "n_test must be equal to clips"),
        (
            {"split_mode": "trainvaltest", "folds": None, "n_test": 288, "split_clips": {}},
            "n_test must be at most clips",
        ),
        ({"split_clips": {"f0": 288}}, "split_clips must add up to at most clips, which is 287"),
        ({"hours": 10**400}, "hours is .*: it must be a finite number"),
        ({"clips": 10**400, "n_test": 10**400}, "clips is .*: it must be 9007199254740992 or less"),
        ({"hours": 0.2}, r"hours must be clips × clip_seconds / 3600, which is 0\.09965"),
        ({"metrics": ["top_acc"]}, "not top_acc. Did you mean 'top1_acc'"),
        ({"metrics": ["mAP", "mAP"]}, "metrics is .*: it must be a list of names, each once"),
        ({"metrics": ["segment_1s_er"]}, "metrics of a multiclass scene task"),
        ({"prediction_type": "multilabel"}, "metrics .* must not begin with top1_acc"),
        (
            {"prediction_type": "multilabel", "metrics": ["mAP", "pitch_acc"]},
            "metrics of a multilabel scene task .*, not pitch_acc",
        ),
        ({"embedding_type": "event"}, "an event task must have prediction_type 'multilabel'"),
        (
            {"embedding_type": "event", "prediction_type": "multilabel"},
            "metrics of a multilabel event task",
        ),
        ({"published_scores": [29.5, 74.1]}, "published_scores must be between 0 and 1"),
        ({"licence": "no licence"}, "licence is .*: it must be an SPDX expression"),
        ({"licence": "whatever"}, "licence is .*: it must be an SPDX expression"),
        ({"licence": "CC-BY-4.0 AND whatever"}, "licence is .*: it must be an SPDX expression"),
        ({"domain": "enviroment"}, "domain is 'enviroment': it must be 'environment'"),
        ({"domain": "Music"}, "domain is 'Music': it must be 'music'"),
        ({"split_clips": {"train": 9}}, "split_clips must name folds, at most 3"),
        ({"split_clips": dict.fromkeys("abcd", 1)}, "split_clips must name folds, at most 3"),
        (
            {"split_clips": dict.fromkeys("abc", 1)},
            "must add up to clips, which is 287; it",
        ),
        (
            {"split_mode": "trainvaltest", "folds": None, "split_clips": {"fold00": 95}},
            "split_clips may name train, valid, test with split_mode trainvaltest, not fold00",
        ),
        (
            {
                "split_mode": "trainvaltest",
                "folds": None,
                "n_test": 60,
                "split_clips": {"test": 61},
            },
            "test in split_clips must be equal to n_test, which is 60, not 61",
        ),
        ({"citation": "Someone 2020"}, "citation must be BibTeX"),
        ({"citation": "@misc{a, author = {B}, title = {C, year = {2020}}"}, "balanced braces"),
        ({"citation": "@misc{a, author = {B}, title = {C}}"}, "lacks the BibTeX field 'year'"),
        (
            {
                "sources": [
                    {"name": "a", "version": None, "url": None, "md5": "xyz", "sha256": None}
                ]
            },
            r"sources\[0\].md5 is 'xyz': it must be 32",
        ),
    ],
)
def test_a_card_that_does_not_fit_the_schema(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_card(text_with(**changes), NAME)


def test_a_card_inside_a_directory_is_read_wherever_it_is_named_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / f"{NAME}-v1-full"
    directory.mkdir()
    (directory / "card.yaml").write_text(text_with())
    monkeypatch.chdir(directory)
    assert card_in(Path(".")) == card_in(directory) == card(NAME)
    assert misplaced(card(NAME), Path(".")) is None
    directory.rename(tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    assert "but the folder is named copy" in (misplaced(card(NAME), Path("copy")) or "")


def test_a_card_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(UserError, match=r"card\.yaml cannot be read"):
        card_in(tmp_path)


@pytest.mark.parametrize("text", ["- a\n- b", ""])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=rf"{NAME}\.yaml must hold fields"):
        read_card(text, NAME)


def test_what_is_no_yaml_is_refused_by_line() -> None:
    with pytest.raises(UserError, match=rf"{NAME}\.yaml is not YAML: line 3"):
        read_card(f"name: {NAME}\ntitle: a\nsuite: b: c\n", NAME)


def test_a_field_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(UserError, match="field 'clips' occurs twice"):
        read_card(text_with() + "clips: 4\n", NAME)


def test_an_error_rate_and_d_prime_may_exceed_one() -> None:
    read = read_card(text_with(metrics=["d_prime"], published_scores=[0.5, 2.5]), NAME)
    assert read.published_scores == (0.5, 2.5)


# The table of https://hearbenchmark.com/hear-tasks.html: seconds, clips and folds.
HEAR_TABLE = {
    "dcase2016_task2": (120.0, 72, None),
    "nsynth_pitch_5h": (4.0, 5000, None),
    "nsynth_pitch_50h": (4.0, 49060, None),
    "speech_commands_5h": (1.0, 22890, None),
    "speech_commands_full": (1.0, 100503, None),
    "beehive_states_fold0": (600.0, 576, None),
    "beehive_states_fold1": (600.0, 576, None),
    "beijing_opera": (4.77, 236, 5),
    "tfds_crema_d": (5.0, 7438, 5),
    "esc50": (5.0, 2000, 5),
    "fsd50k": (None, 51185, None),
    "gunshot_triangulation": (1.5, 88, 7),
    "tfds_gtzan": (30.0, 1000, 10),
    "tfds_gtzan_music_speech": (30.0, 128, 10),
    "libricount": (5.0, 5720, 5),
    "maestro": (120.0, 185, 5),
    "mridangam_stroke": (0.81, 6977, 5),
    "mridangam_tonic": (0.81, 6977, 5),
    "vocal_imitation": (11.26, 5601, 3),
    "vox_lingua_top10": (18.64, 972, 5),
}


def test_hears_cards_say_what_hears_page_says() -> None:
    read = {c.name: (c.clip_seconds, c.clips, c.folds) for c in suites()["hear2021"]}
    assert read == HEAR_TABLE


def test_hears_two_beehives_count_to_one_of_nineteen_columns() -> None:
    names = [each.board_name for each in suites()["hear2021"]]
    assert len(set(names)) == 19
    assert names.count("Beehive") == 2


@pytest.mark.parametrize(
    "name", [c.name for s in ("hear2021", "byola-paper", "hear-extra") for c in suites()[s]]
)
def test_cards_of_others_work_name_it_and_warn(name: str) -> None:
    read = card(name)
    assert read.sources
    assert read.citation
    assert read.oddities
    assert read.facts_from
    assert (read.published_scores is None) == (read.suite == "hear-extra")
    assert (read.published is None) == (read.suite != "hear2021")
