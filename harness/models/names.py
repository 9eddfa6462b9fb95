"""Names of HEAR modules: the short names of built-in ones, and names in tables.

Nothing here imports torch: commands that only read names start faster.
"""

from __future__ import annotations

import functools
import os
import pkgutil
from pathlib import Path

import harness.baselines
import harness.models.adapters
from harness.core.errors import UserError


@functools.cache
def built_in_modules() -> dict[str, str]:
    """Return the short names of built-in modules, with their import names.

    These are the adapters of other toolkits and the baselines.
    """
    rooms = (harness.models.adapters, harness.baselines)
    return {
        each.name: f"{room.__name__}.{each.name}"
        for room in rooms
        for each in pkgutil.iter_modules(room.__path__)
    }


def import_name(name: str) -> str:
    """Return the import name of a built-in module for its short name; other names unchanged.

    Raises:
        UserError: the working directory has a module of this name, so that either can be meant.
    """
    full = built_in_modules().get(name)
    if full is None:
        return name
    for own in (Path(f"{name}.py"), Path(name, "__init__.py")):
        if own.is_file():
            path = own if own.suffix == ".py" and own.parent == Path() else own.parent
            raise UserError(
                f"'{name}' is a built-in module, and the working directory has '{path}'. Give "
                f".{os.sep}{path} for that one, or {full} for the built-in one."
            )
    return full


def short_name(module: str) -> str:
    """Return the name of a module without the path of its file or folder."""
    path = Path(module).absolute()
    if path.name == "__init__.py":
        return path.parent.name
    if path.suffix == ".py":
        return path.stem
    return path.name if os.sep in module else module
