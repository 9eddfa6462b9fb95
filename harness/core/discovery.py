"""Registries that fill themselves: the named objects that the modules of a package define."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Protocol, TypeVar


class Named(Protocol):
    """An object that a registry holds."""

    @property
    def name(self) -> str:
        """The key in the registry."""


Kind = TypeVar("Kind", bound=Named)


def defined_in(package: ModuleType, kind: type[Kind]) -> dict[str, Kind]:
    """Return by name the objects of a kind in the modules of a package, modules by alphabet.

    A module may import an object that another one defines.

    Raises:
        ValueError: two objects have one name.
    """
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, kind) and found.setdefault(value.name, value) is not value:
                raise ValueError(f"{module.name} defines '{value.name}' a second time")
    return found
