"""Import HEAR-API modules, and hash their source and checkpoints."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

from harness.core.errors import UserError, did_you_mean, did_you_mean_path, nearest
from harness.core.hashing import content_sha256, file_sha256, sha256_of
from harness.models.guest import Guest, ModuleExit, exits_refused
from harness.models.names import built_in_modules, import_name
from harness.models.source import Source, find_source


def import_hear_module(name: str) -> ModuleType:
    """Import a module by name, from the environment or the working directory, or by its path.

    The short name of a built-in module (:mod:`harness.models.names`) is an import name, too. A path
    is that of a ``.py`` file or of a package's folder. The working directory (for a path, the
    folder of the file or the package) is added to the **end** of ``sys.path``, so that its files,
    for example a folder ``tasks``, do not hide installed packages.

    Raises:
        UserError: the module does not exist; it imports something that is missing; it fails or ends
            the process; its source has changed since this process imported it; it imports code by a
            name that other code in this process already has.
    """
    guest = Guest(name)
    before = set(sys.path)
    with guest.called():
        module = _import(import_name(name))
    if module.__name__ not in _guests:
        guest.changed_by_import = guest.changed
        _guests[module.__name__] = guest
    if getattr(module, "__file__", None) is None:
        raise UserError(
            f"'{name}' is not a HEAR-API module: it has no Python file of its own (a plain folder, "
            f"or part of Python). Give {_NAMES}."
        )
    _refuse_mixed_code(name, module, find_source(module))
    for folder in set(sys.path) - before:
        _folder_of.setdefault(os.path.abspath(folder), name)
    source = source_sha256(module)
    if _source_at_import.setdefault(module.__name__, source) != source:
        raise UserError(
            f"The source of '{name}' has changed since this process imported it: start Python "
            "again to run the new code."
        )
    return module


def guest_of(module: ModuleType) -> Guest:
    """Return the :class:`Guest` through which an imported module's code must be called."""
    return _guests.setdefault(module.__name__, Guest(module.__name__))


_guests: dict[str, Guest] = {}
"""By module name: Python imports a module once, and what its import changed is seen only then."""

_folder_of: dict[str, str] = {}
"""The folders that imports have added to ``sys.path``, with the name of the HEAR module."""


def _refuse_mixed_code(name: str, module: ModuleType, source: Source) -> None:
    """Refuse a module that got another module's code, because Python imports each name once."""
    for top, path in source.own.items():
        loaded = getattr(sys.modules.get(top), "__file__", None)
        if loaded is None or os.path.abspath(loaded) == str(path):
            continue
        folder = Path(os.path.abspath(loaded)).parent
        folder = folder.parent if Path(loaded).name == "__init__.py" else folder
        if module.__package__ or str(folder) in _folder_of:
            raise UserError(
                f"The module '{name}' imports '{top}' from {path}, but this process already uses "
                f"{loaded} under that name. Evaluate the models in separate commands with one "
                "--out, or give one of the two files another name."
            )


_NAMES = "an import name, or the path of a .py file or of a package's folder"

_source_at_import: dict[str, str] = {}
"""Hash of the source of each imported module: fingerprints hash the source on disk, which must be
the code that this process imported."""


def _import(name: str) -> ModuleType:
    if name.endswith(".py"):
        return _import_file(Path(name))
    if os.sep in name and Path(name).is_dir():
        return _import_folder(Path(name))
    _append_to_path(Path.cwd())
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
        raise _no_such_module(name)
    try:
        with exits_refused():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise _no_such_module(name) from None
        raise _failed(name, error) from error
    except Exception as error:  # a module can raise any exception
        raise _failed(name, error) from error


def _import_folder(path: Path) -> ModuleType:
    if (path / "__init__.py").is_file():
        return _import_file(path / "__init__.py")
    files = sorted(each.name for each in path.glob("*.py"))
    hint = f" It contains {files[0]}: give {path / files[0]}." if files else ""
    raise UserError(
        f"The folder '{path}' is not a package: it has no __init__.py, which must define "
        f"load_model, get_scene_embeddings and get_timestamp_embeddings.{hint}"
    )


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(
            f"There is no module file '{path}'.{did_you_mean_path(path, '*.py')}"
            f"{comma_hint(str(path))}"
        )
    typed, path = path, path.resolve()
    _append_to_path(path.parents[path.name == "__init__.py"])
    # Use a unique name: a module with the file's name may be loaded already.
    name = f"hear_module_{content_sha256(str(path))[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with exits_refused():
            spec.loader.exec_module(module)
    except BaseException as error:  # also an interrupt: a half-imported module must not remain
        del sys.modules[name]
        if isinstance(error, Exception):
            raise _failed(str(typed), error) from error
        raise
    return module


def _append_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()


def _failed(name: str, error: Exception) -> UserError:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return UserError(
            f"The module '{name}' was found, but it imports '{error.name}', which is not "
            f"installed here: install it, or leave that import out."
        )
    if isinstance(error, ModuleExit):
        return UserError(
            f"Importing '{name}' failed: {error}. A HEAR module must not end the "
            "process or read the command line when it is imported: move that under "
            'if __name__ == "__main__".'
        )
    return UserError(f"Importing '{name}' failed: {type(error).__name__}: {error}")


def comma_hint(name: str) -> str:
    """Return advice on options for a module or a checkpoint that does not exist; else ""."""
    return " Write each option after a comma as KEY=VALUE." if "," in name else ""


def _no_such_module(name: str) -> UserError:
    near = [*built_in_modules().values(), *built_in_modules()]
    by_last_part = {full.rpartition(".")[2]: full for full in near}
    near += [m.name for m in pkgutil.iter_modules([str(Path.cwd())])]
    parent = name.rpartition(".")[0]
    if parent in sys.modules:
        inside = getattr(sys.modules[parent], "__path__", ())
        near += [m.name for m in pkgutil.iter_modules(inside, f"{parent}.")]
    hint = did_you_mean(by_last_part.get(name, name), near)
    if not hint and (installed := _installed_like(name)):
        hint = did_you_mean(name, [installed])
    hint += comma_hint(name)
    return UserError(
        f"There is no module '{name}', neither installed nor in the working directory.{hint} "
        f"Give {_NAMES}, of a module that follows the HEAR API."
    )


def _installed_like(name: str) -> str:
    """Return the installed module with the nearest name, not one of the standard library."""
    names = {m.name for m in pkgutil.iter_modules()} - sys.stdlib_module_names
    public = sorted(name for name in names if not name.startswith("_"))
    # A high threshold: among hundreds of packages some name is always similar.
    return nearest(name, public, 0.8)


def checkpoint_sha256(checkpoint: str) -> str:
    """Return the sha256 of a checkpoint's content, a file or folder; empty without checkpoint.

    Of a folder, hidden files and folders (``.git``) and texts (``*.md``) do not count.
    """
    path = Path(checkpoint)
    if not checkpoint or not path.exists():  # a name on a hub
        return ""
    if path.is_file():
        return file_sha256(path)
    names = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
    kept = [
        name
        for name in names
        if name.suffix.lower() != ".md" and not any(part.startswith(".") for part in name.parts)
    ]
    return sha256_of([[name.as_posix(), file_sha256(path / name)] for name in kept])


def source_sha256(module: ModuleType) -> str:
    """Return the sha256 of the Python source of a module, as :mod:`harness.models.source` finds it.

    The order of the files does not matter.
    """
    named = sorted((name, file_sha256(path)) for name, path in find_source(module).files)
    return sha256_of(named)
