"""The panel of validation curves."""

from __future__ import annotations

import pytest
from support.report_runs import SCENE, records

from harness.core.errors import UserError
from harness.report.panel import ModelScope
from harness.report.panels.curves import CURVES
from harness.report.sounds import Sounds
from harness.results.record import Record


def curves(seeds):
    return CURVES.make(ModelScope("logmel", seeds, Sounds(0)))


def test_a_curve_marks_what_was_chosen(material):
    panel = curves(records(material, SCENE))
    (unit,) = records(material, SCENE)[0].read_probes(records(material, SCENE)[0].folds[0])
    assert panel.table.rows[0][2] == f"{unit.params['l2']:.3g}"
    axis = panel.draw(4).axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [unit.params["l2"]]
    scores = {x: score for x, _, score in unit.curve}
    assert float(dots[0].get_ydata()[0]) == scores[unit.params["l2"]]


def test_many_curves_are_counted_by_what_they_come_of(material):
    (record,) = records(material, SCENE)
    note = curves([record] * 3).note
    assert note.endswith(" 3 lines, one per probe: 3 seeds.")
    assert "lines" not in curves([record]).note


def test_a_key_of_another_protocol_names_the_axis(material, monkeypatch):
    seeds = records(material, SCENE)
    (unit,) = seeds[0].read_probes(seeds[0].folds[0])
    changes = {"params": {"temperature": 0.5}, "curve": [[0.1, 0.3], [0.5, 0.6]]}
    searched = unit.model_copy(update=changes)
    monkeypatch.setattr(Record, "read_probes", lambda *_: [searched])
    panel = curves(seeds)
    assert panel.table.header[2] == "selected temperature"
    assert panel.draw(4).axes[0].get_xlabel() == "temperature"
    odd = searched.model_copy(update={"curve": [[1.0, 2.0, 3.0, 4.0, 5.0]]})
    monkeypatch.setattr(Record, "read_probes", lambda *_: [odd])
    with pytest.raises(UserError, match="has 5 columns"):
        curves(seeds)
