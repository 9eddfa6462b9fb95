"""What CONTRIBUTING asks of modules and ruff does not check."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("hear_byola", "harness", "tasks", "tools", "examples")
MODULES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
BROAD = {"Exception", "BaseException"}


def test_modules_are_short() -> None:
    assert len(MODULES) > 300
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_a_broad_except_has_its_reason_beside_it() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{line}" for path in MODULES for line in broad(path.read_text())
    ]
    assert bare == []


def broad(source: str) -> list[int]:
    """Return the lines that catch or suppress everything, without a comment there or above."""
    lines = source.splitlines()
    found = []
    for node in ast.walk(ast.parse(source)):
        caught = node.type if isinstance(node, ast.ExceptHandler) else None
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = ast.Tuple(node.args)
        parts = [] if caught is None else ast.walk(caught)
        names = {each.id for each in parts if isinstance(each, ast.Name)}
        near = lines[max(node.lineno - 2, 0) : node.lineno] if names & BROAD else ["#"]
        if not any("#" in line for line in near):
            found.append(node.lineno)
    return found


def test_an_except_without_a_reason_is_found() -> None:
    source = "try:\n    f()\nexcept {}:{}\n    pass\n"
    assert broad(source.format("Exception", "")) == [3]
    assert broad(source.format("(OSError, BaseException)", "")) == [3]
    assert broad(source.format("Exception", "  # a reason")) == []
    assert broad(source.format("OSError", "")) == []
    assert broad("with suppress(Exception):\n    f()\n") == [1]
