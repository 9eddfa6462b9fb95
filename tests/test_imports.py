"""Which module may import which, and what importing costs."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hear_byola", "harness", "tasks")
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text("utf-8"))


def imported_names(module: str, *, top_level_only: bool = False) -> Iterator[str]:
    """Names that a module of ours imports, as absolute as they can be told."""
    tree = parsed(module)
    nodes = _outside_functions(tree) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            # "from harness import task" imports tasks.format.task.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        yield child
        yield from _outside_functions(child)


@cache
def our_imports(module: str, *, top_level_only: bool = False) -> set[str]:
    """Modules of ours that a module imports."""
    found = set()
    for name in imported_names(module, top_level_only=top_level_only):
        while name not in SOURCES and "." in name:
            name = name.rpartition(".")[0]
        if name in SOURCES:
            found.add(name)
    return found


def package_of(module: str) -> str:
    return module.partition(".")[0]


def test_there_is_something_to_look_at() -> None:
    assert {"hear_byola", "harness.cli", "tasks.format.task", "tasks.cards.card"} <= set(SOURCES)
    assert "harness.core.errors" in our_imports(
        "harness.models.conformance.validate"
    ) | our_imports("harness.models.module")


ROOMS = (
    "hear_byola.core",
    "hear_byola",
    "harness.core",
    "harness.metrics",
    "tasks",
    "harness.baselines",
    "harness.models",
    "harness.encoders",
    "harness.embeddings",
    "harness.probe",
    "harness.results",
    "harness.run",
    "harness.analysis",
    "harness.ablation",
    "harness.report",
    "harness.api",
    "harness",  # the Python API
    "harness.commands",
    "harness.cli",
)
"""From the foundation up: a room imports from rooms before it, and from itself."""

FOUNDATION = "hear_byola.core"
"""What the other packages use of the model's package; all else they reach by its interface."""


def room_of(module: str) -> str:
    return max((r for r in ROOMS if f"{module}.".startswith(f"{r}.")), key=len)


def test_the_architecture_page_lists_the_rooms_in_order() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    listed = re.findall(r"^\| `([\w.]+)` \|", page.partition("| room |")[2], re.MULTILINE)
    assert listed[: len(ROOMS)] == list(ROOMS)


def test_the_architecture_page_draws_the_imports() -> None:
    """The arrows are the imports between boxes, without those that follow from others."""
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    picture = page.partition("```mermaid")[2].partition("```")[0]
    boxes = {
        room.replace("/", "."): box
        for box, rooms in re.findall(r'^ *(\w+)\["(.*?)<br>', picture, re.MULTILINE)
        for room in rooms.split(", ")
    }
    assert boxes.keys() == set(ROOMS)
    chains = [line.split(" --> ") for line in picture.split("\n") if "-->" in line]
    drawn = {(a.strip(), b.strip()) for chain in chains for a, b in itertools.pairwise(chain)}
    imported = defaultdict(set)
    for module in SOURCES:
        for name in our_imports(module):
            imported[boxes[room_of(module)]].add(boxes[room_of(name)])
    graph = {box: names - {box} for box, names in imported.items()}

    def reached(box: str) -> set[str]:
        below = graph.get(box, set())
        return below.union(*map(reached, below))

    needed = {
        (below, box)
        for box, names in graph.items()
        for below in names
        if not any(below in reached(other) for other in names)
    }
    assert drawn == needed


def test_every_package_below_the_harness_is_a_room() -> None:
    folders = {p.parent.name for p in (ROOT / "harness").glob("*/__init__.py")}
    assert {f"harness.{name}" for name in folders} <= set(ROOMS)
    assert {p.stem for p in (ROOT / "harness").glob("*.py")} == {"__init__", "cli", "encoders"}


def test_a_room_imports_from_rooms_below_it_alone() -> None:
    place = {module: ROOMS.index(room_of(module)) for module in SOURCES}
    upward = [(m, name) for m in SOURCES for name in our_imports(m) if place[name] > place[m]]
    assert upward == []


REST = sorted({room_of(m) for m in SOURCES} - {FOUNDATION, "hear_byola", "harness.commands"})


@pytest.mark.parametrize("room", REST)
def test_only_commands_know_the_insides_of_the_model(room: str) -> None:
    used = {
        name
        for module in SOURCES
        if room_of(module) == room
        for name in our_imports(module)
        if package_of(name) == "hear_byola"
    }
    # The interface itself is that of any HEAR module.
    assert {room_of(name) for name in used - {"hear_byola"}} <= {FOUNDATION}


def test_nothing_that_is_installed_imports_the_tools() -> None:
    assert [m for m in SOURCES if "tools" in map(package_of, imported_names(m))] == []


def test_toolkits_are_used_by_the_front_end_and_the_adapters_alone() -> None:
    users = {m for m in SOURCES if "torchaudio" in map(package_of, imported_names(m))}
    adapters = {"harness.models.adapters.torchaudio", "harness.models.frames"}
    assert users == {"hear_byola.frontend", *adapters}
    users = {m for m in SOURCES if "transformers" in map(package_of, imported_names(m))}
    assert users == {"harness.models.adapters.transformers.loading"}


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [m for m in SOURCES if drawers & set(m.split("."))] == []


