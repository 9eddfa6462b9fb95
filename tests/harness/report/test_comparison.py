"""The panels of the comparison, where less is better."""

from __future__ import annotations

import pytest
from errormaker import make_errors_run

from harness.report.comparison import comparison
from harness.report.material import gather


def test_a_forest_shows_a_lower_error_as_better(tmp_path):
    pytest.importorskip("matplotlib")
    (forest, _) = comparison(gather([make_errors_run(tmp_path)]), "linear").panels
    first = forest.title.partition(" against ")[0]
    figure = forest.draw(6.0)
    ((value,),) = (line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) == 1)
    assert abs(value) > 0.9
    assert (value > 0) == (first == "logmel")
    (line,) = forest.sheet.rows
    assert line[-2] == "logmel better"
    assert f"{first} is better on {int(first == 'logmel')}" in forest.note
