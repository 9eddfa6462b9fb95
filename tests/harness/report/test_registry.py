"""Kinds of panels: which there are, and how their panels are made."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

from harness.core.errors import UserError
from harness.report import panels, registry
from harness.report.material import Material
from harness.report.panel import (
    ComparisonPanel,
    ModelPanel,
    ModelScope,
    Panel,
    PanelKind,
    ProtocolScope,
    ProvenancePanel,
    SummaryPanel,
    TaskPanel,
)
from harness.report.registry import kinds, make_panels
from harness.report.sounds import Sounds
from harness.results import frame

ONE_MORE = """
from harness.report.panel import ModelPanel, Panel

HEIGHT = ModelPanel("{name}", "Height", lambda scope: Panel("A note."), order=15)
"""
SCOPE = ProtocolScope(Material(frame([]), (), {}), "linear")


def names_in(section: type[PanelKind]) -> list[str]:
    return [kind.name for kind in kinds() if isinstance(kind, section)]


@pytest.fixture
def one_more(monkeypatch, tmp_path: Path):
    """Add a module with one panel to the folder of panels."""

    def add(name: str) -> None:
        (tmp_path / "height.py").write_text(ONE_MORE.format(name=name))
        monkeypatch.setattr(panels, "__path__", [*panels.__path__, str(tmp_path)])
        monkeypatch.delitem(sys.modules, f"{panels.__name__}.height", raising=False)
        kinds.cache_clear()

    yield add
    monkeypatch.undo()
    kinds.cache_clear()


@pytest.mark.parametrize(
    ("section", "names"),
    [
        (SummaryPanel, ["summary"]),
        (ComparisonPanel, ["differences", "ranks"]),
        (TaskPanel, ["scores", "classes", "map"]),
        (ModelPanel, ["confusion", "timeline", "curve", "mistakes"]),
        (ProvenancePanel, ["models", "tasks", "runs", "rows"]),
    ],
)
def test_each_section_has_its_kinds_in_order(section, names):
    assert [name for name in names_in(section) if name in names] == names


def test_every_module_defines_a_kind():
    for module in pkgutil.iter_modules(panels.__path__, f"{panels.__name__}."):
        values = vars(importlib.import_module(module.name)).values()
        assert [value for value in values if isinstance(value, PanelKind)], module.name


def test_a_file_adds_a_panel(one_more):
    one_more("height")
    names = names_in(ModelPanel)
    assert names.index("timeline") < names.index("height") < names.index("curve")


def test_two_kinds_of_one_name_are_refused(one_more):
    one_more("curve")
    with pytest.raises(ValueError, match="height defines 'curve' a second time"):
        kinds()


def test_a_panel_is_named_by_its_kind_and_its_model():
    kind = ModelPanel("height", "Height", lambda scope: Panel("A note."))
    (panel,) = kind.panels(ModelScope("m", [], Sounds(0)))
    assert panel == Panel("A note.", name="height", title="Height", model="m")


def test_several_panels_may_have_names_of_their_own():
    made = [Panel(name="first", title="The first"), Panel()]
    found = SummaryPanel("height", "Height", lambda scope: made).panels(SCOPE)
    assert [(panel.name, panel.title) for panel in found] == [
        ("first", "The first"),
        ("height", "Height"),
    ]


def test_a_panel_that_cannot_be_made_leaves_a_sentence():
    def make(scope):
        raise UserError("the file is gone.")

    (panel,) = SummaryPanel("height", "Height", make).panels(SCOPE)
    assert panel == Panel("Nothing can be shown: the file is gone.", name="height", title="Height")


def test_a_kind_that_does_not_apply_makes_no_panel(monkeypatch):
    kind = SummaryPanel("height", "Height", lambda scope: Panel(), applies_to=lambda scope: False)
    monkeypatch.setattr(registry, "kinds", lambda: (kind,))
    assert make_panels(SummaryPanel, SCOPE) == ()