def test_imports_make_no_circle() -> None:
    """Imports for type checkers count too; imports inside functions do not."""
    graph = {m: our_imports(m, top_level_only=True) - {m} for m in SOURCES}
    assert set(TopologicalSorter(graph).static_order()) == set(SOURCES)


def in_new_process(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


STATE = """
import json, os, random, sys, time, warnings
import numpy, torch
def state():
    return {
        "threads": torch.get_num_threads(), "dtype": str(torch.get_default_dtype()),
        "grad": torch.is_grad_enabled(), "torch": torch.get_rng_state().sum().item(),
        "numpy": str(numpy.random.get_state()), "random": str(random.getstate()),
        "environment": dict(os.environ), "folder": os.getcwd(), "path": list(sys.path),
        "cudnn": torch.backends.cudnn.benchmark,
    }
"""


def test_importing_changes_nothing_that_the_process_shares(tmp_path: Path) -> None:
    # What others put into the environment at import (scikit-learn does) is not ours to answer for.
    code = f"""{STATE}
import pandas, scipy, sklearn, soundfile, soxr, torchaudio
before = state()
import hear_byola, harness.cli, harness.run.execute, harness.embeddings.embed
import harness.probe.run, tasks.cards.card
import harness.models.conformance.validate, harness.baselines.logmel
after = state()
print(json.dumps([name for name in before if before[name] != after[name]]))
"""
    assert json.loads(in_new_process(code, tmp_path)) == []


IMPORTED = """
import sys
from harness.cli import call
try:
    call({arguments!r})
except SystemExit:
    pass
print("\\n", *sorted(set(sys.modules) & set({heavy!r})))
"""
HEAVY = (
    "lightning", "matplotlib", "numba", "numpy", "pandas", "pydantic", "scipy.optimize",
    "scipy.special", "scipy.stats", "sklearn", "soundfile", "torch", "torchaudio",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], ""),
        (["run", "--help"], "numpy pydantic"),
        # One seed; and rows of schema version 1, whose module is read from their command.
        (["results", "table", "results/spoken_digit.csv"], "numpy pandas pydantic soundfile"),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: list[str], allowed: str) -> None:
    """The imports of torch, of scipy.stats and of pandas take 2 s, 0.5 s and 0.2 s of CPU time."""
    code = IMPORTED.format(arguments=arguments, heavy=HEAVY)
    imported = in_new_process(code, Path(__file__).parents[1]).splitlines()[-1].split()
    assert set(imported) <= set(allowed.split())


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, harness; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    assert in_new_process(code, tmp_path).strip() == "[]"


def test_what_workers_import_does_not_grow(tmp_path: Path) -> None:
    code = f"import sys, harness.run.jobs; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    allowed = {"numpy", "pandas", "pydantic", "scipy.special", "soundfile", "torch"}
    assert set(in_new_process(code, tmp_path).split()) <= allowed


def test_importing_is_quick_beyond_what_torch_costs(tmp_path: Path) -> None:
    code = f"""{STATE}
import pandas, scipy.stats, sklearn.metrics, soundfile, soxr, torchaudio, safetensors.torch
import yaml, click, rich.table
began = time.process_time()
import hear_byola, harness.cli, harness.run.execute, harness.embeddings.embed
import harness.probe.run, tasks.cards.card
print(time.process_time() - began)
"""
    assert float(in_new_process(code, tmp_path)) < 2.0


@pytest.mark.parametrize(
    "modules",
    [
        "harness.cli",
        "harness.analysis.compare",
        "harness.analysis.table, harness.analysis.board",
        "harness.report.page",
    ],
)
def test_what_reads_finished_runs_does_not_import_torch(modules: str, tmp_path: Path) -> None:
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert in_new_process(code, tmp_path).strip() == "False"


@pytest.fixture
def crowded_folder(tmp_path: Path) -> Path:
    """A working directory of a user who has a ``tasks`` package and a ``harness.py``."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text('raise ImportError("the user\'s tasks")\n')
    (tmp_path / "harness.py").write_text('raise ImportError("the user\'s harness")\n')
    (tmp_path / "my_module.py").write_text(
        "from harness.baselines.logmel import *\n"
        "from harness.baselines.logmel import load_model, get_scene_embeddings\n"
        "from harness.baselines.logmel import get_timestamp_embeddings\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["tasks", "list"],
        ["validate", "my_module", "--device", "cpu", "--quick"],
    ],
)
def test_the_command_works_beside_a_users_own_tasks_and_harness(
    crowded_folder: Path, arguments: list[str]
) -> None:
    command = Path(sysconfig.get_path("scripts"), "hear-byola")
    assert command.exists(), "the project is not installed in this environment"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(command), *arguments],
        cwd=crowded_folder,
        env={**environment, "HEAR_BYOLA_CACHE": str(crowded_folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the user's" not in done.stdout + done.stderr
