"""Finding the code of a HEAR-API module, and hashing what it is made of."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import json
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import harness.baselines
from harness.errors import UserError, did_you_mean, did_you_mean_path


def import_hear_module(name: str) -> ModuleType:
    """Import a module by name, from the environment or the working directory, or by its path.

    A path is that of a ``.py`` file or of a package's folder. The working directory (for a path:
    the folder that holds the file or the package) goes to the **end** of ``sys.path``: what
    it holds under the name of something installed, a folder ``tasks`` for instance, hides nothing.

    Raises:
        UserError: there is no such module; it imports something that is missing; it fails; its
            source is no longer what this process once imported.
    """
    module = _import(name)
    if getattr(module, "__file__", None) is None:
        raise UserError(
            f"'{name}' is not a HEAR-API module: it has no Python file of its own (a plain folder, "
            f"or part of Python). Give {_NAMES}."
        )
    source = source_sha256(module)
    if _source_at_import.setdefault(module.__name__, source) != source:
        raise UserError(
            f"The source of '{name}' has changed since this process imported it: start Python "
            "again, so that the new code is what runs."
        )
    return module


_NAMES = "an import name, or the path of a .py file or of a package's folder"

# A process runs the code that it imported, and fingerprints hash the source on disk: both must
# be the same.
_source_at_import: dict[str, str] = {}


def _import(name: str) -> ModuleType:
    if name.endswith(".py"):
        return _import_file(Path(name))
    if os.sep in name and Path(name, "__init__.py").is_file():
        return _import_file(Path(name, "__init__.py"))
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
        raise UserError(f"There is no module file '{path}'.{did_you_mean_path(path, '*.py')}")
    path = path.resolve()
    _append_to_path(path.parents[path.name == "__init__.py"])
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
    hint = hint or did_you_mean(name, _installed_like(name))
    return UserError(
        f"There is no module '{name}', neither installed nor in the working directory.{hint} "
        f"Give {_NAMES}, of a module that follows the HEAR API."
    )


def _installed_like(name: str) -> list[str]:
    """The installed module that a slip of the keys may have meant; nothing private or Python's."""
    names = {m.name for m in pkgutil.iter_modules()} - sys.stdlib_module_names
    public = [name for name in names if not name.startswith("_")]
    # Of hundreds of packages one always looks a little alike.
    return difflib.get_close_matches(name, public, n=1, cutoff=0.8)


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

    That is its file and all that the import statements anywhere in it lead to, step by step:
    inside the same top-level package or, for a single file, beside it. What they do not lead to,
    a trainer in a subpackage for instance, has no part in embeddings and does not count. Where a
    file may import by computed names (:mod:`importlib`, ``exec``, ...), its whole package counts.
    """
    folder = Path(str(module.__file__)).absolute().parent
    named = sorted((os.path.relpath(p, folder), file_sha256(p)) for p in _source_files(module))
    return sha256_of([[name.replace(os.sep, "/"), digest] for name, digest in named])


def _source_files(module: ModuleType) -> set[Path]:
    file = Path(str(module.__file__)).absolute()
    package, root, queue = "", file.parent, [file]
    if module.__package__:
        above = module.__name__.count(".") + hasattr(module, "__path__")
        root = file.parents[above]
        # Not by the module's name: a package that was imported by its path has one of its own.
        package = file.relative_to(root).parts[0]
        # Importing a.b.c runs a/__init__.py and a/b/__init__.py too.
        queue.extend(_files_named(module.__name__, root))
    files: set[Path] = set()
    while queue:
        source = queue.pop()
        if source in files:
            continue
        files.add(source)
        names, computed = _imports(source, root)
        for name in names:
            if package in ("", name.partition(".")[0]):
                queue.extend(_files_named(name, root))
        if computed:
            queue.extend((root / source.relative_to(root).parts[0]).rglob("*.py"))
    return files


def _files_named(name: str, root: Path) -> Iterator[Path]:
    """The files below ``root`` that run when the dotted name is imported.

    The last parts may name what stands inside a file; ``*`` stands for all files of a folder.
    """
    place = root
    for part in name.split("."):
        if part == "*":
            yield from place.glob("*.py")
            return
        file = place / f"{part}.py"
        place = place / part
        if (place / "__init__.py").is_file():
            yield place / "__init__.py"
        elif file.is_file():
            yield file
        elif not place.is_dir():
            return


# With these a file can import what no statement in it names; the two parts of importlib cannot.
_LOADERS = {"importlib", "pkgutil", "runpy", "imp", "zipimport"}
_NO_LOADERS = {"importlib.metadata", "importlib.resources"}
_LOADING_CALLS = {"__import__", "exec", "eval"}


def _imports(source: Path, root: Path) -> tuple[set[str], bool]:
    """All dotted names that a file imports, and whether it may import others by computed names."""
    try:
        tree = ast.parse(source.read_bytes())
    except (SyntaxError, ValueError):
        return set(), False
    names: set[str] = set()
    computed = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                # One level up from a file is the package that it stands in.
                base = [*source.relative_to(root).parts[: -node.level], *base]
            names |= {".".join([*base, alias.name]) for alias in node.names}
        elif isinstance(node, ast.Name):
            computed |= node.id in _LOADING_CALLS
    computed |= any(
        name.partition(".")[0] in _LOADERS and ".".join(name.split(".")[:2]) not in _NO_LOADERS
        for name in names
    )
    return names, computed
