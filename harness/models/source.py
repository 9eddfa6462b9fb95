"""Find the Python source of a HEAR module: its file and, recursively, the files that it imports.

Import statements anywhere in a file are followed: inside the module's top-level package or, for a
single file, in its folder; and to code elsewhere that is not installed. Files that are not reached,
for example a trainer in a subpackage, do not affect embeddings and are not included. If a file can
import by computed names (:mod:`importlib`, ``exec``, ...), its whole package is included. Installed
packages are not included.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

# Modules that can import by computed names, and the parts of importlib that cannot.
_LOADERS = {"importlib", "pkgutil", "runpy", "imp", "zipimport"}
_NO_LOADERS = {"importlib.metadata", "importlib.resources"}
_LOADING_CALLS = {"__import__", "exec", "eval"}
# The harness's Python interface leads to all of the harness, but runs none of it when a built-in
# module is imported.
_INTERFACE = Path(__file__).parents[1] / "__init__.py"


@dataclass
class Source:
    """The source of a module.

    Attributes:
        files: each file, with a name that does not depend on the module's location.
        own: imported top-level names that the module's own folder defines, each with its file.
    """

    files: list[tuple[str, Path]] = field(default_factory=list)
    own: dict[str, Path] = field(default_factory=dict)


def find_source(module: ModuleType) -> Source:
    """Return the source files of a module."""
    file = Path(str(module.__file__)).absolute()
    package, root, queue = "", file.parent, [(file, file.parent)]
    if module.__package__:
        root = file.parents[module.__name__.count(".") + hasattr(module, "__path__")]
        # Do not use the module's name: a package imported by its path has a generated name.
        package = file.relative_to(root).parts[0]
        # Importing a.b.c runs a/__init__.py and a/b/__init__.py too.
        queue = [(path, root) for path in (file, *_files_named(module.__name__, root))]
    found, seen = Source(), set()
    elsewhere: dict[str, Path | None] = {}
    while queue:
        source, home = queue.pop()
        if source in seen or source == _INTERFACE:
            continue
        seen.add(source)
        start = file.parent if home == root else home
        found.files.append((os.path.relpath(source, start).replace(os.sep, "/"), source))
        names, computed = _imports(source, home)
        for name in names:
            top = name.partition(".")[0]
            if top not in elsewhere:
                elsewhere[top] = _folder_elsewhere(top)
            beside = home if home != root or package in ("", top) else None
            for place in {elsewhere[top], beside} - {None}:
                assert place is not None
                queue += [(path, place) for path in _files_named(name, place)]
                if place == root and (own := next(_files_named(top, root), None)):
                    found.own[top] = own
        if computed:
            part = home / source.relative_to(home).parts[0]
            queue += [(path, home) for path in part.rglob("*.py")]
    return found


def _folder_elsewhere(top: str) -> Path | None:
    """Return the folder from which a top-level name is imported; None if it is installed."""
    if top in sys.stdlib_module_names:
        return None
    spec = None
    with suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    inside = spec.submodule_search_locations
    places = list(inside) if inside is not None else [spec.origin or ""]
    if not places or not os.path.isabs(places[0]):
        return None
    folder = Path(os.path.abspath(places[0])).parent
    return None if _is_installed(folder) else folder


def _is_installed(folder: Path) -> bool:
    ours = Path(__file__).parents[2]
    return (
        folder == ours
        or bool({"site-packages", "dist-packages"} & set(folder.parts))
        or folder.is_relative_to(sysconfig.get_path("stdlib"))
    )


def _files_named(name: str, root: Path) -> Iterator[Path]:
    """Yield the files below ``root`` that run when the dotted name is imported.

    The last parts can be names defined in a file; ``*`` means all files of a folder.
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


def _imports(source: Path, root: Path) -> tuple[set[str], bool]:
    """Return all dotted names that a file imports, and whether it can import by computed names."""
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
                # One level up from a file is its package.
                base = [*source.relative_to(root).parts[: -node.level], *base]
            names |= {".".join([*base, alias.name]) for alias in node.names}
        elif isinstance(node, ast.Name):
            computed |= node.id in _LOADING_CALLS
    computed |= any(
        name.partition(".")[0] in _LOADERS and ".".join(name.split(".")[:2]) not in _NO_LOADERS
        for name in names
    )
    return names, computed
