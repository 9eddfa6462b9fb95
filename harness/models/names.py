"""Names of HEAR modules: the short names of built-in ones, and names in tables.

Nothing here imports torch: commands that only read names start faster.
"""

from __future__ import annotations

import filecmp
import functools
import importlib.util
import os
import pkgutil
from pathlib import Path
from types import ModuleType

import harness.baselines
import harness.models.adapters
from harness.core.errors import UserError


@functools.cache
def adapters() -> dict[str, str]:
    """Return the short names of the adapters of other toolkits, with their import names."""
    return _modules_in(harness.models.adapters)


@functools.cache
def built_in_modules() -> dict[str, str]:
    """Return the short names of built-in modules, with their import names.

    These are ``hear_byola``, the adapters of other toolkits and the baselines.
    """
    return {"hear_byola": "hear_byola", **adapters(), **_modules_in(harness.baselines)}


def _modules_in(room: ModuleType) -> dict[str, str]:
    return {
        each.name: f"{room.__name__}.{each.name}" for each in pkgutil.iter_modules(room.__path__)
    }


def import_name(name: str) -> str:
    """Return the import name of a built-in module for its short name; other names unchanged."""
    return built_in_modules().get(name, name)


def refuse_ambiguous(name: str) -> None:
    """Refuse the short name of a built-in module if another module of this name can be meant.

    A copy of the built-in module, which the working directory has in a checkout, is no other one.

    Raises:
        UserError: the working directory has another module of this name.
    """
    full = built_in_modules().get(name)
    if full is None:
        return
    single = Path(f"{name}.py")
    for path, file in ((single, single), (Path(name), Path(name, "__init__.py"))):
        if file.is_file() and not _is_copy(file, full):
            built_in = f"give {full}" if full != name else "use another working directory"
            raise UserError(
                f"'{name}' is a built-in module, and the working directory has '{path}'. Give "
                f".{os.sep}{path} for that one. For the built-in one, {built_in}."
            )


def _is_copy(file: Path, module: str) -> bool:
    """Return whether a file, or the package of an ``__init__.py``, has the source of a module."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return False
    origin = Path(spec.origin)
    if file.samefile(origin):
        return True
    equal = filecmp.cmp(file, origin, shallow=False)
    if not equal or file.name != "__init__.py":
        return equal
    one, other = _source_of(file.parent), _source_of(origin.parent)
    return one.keys() == other.keys() and all(
        filecmp.cmp(one[name], other[name], shallow=False) for name in one
    )


def _source_of(package: Path) -> dict[Path, Path]:
    """Return the source files of a package by their path in it."""
    found = package.rglob("*.py")
    return {path.relative_to(package): path for path in found if path.is_file()}


def short_name(module: str) -> str:
    """Return the name of a module without the path of its file or folder."""
    path = Path(module).absolute()
    if path.name == "__init__.py":
        return path.parent.name
    if path.suffix == ".py":
        return path.stem
    return path.name if os.sep in module else module
