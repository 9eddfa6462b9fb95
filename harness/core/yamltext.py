"""Read YAML files, by :mod:`hear_byola.core.yamltext`, and options of a command line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from harness.core.errors import UserError, did_you_mean_path
from hear_byola.core.yamltext import Loader, load, said

__all__ = ["RULE", "Loader", "load", "load_file", "option_value", "said", "unquoted"]

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
    "true, false, null and decimal numbers are read as such, all else and everything in quotes as "
    "text; ambiguous values (010, 0x10, 1_000, 1:30, yes, no, on, off, None and the like) are "
    "refused, except as a name, which is taken as typed"
)
"""How :func:`option_value` reads a value."""


def load_file(path: Path, what: str) -> object:
    """Return the content of a YAML file.

    Args:
        path: the file.
        what: the file is, for errors: "config".

    Raises:
        UserError: no such file, it cannot be read, or it is not YAML.
    """
    try:
        return load(path.read_text("utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        near = did_you_mean_path(path, "*.yaml")
        raise UserError(f"There is no {what} '{path}'.{near}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {error}.") from error


def option_value(text: str, expand: Callable[[str], str] = str) -> bool | int | float | str | None:
    """Return the value of an option as typed on a command line, by the rule of :data:`RULE`.

    Args:
        text: what was typed, without blanks at its ends.
        expand: applied to text without quotes.

    Raises:
        UserError: the text is ambiguous, or it is a list or mapping. The message ends the sentence
            "The option ... has the value ...: ".
    """
    if unquoted(text) != text:
        return unquoted(text)
    if _CONSTANTS.fullmatch(text):
        return {"true": True, "false": False, "null": None}[text.lower()]
    if _is_number(text):
        return float(text) if set(text) & set(".eE") else int(text)
    if _MISREAD.fullmatch(text):
        raise UserError(f"{_instead(text)}, or quotes around it, '{text}', for text")
    if not text or (text[0] + text[-1]) in ("[]", "{}"):
        raise UserError("give one number, one text or true/false")
    return expand(text)


def _is_number(text: str) -> bool:
    """Return whether text is a decimal number that a float can hold; others are text."""
    return (
        len(text) <= _LONGEST_NUMBER
        and bool(_DECIMAL.fullmatch(text))
        and math.isfinite(float(text))
    )


def unquoted(text: str) -> str:
    """Return text without the quotes around it, if there are any."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _instead(text: str) -> str:
    """Return what to write instead of an ambiguous value."""
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
