"""YAML that people write: names stay as they were typed, and numbers are decimal.

YAML 1.1, which PyYAML reads, takes ``010`` for 8, ``1:30`` for 90, ``1_000`` for 1000 and ``no``
for false. Here a value without quotes is null, true, false, or a number, and all else is text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

from harness.core.errors import UserError

_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*|(?=\.[0-9]))(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 400  # characters, which no float needs
_CONSTANTS = re.compile(r"true|True|TRUE|false|False|FALSE|null|Null|NULL")
_MISREAD = re.compile(
    r"[-+]?0[0-9_]+(\.[0-9_]*)?([eE][-+]?[0-9]+)?"  # octal to YAML and C
    r"|[-+]?0[xXbBoO][0-9a-fA-F_]+"
    r"|[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # base 60 to YAML
    r"|[-+]?\.?(inf|nan)|yes|no|on|off|none|~",
    re.IGNORECASE,
)

RULE = (
    "true, false, null and decimal numbers are what they look like, all else is text; in quotes, "
    "everything is; 010, 0x10, 1_000, 1:30, yes, no, on, off, None and the like are refused, "
    "except as a name, which is taken as typed"
)
"""How :func:`option_value` reads a value."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a number as one only where writing it gives the same text, so that no name is lost.

    A key is text as it was typed; one that stands twice, of which YAML would keep the last without
    a word, is an error.
    """

    yaml_implicit_resolvers: dict[str, list] = {}  # noqa: RUF012 (PyYAML looks it up so)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """Return a mapping whose keys are text."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"field '{key.value}' stands there twice", key.start_mark
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


def load(text: str) -> Any:
    """Return what YAML text holds.

    Raises:
        ValueError: it is not YAML; the message names the line.
    """
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(said(error)) from error


def said(error: yaml.YAMLError) -> str:
    """Return what is wrong with YAML, and the line where that is known."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    what = getattr(error, "problem", None) or getattr(error, "context", None)
    return f"{where}{what or error}"


def option_value(text: str, expand: Callable[[str], str] = str) -> bool | int | float | str | None:
    """Return the value of an option as typed on a command line, by the rule of :data:`RULE`.

    Args:
        text: what was typed, without blanks at its ends.
        expand: applied to text without quotes.

    Raises:
        UserError: text that another reader would take for something else, or a list or mapping;
            the message ends the sentence "The option ... has the value ...: ".
    """
    if unquoted(text) != text:
        return unquoted(text)
    if _CONSTANTS.fullmatch(text):
        return {"true": True, "false": False, "null": None}[text.lower()]
    if _DECIMAL.fullmatch(text):
        if not math.isfinite(float(text)) or len(text) > _LONGEST_NUMBER:
            raise UserError("the number is too large")
        return float(text) if set(text) & set(".eE") else int(text)
    if _MISREAD.fullmatch(text):
        raise UserError(f"{_instead(text)}, or quotes around it, '{text}', for text")
    if not text or (text[0] + text[-1]) in ("[]", "{}"):
        raise UserError("give one number, one text or true/false")
    return expand(text)


def unquoted(text: str) -> str:
    """Return text without the quotes around it, if there are any."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _instead(text: str) -> str:
    """Return what to write instead of a value that readers disagree on."""
    words = {
        "yes": "true",
        "on": "true",
        "no": "false",
        "off": "false",
        "none": "null",
        "~": "null",
    }
    if word := words.get(text.lower()):
        return f"write {word}"
    stripped = re.sub(r"^([-+]?)0+(?=[0-9])", r"\1", text.replace("_", ""))
    if _DECIMAL.fullmatch(stripped):
        return f"write {stripped} for the number"
    return "write a decimal number"
