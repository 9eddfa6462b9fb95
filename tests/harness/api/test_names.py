"""``import harness``: its names, what importing costs, and what must not hide our packages."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import harness
import harness.api

ROOT = Path(harness.__file__).parents[1]


def run(code: str, folder: Path, **more) -> str:
    """Run a script that lies in a folder; ``harness`` is found behind what the folder holds."""
    script = folder / "script.py"
    script.write_text(f"import sys\nsys.path.append({str(ROOT)!r})\n{textwrap.dedent(code)}")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_every_name_is_there_and_documented():
    public = {
        name
        for name, value in vars(harness.api).items()
        if not (name.startswith("_") or inspect.ismodule(value))
    }
    assert sorted(harness.__all__) == harness.__all__ == sorted(public)
    assert set(harness.__all__) <= set(dir(harness))
    for name in harness.__all__:
        assert inspect.getdoc(getattr(harness, name)), name
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        _ = harness.evalute


def test_type_checkers_see_every_name():
    tree = ast.parse(Path(harness.__file__).read_text("utf-8"))
    seen = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "harness.api"
        for alias in node.names
    }
    assert seen == set(harness.__all__)


def test_names_are_not_hidden_when_a_module_of_ours_is_imported():
    modules = {path.stem for path in (ROOT / "harness").iterdir() if path.suffix in ("", ".py")}
    assert not modules & set(harness.__all__)


def test_importing_is_quick_and_loads_nothing(tmp_path):
    code = """
        import time
        began = time.process_time()
        import harness
        spent = time.process_time() - began
        heavy = {"torch", "pandas", "numpy", "click", "scipy", "pydantic"} & set(sys.modules)
        print(spent < 0.1, sorted(heavy), harness.load.__name__, "torch" in sys.modules)
    """
    assert run(code, tmp_path) == "True [] load False\n"


@pytest.mark.parametrize("kind", ["package", "module", "folder"])
def test_a_users_own_tasks_hides_nothing(tmp_path, kind):
    if kind == "module":
        (tmp_path / "tasks.py").write_text("raise RuntimeError('the wrong one')")
    else:
        (tmp_path / "tasks" / "mine-v1-full").mkdir(parents=True)
        if kind == "package":
            (tmp_path / "tasks" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    code = "import harness\nprint(harness.list_tasks(suite='demo').task[0])"
    assert run(code, tmp_path) == "demo_guitar_chord\n"


def test_another_tasks_that_is_imported_already_is_named(tmp_path):
    (tmp_path / "tasks.py").write_text("")
    told = run("import tasks\nimport harness", tmp_path)
    assert f"this process has imported <module 'tasks' from '{tmp_path / 'tasks.py'}'>" in told
