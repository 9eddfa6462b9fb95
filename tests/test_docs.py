"""The Python that the documents show runs, on a small run of real models."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pandas as pd
import pytest
import taskmaker

from harness.engines import InlineEngine
from harness.module import parse_model
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from harness.task import TaskSource

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/python.md")


def blocks(document: str) -> list[str]:
    """The blocks of Python in a document, with line breaks so that errors have its lines."""
    text = (ROOT / document).read_text("utf-8")
    found = re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text[: block.start(1)].count("\n") + block[1] for block in found]


def shown(block: str, document: str, names: dict) -> object:
    """Run a block as a notebook does; return what its last line shows."""
    tree = ast.parse(block, document)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, document, "exec"), names)
    return last and eval(compile(ast.Expression(last.value), document, "eval"), names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where a user stands who has made the demo's run and the task ``mine``."""
    root = tmp_path_factory.mktemp("docs")
    mine = taskmaker.make_task(root / "tasks", "scene", n=12, seconds=0.5, name="mine")
    other = taskmaker.make_task(root / "tasks", "multilabel", n=12, seconds=0.5)
    settings = Settings(
        models=(parse_model("hear_byola"), parse_model("harness.baselines.logmel,name=logmel")),
        tasks=(TaskSource(mine), TaskSource(other)),
        protocols=("linear",),
        out=root / "runs" / "demo",
    )
    assert not execute(make_plan(settings), InlineEngine("cpu"), settings.out).failures
    return root


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_python_of_a_document_runs(folder, monkeypatch, document):
    monkeypatch.chdir(folder)
    names: dict = {"__name__": "notebook"}
    found = [shown(block, document, names) for block in blocks(document)]
    frames = [each for each in found if each is not None]
    assert frames
    for each in frames:
        assert isinstance(each, pd.DataFrame)
        assert not each.empty
        assert not each.isna().all(axis=None)
