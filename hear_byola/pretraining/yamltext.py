"""YAML of configs: names stay as they were typed, and no number is read as octal or base 60.

The package stands alone, so it has a reader of its own beside that of the harness.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Reads a number as one only where writing it gives the same text; keys are text."""

    yaml_implicit_resolvers: dict[str, list] = {}  # noqa: RUF012 (PyYAML looks it up so)

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)

    def _number(self, node: yaml.ScalarNode) -> int | float | str:
        text = node.value
        number = int(text) if text.lstrip("-").isdecimal() else float(text)
        return number if str(number) == text else text


_Loader.add_implicit_resolver(
    "!number", re.compile(r"-?[0-9]{1,400}(\.[0-9]+)?(e[-+][0-9]+)?$"), list("-0123456789")
)
_Loader.add_constructor("!number", _Loader._number)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"(?:<<)$"), ["<"])


def load(text: str) -> Any:
    """What YAML text holds; a number that is written in an unusual way stays text.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return yaml.load(text, _Loader)
