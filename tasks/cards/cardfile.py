"""Read and write the YAML file of a task card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.core import yamltext
from harness.core.errors import UserError
from harness.core.files import write_file
from hear_byola.core import schema
from tasks.cards.card import CARD, OPTIONAL, Card
from tasks.cards.checks import disagreements

_WIDTH = 96  # characters in a line; longer sentences are folded


def read_card(yaml_text: str, name: str | None, path: Path | None = None) -> Card:
    """Read a card's YAML, check it against the schema, and check its fields against each other.

    Args:
        yaml_text: the file's content.
        name: the required value of ``name``: the file's name without ``.yaml``; None for any.
        path: path of the file, for errors; ``<name>.yaml`` if None.

    Raises:
        UserError: the card is invalid; the message names the file and, for each fault, the field,
            what is allowed and what was found.
    """
    source = f"The card {path or f'{name}.yaml'}"
    try:
        content = yamltext.load(yaml_text)
    except ValueError as error:
        raise UserError(f"{source} is not YAML: {error}.") from error
    card = schema.read(Card, content, source, UserError)
    faults = list(disagreements(card))
    if name not in (None, card.name):
        faults.insert(0, f"name must be '{name}', the name of the file, not '{card.name}'.")
    if faults:
        raise UserError(schema.listed(source, faults))
    return card


def read_card_file(path: Path, name: str | None) -> Card:
    """Read a card's file.

    Raises:
        UserError: it cannot be read, or as :func:`read_card`.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The card {path} cannot be read: {error}.") from error
    return read_card(text, name, path)


def write_card(card: Card) -> str:
    """Return a card as YAML from which :func:`read_card` returns the same card."""
    fields = card.model_dump(mode="json")
    return to_yaml({key: value for key, value in fields.items() if value or key not in OPTIONAL})


def card_in(directory: Path) -> Card | None:
    """Return the card inside a task directory, or None if it has none.

    Raises:
        UserError: as :func:`read_card_file`.
    """
    path = directory / CARD
    return read_card_file(path, None) if path.is_file() else None


def add_card(card: Card, directory: Path) -> bool:
    """Write a card into a task directory that has none, and return whether it was written.

    An existing card is kept, because a user may have edited it.
    """
    path = directory / CARD
    if path.exists():
        return False
    write_file(path, write_card(card))
    return True


def misplaced(card: Card, directory: Path) -> str | None:
    """Return an error message if a card does not belong to its task directory, else None."""
    name = directory.resolve().name
    if card.directory == name:
        return None
    return (
        f"{directory / CARD} is the card of {card.directory}, but the folder is named {name}. "
        "Rename the folder, or change 'name' and 'directory' on the card."
    )


def to_yaml(fields: dict[str, Any]) -> str:
    """Return fields of plain values as YAML text."""
    return yaml.dump(fields, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


class _Dumper(yaml.SafeDumper):
    """Writes lists of words on one line, and long sentences in block style without quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    sentence = len(value) > 60 and (": " in value or " #" in value)
    style = "|" if "\n" in value else ">" if sentence else '"' if ": " in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)


def _represent_list(dumper: yaml.SafeDumper, values: Sequence[Any]) -> yaml.SequenceNode:
    short = all(isinstance(value, int | float) or str(value).isidentifier() for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=short)


_Dumper.add_multi_representer(str, _represent_text)  # for enumerations, which subclass str
_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(tuple, _represent_list)
