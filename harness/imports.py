"""Finding the code of a HEAR-API module, and hashing what it is made of."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import harness.baselines
from harness.errors import UserError, did_you_mean


def import_hear_module(name: str) -> ModuleType:
    """Import a module by name, from the environment or the working directory, or a ``.py`` file.

    The working directory (for a file: the file's own) goes to the **end** of ``sys.path``: what
    it holds under the name of something installed, a folder ``tasks`` for instance, hides nothing.

    Raises:
        UserError: there is no such module; it imports something that is missing; it fails; its
            source is no longer what this process once imported.
    """
    module = _import(name)
    if getattr(module, "__file__", None) is None:
        raise UserError(
            f"'{name}' is not a HEAR-API module: it has no Python file of its own (a plain folder, "
            "or part of Python). Give an import name or the path of a .py file."
        )
    source = source_sha256(module)
    if _source_at_import.setdefault(module.__name__, source) != source:
        raise UserError(
            f"The source of '{name}' has changed since this process imported it: start Python "
            "again, so that the new code is what runs."
        )
    return module


# A process runs the code that it imported, and fingerprints hash the source on disk: both must
# be the same.
_source_at_import: dict[str, str] = {}


def _import(name: str) -> ModuleType:
    if name.endswith(".py"):
        return _import_file(Path(name))
    _append_to_path(Path.cwd())
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
        raise _no_such_module(name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise _no_such_module(name) from None
        raise _failed(name, error) from error
    except Exception as error:
        raise _failed(name, error) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UserError(f"There is no module file '{path}'.{did_you_mean(path.name, beside)}")
    path = path.resolve()
    _append_to_path(path.parent)
    # A name of its own: the file may be called like a module that is loaded already.
    name = f"hear_module_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _failed(str(path), error) from error
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
    return UserError(f"Importing the module '{name}' failed: {type(error).__name__}: {error}")


def _no_such_module(name: str) -> UserError:
    baselines = pkgutil.iter_modules(harness.baselines.__path__, "harness.baselines.")
    near = ["hear_byola", *(m.name for m in baselines)]
    by_last_part = {full.rpartition(".")[2]: full for full in near}
    near += [m.name for m in pkgutil.iter_modules([str(Path.cwd())])]
    parent = name.rpartition(".")[0]
    if parent in sys.modules:
        inside = getattr(sys.modules[parent], "__path__", ())
        near += [m.name for m in pkgutil.iter_modules(inside, f"{parent}.")]
    hint = did_you_mean(by_last_part.get(name, name), near)
    hint = hint or did_you_mean(name, (m.name for m in pkgutil.iter_modules()))
    return UserError(
        f"There is no module '{name}', neither installed nor in the working directory.{hint} "
        "Give an import name or the path of a .py file that follows the HEAR API."
    )


def sha256_of(record: object) -> str:
    """Sha256 of a JSON value in its canonical form: sorted keys, no spaces."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Sha256 of a file's content."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def checkpoint_sha256(checkpoint: str) -> str:
    """Sha256 of a checkpoint's content, file or folder; empty for no checkpoint."""
    path = Path(checkpoint)
    if not checkpoint:
        return ""
    if path.is_file():
        return file_sha256(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return sha256_of([[p.relative_to(path).as_posix(), file_sha256(p)] for p in files])


def source_sha256(module: ModuleType) -> str:
    """Sha256 of the Python source that a module consists of.

    For a package or a module inside one: every ``.py`` file of that package. For a single file:
    the file and, by the import statements in it, the files and packages beside it.
    """
    file = Path(str(module.__file__)).resolve()
    root = file.parent
    files = {file, *root.rglob("*.py")} if module.__package__ else set(_with_neighbours(file))
    named = sorted((p.relative_to(root).as_posix(), file_sha256(p)) for p in files)
    return sha256_of(named)


def _with_neighbours(file: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    queue = [file]
    while queue:
        source = queue.pop()
        if source in seen:
            continue
        seen.add(source)
        yield source
        for name in _imported(source):
            package = file.parent / name
            if package.with_suffix(".py").is_file():
                queue.append(package.with_suffix(".py"))
            elif (package / "__init__.py").is_file():
                queue.extend(package.rglob("*.py"))


def _imported(source: Path) -> set[str]:
    """The first parts of all absolute names that a file imports."""
    try:
        tree = ast.parse(source.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
