"""Read the cards that come with the package: the YAML files in ``data``.

A card has every field of :class:`tasks.cards.card.Card`; unknown values are ``null``. To add a
task, add its file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from harness.core.errors import UserError, did_you_mean
from tasks.cards.card import Card
from tasks.cards.cardfile import read_card_file

_FOLDER = Path(__file__).with_name("data")


@cache
def cards() -> Mapping[str, Card]:
    """Return all valid cards by name, in alphabetical order; warn of invalid cards."""
    found = {}
    for name, path in _files().items():
        try:
            found[name] = read_card_file(path, name)
        except UserError as error:
            # Other tasks must stay usable while somebody writes a new card.
            warnings.warn(f"{error} It is left out.", stacklevel=2)
    return MappingProxyType(found)


def is_card(name: str) -> bool:
    """Return whether there is a card of that name, valid or invalid."""
    return name in cards() or name in _files()


def _files() -> Mapping[str, Path]:
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def card(name: str) -> Card:
    """Return the card of that name.

    Raises:
        UserError: there is no such card, or as :func:`tasks.cards.cardfile.read_card_file`.
    """
    found = cards().get(name)
    if found is None and (path := _files().get(name)) is not None:
        return read_card_file(path, name)
    if found is None:
        raise UserError(
            f"There is no task '{name}' with a card.{did_you_mean(name, cards())} "
            "`hear-byola tasks list` lists all tasks."
        )
    return found


def card_of_directory(directory_name: str) -> Card | None:
    """Return the card of the task directory of that name, or None if there is none."""
    return next((each for each in cards().values() if each.directory == directory_name), None)


def suites() -> Mapping[str, tuple[Card, ...]]:
    """Return the cards of each suite, in alphabetical order."""
    found: dict[str, tuple[Card, ...]] = {}
    for each in cards().values():
        found[each.suite] = (*found.get(each.suite, ()), each)
    return found
