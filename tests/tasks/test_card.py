from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml

from harness.errors import UserError
from tasks.card import Published, card, cards, read_card, suites

NAME = "demo_guitar_chord"


def text_with(**changes: Any) -> str:
    """The guitar card's YAML with fields changed, added, or (with ...) removed."""
    fields = yaml.safe_load((files("tasks") / f"{NAME}.yaml").read_text()) | changes
    return yaml.safe_dump({key: value for key, value in fields.items() if value is not ...})


def test_every_card_is_read_and_named_like_its_file() -> None:
    assert all(name == read.name for name, read in cards().items())
    assert list(cards()) == sorted(cards())


def test_cards_of_a_directory_are_unique() -> None:
    directories = [each.directory for each in cards().values()]
    assert len(set(directories)) == len(directories)


def test_suites_hold_every_card_once() -> None:
    assert sorted(each.name for group in suites().values() for each in group) == list(cards())
    assert len(suites()["demo"]) == 5


def test_an_unknown_task_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'demo_guitar_chord'"):
        card("demo_gitar_chord")


def test_what_is_not_known_may_be_null() -> None:
    nothing = dict.fromkeys(["clips", "classes", "hours", "n_test", "licence", "clip_seconds"])
    assert read_card(text_with(**nothing), NAME).clips is None


def test_published_and_scores_are_read() -> None:
    changed = text_with(
        published={"record": "5887964", "file": "a.tar.gz"}, published_scores=[0, 1]
    )
    read = read_card(changed, NAME)
    assert read.published == Published("5887964", "a.tar.gz")
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
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_refused_by_the_fields_name(field: str) -> None:
    with pytest.raises(UserError, match=rf"{NAME}\.yaml.*'{field}'"):
        read_card(text_with(**{field: WRONG[field]}), NAME)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ...}, "field 'classes' is missing"),
        ({"clases": 3}, "no field 'clases'. Did you mean 'classes'"),
        ({"folds": None}, "'folds'"),
        ({"split_mode": "trainvaltest"}, "'folds'"),
        ({"name": "other"}, "'name' must be 'demo_guitar_chord'"),
        ({"sources": [{"name": "a"}]}, r"'sources\[0\].version' is missing"),
        ({"published": {"record": 5887964, "file": "a"}}, "'published.record' must be text"),
        (
            {
                "sources": [
                    {"name": "a", "version": None, "url": None, "md5": "xyz", "sha256": None}
                ]
            },
            r"'sources\[0\].md5' must be 32",
        ),
    ],
)
def test_a_card_that_does_not_fit_the_schema(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_card(text_with(**changes), NAME)


@pytest.mark.parametrize("text", ["- a\n- b", "name: [", ""])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=rf"{NAME}\.yaml"):
        read_card(text, NAME)
