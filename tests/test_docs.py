"""The Python that the documents show runs, on a small run of real models; so do job scripts."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from support import task_directories

import harness
from harness.commands.pretrain import pretrain
from harness.commands.run import run

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/python.md")


def blocks(document: str, language: str = "python") -> list[str]:
    """The blocks of Python in a document, with line breaks so that errors have its lines."""
    text = (ROOT / document).read_text("utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text[: block.start(1)].count("\n") + block[1] for block in found]


def shown(block: str, document: str, names: dict) -> object:
    """Run a block as a notebook does; return what its last line shows."""
    tree = ast.parse(block, document)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, document, "exec"), names)
    return last and eval(compile(ast.Expression(last.value), document, "eval"), names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder of a user who has made a run like the demo's and the task ``mine``."""
    root = tmp_path_factory.mktemp("docs")
    mine = task_directories.make_task(root / "tasks", "scene", n=12, seconds=0.5, name="mine")
    other = task_directories.make_task(root / "tasks", "multilabel", n=12, seconds=0.5)
    results = harness.evaluate(
        ["hear_byola", "harness.baselines.logmel,name=logmel"],
        [mine, other],
        protocols="linear",
        out=root / "runs" / "demo",
        progress=False,
    )
    assert results.failures.empty
    return root


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_python_of_a_document_runs(folder, monkeypatch, document):
    monkeypatch.chdir(folder)
    names: dict = {"__name__": "notebook"}
    found = [shown(block, document, names) for block in blocks(document)]
    frames = [each for each in found if isinstance(each, pd.DataFrame)]
    assert frames
    for each in frames:
        assert not each.empty
        assert not each.isna().all(axis=None)
    assert [each for each in found if isinstance(each, Path) and not each.is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_use_the_public_names_alone(document):
    for block in blocks(document):
        for node in ast.walk(ast.parse(block)):
            names = [alias.name for alias in getattr(node, "names", ())]
            modules = [getattr(node, "module", None) or "", *names]
            assert not [each for each in modules if each.startswith(("harness.", "tasks"))]
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "harness":
                assert node.attr in harness.__all__


def called(script: str, where: Path, **variables: str) -> list[str]:
    """The arguments with which a job script calls ``hear-byola``, perhaps by ``srun``."""
    commands = where / "commands"
    commands.mkdir(exist_ok=True)
    for name, text in {
        "hear-byola": "printf '%s\\n' \"$@\"",
        "srun": 'while [ "$1" != hear-byola ]; do shift; done; "$@"',
    }.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    told = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=where,
        env={"PATH": path, "SLURM_CPUS_PER_TASK": "4", **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    return told.stdout.splitlines()


@pytest.fixture
def scripts() -> dict[str, str]:
    """The job scripts of docs/cluster.md by their job's name."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    found = [block.lstrip() for block in blocks("docs/cluster.md", "bash")]
    return {sbatch(each, "job-name"): each for each in found if each.startswith("#!/bin/bash")}


def sbatch(script: str, option: str) -> str:
    found = re.search(rf"^#SBATCH --{option}=(.*)$", script, re.MULTILINE)
    assert found
    return found[1]


def test_the_array_of_the_cluster_page_does_every_part(scripts, tmp_path):
    (yaml,) = blocks("docs/cluster.md", "yaml")
    (tmp_path / "run.yaml").write_text(yaml)
    first, last = map(int, sbatch(scripts["hear"], "array").split("-"))
    parts = []
    for number in range(first, last + 1):
        _, *arguments = called(
            scripts["hear"],
            tmp_path,
            SLURM_ARRAY_TASK_ID=str(number),
            SLURM_ARRAY_TASK_COUNT=str(last - first + 1),
        )
        arguments[arguments.index("run.yaml")] = str(tmp_path / "run.yaml")
        options = run.make_context("run", arguments).params
        assert (options["seeds"], options["jobs"]) == (3, 4)
        parts.append(options["shard"])
    assert parts == [(number + 1, len(parts)) for number in range(len(parts))]


def test_the_training_of_the_cluster_page_has_a_task_for_every_device(scripts, tmp_path):
    _, *arguments = called(scripts["byola"], tmp_path)
    options = pretrain.make_context("pretrain", arguments).params
    assert options["devices"] == sbatch(scripts["byola"], "ntasks-per-node")
    assert options["nodes"] == int(sbatch(scripts["byola"], "nodes"))
