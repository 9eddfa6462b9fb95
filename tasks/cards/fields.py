"""A YAML file of fields: read and written, and readers of its values.

A reader's error names the field, what is allowed there, and what was found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import yaml

from harness.core import yamltext
from harness.core.errors import did_you_mean

Reader = Callable[[Any, str], Any]
"""Takes a raw value and its field's name; returns the value to keep, or raises ValueError."""

_WIDTH = 96  # characters, at which written sentences are folded
_MOST = 2**53  # up to here every whole number is a float


def load(yaml_text: str) -> Any:
    """Return what YAML text holds.

    Raises:
        ValueError: it is not YAML (with the line), or a field stands there twice, of which a
            YAML parser would silently drop one.
    """
    try:
        return yaml.load(yaml_text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {yamltext.said(error)}.") from error


class _Loader(yamltext.Loader):
    """Reads every decimal number as one: the names on a card must be text anyway."""


_Loader.add_constructor(
    "!number",
    lambda _, node: int(node.value) if node.value.lstrip("-").isdecimal() else float(node.value),
)


def dump(fields: Mapping[str, Any]) -> str:
    """Return YAML text of fields, which :func:`load` reads back, tuples as lists."""
    return yaml.dump(
        _plain(fields), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH
    )


class _Dumper(yaml.SafeDumper):
    """Writes words on one line, and sentences without the quotes that YAML would need."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    sentence = len(value) > 60 and (": " in value or " #" in value)
    style = "|" if "\n" in value else ">" if sentence else '"' if ": " in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    short = all(isinstance(value, int | float) or str(value).isidentifier() for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=short)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def wrong(field: str, allowed: str, raw: object) -> ValueError:
    """Return the error for a value that is not allowed in a field."""
    return ValueError(f"field '{field}' must be {allowed}, not {raw!r}.")


def text(raw: Any, field: str) -> str:
    """Read text that is not blank."""
    if not isinstance(raw, str) or not raw.strip():
        raise wrong(field, "text", raw)
    return raw.strip()


def number(raw: Any, field: str) -> float:
    """Read a number from 0 to 2**53."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= _MOST:
        raise wrong(field, "a number from 0 up", raw)
    return float(raw)


def count(raw: Any, field: str) -> int:
    """Read a whole number from 1 to 2**53."""
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= _MOST:
        raise wrong(field, "a whole number from 1 up", raw)
    return raw


def interval(raw: Any, field: str) -> tuple[float, float]:
    """Read a list of two numbers, the smaller one first."""
    if not isinstance(raw, list) or len(raw) != 2:
        raise wrong(field, "[lowest, highest]", raw)
    low, high = (number(value, field) for value in raw)
    if low > high:
        raise wrong(field, "[lowest, highest]", raw)
    return low, high


def matching(pattern: str, allowed: str) -> Reader:
    """Read text of a form; ``allowed`` describes it in the error."""

    def read(raw: Any, field: str) -> str:
        if not isinstance(raw, str) or not re.fullmatch(pattern, raw):
            raise wrong(field, allowed, raw)
        return raw

    return read


def group_pattern(raw: Any, field: str) -> str:
    """Read a regular expression with one capture group."""
    try:
        groups = re.compile(raw).groups if isinstance(raw, str) else 0
    except re.error as error:
        raise ValueError(f"field '{field}' is no regular expression: {error}.") from error
    if groups != 1:
        raise wrong(field, "a regular expression with one capture group", raw)
    return str(raw)


def one_of(choices: Sequence[str]) -> Reader:
    """Read one of several words."""

    def read(raw: Any, field: str) -> str:
        if raw not in choices:
            raise wrong(field, f"one of {', '.join(choices)}", raw)
        return str(raw)

    return read


def or_null(reader: Reader) -> Reader:
    """Read what ``reader`` reads, or null for what is not known."""
    return lambda raw, field: None if raw is None else reader(raw, field)


def list_of(reader: Reader, shortest: int = 0) -> Reader:
    """Read a list into a tuple."""

    def read(raw: Any, field: str) -> tuple[Any, ...]:
        if not isinstance(raw, list) or len(raw) < shortest:
            raise wrong(field, f"a list of {shortest} or more", raw)
        return tuple(reader(value, f"{field}[{i}]") for i, value in enumerate(raw))

    return read


def counts(raw: Any, field: str) -> dict[str, int]:
    """Read a mapping of names to whole numbers from 1 up."""
    if not isinstance(raw, dict) or not all(isinstance(name, str) for name in raw):
        raise wrong(field, "names and whole numbers", raw)
    return {name: count(value, f"{field}.{name}") for name, value in raw.items()}


def record(
    schema: Mapping[str, Reader],
    make: Callable[..., Any] = dict,
    optional: Mapping[str, Reader] = MappingProxyType({}),
) -> Reader:
    """Read a mapping that has all the schema's keys, and hand its values to ``make``.

    It may also have ``optional`` keys, and no others.
    """
    known = {**schema, **optional}

    def read(raw: Any, field: str) -> Any:
        prefix = f"{field}." if field else ""
        if not isinstance(raw, dict):
            raise ValueError(f"{field or 'it'} must hold fields and values, not {raw!r}.")
        for key in raw:
            if key not in known:
                raise ValueError(
                    f"there is no field '{prefix}{key}'.{did_you_mean(str(key), known)}"
                )
        for key in schema:
            if key not in raw:
                raise ValueError(f"field '{prefix}{key}' is missing (null when not known).")
        return make(**{key: known[key](raw[key], prefix + key) for key in known if key in raw})

    return read
