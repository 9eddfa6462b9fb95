"""Read YAML that people write: names stay as they were typed, and numbers are decimal.

YAML 1.1, which PyYAML reads, takes ``010`` for 8, ``1:30`` for 90, ``1_000`` for 1000 and ``no``
for false. Here a value without quotes is null, true, false, or a number, and all else is text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads text as a number only if writing the number gives the same text.

    A key is the text that was typed. A key that occurs twice is an error; PyYAML silently keeps
    the last.
    """

    yaml_implicit_resolvers: dict[str, list] = {}  # noqa: RUF012 (PyYAML looks it up so)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """Return a mapping whose keys are text."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"field '{key.value}' occurs twice", key.start_mark
                )
            seen.add(key.value)
            if key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)

    def _number(self, node: yaml.ScalarNode) -> int | float | str:
        text = node.value
        number = int(text) if text.lstrip("-").isdecimal() else float(text)
        return number if str(number) == text else text


Loader.add_implicit_resolver(
    "!number", re.compile(r"-?[0-9]{1,400}(\.[0-9]+)?(e[-+][0-9]+)?$"), list("-0123456789")
)
Loader.add_constructor("!number", Loader._number)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"(?:<<)$"), ["<"])


_DEEPEST = 50
"""Levels of lists and mappings."""

_MOST_VALUES = 100_000
"""Values, counted as often as aliases (``*name``) repeat them."""


def load(text: str, loader: type[yaml.SafeLoader] = Loader) -> Any:
    """Return the content of YAML text.

    Args:
        text: the text.
        loader: a safe loader: it makes no objects but those of YAML's own tags, and runs no code.

    Raises:
        ValueError: it is not YAML, or nested too deeply or too large for what people write; the
            message names the line.
    """
    try:
        _refuse_excess(text)
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(said(error)) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"a value does not fit its tag ({type(error).__name__})") from error


def _refuse_excess(text: str) -> None:
    """Refuse text whose content would exhaust the stack or the memory.

    Raises:
        YAMLError: it would.
    """
    sizes: dict[str, int] = {}  # number of values below each anchor
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the number of values before it
    values = 0
    for event in yaml.parse(text, Loader):
        if isinstance(event, yaml.NodeEvent):
            is_alias = isinstance(event, yaml.AliasEvent)
            # An unknown anchor contains itself, or does not exist, which the loader reports.
            values += sizes.get(event.anchor or "", _MOST_VALUES) if is_alias else 1
            if isinstance(event, yaml.ScalarEvent) and event.anchor:
                sizes[event.anchor] = 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, values))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = values - before + 1
        if len(open_nodes) > _DEEPEST or values > _MOST_VALUES:
            raise yaml.composer.ComposerError(
                problem=f"more than {_DEEPEST} levels or {_MOST_VALUES:,} values, or an alias of "
                "a value that contains it",
                problem_mark=event.start_mark,  # type: ignore[arg-type]
            )


def said(error: yaml.YAMLError) -> str:
    """Return what is wrong with YAML, with the line if it is known."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    what = getattr(error, "problem", None) or getattr(error, "context", None)
    return f"{where}{what or error}"
