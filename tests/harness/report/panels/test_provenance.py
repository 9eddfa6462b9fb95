"""Where rows are from, as a page tables it."""

from __future__ import annotations

import json

from support.result_rows import row

from harness.report.material import Material
from harness.report.panel import ProvenancePanel
from harness.report.registry import make_panels
from harness.results import frame

SIZES = {"embedding_size": 8, "n_test": 20, "n_classes": 3, "n_skipped": 0, "device": "cpu"}


def tables(*rows):
    panels = make_panels(ProvenancePanel, Material(frame(rows), (), {}))
    return {panel.name: panel.table for panel in panels}


def test_a_row_that_failed_makes_no_second_model_task_or_run():
    failed = {"status": "failed", "value": None, "error": "out of memory"}
    found = tables(
        row(model="b", model_fingerprint="b", **failed),
        row(model="a", model_fingerprint="a", **SIZES),
        row(model="a", model_fingerprint="a", task="u-v1-full", **failed),
        row(model="b", model_fingerprint="b", task="u-v1-full", **failed),
    )
    assert [line[0] for line in found["models"].rows] == ["a", "b"]
    assert [line[-2] for line in found["models"].rows] == ["8", "–"]
    assert [line[0] for line in found["tasks"].rows] == ["t-v1-full", "u-v1-full"]
    assert found["tasks"].rows[0][-3:] == ("20", "3", "0")
    (run,) = found["runs"].rows
    assert run[-1] == "cpu"


def test_what_truly_differs_is_told_apart():
    found = tables(row(**SIZES), row(protocol="knn", **(SIZES | {"n_skipped": 1})))
    assert {line[-1] for line in found["tasks"].rows} == {"0", "1"}


def test_long_parameters_are_folded():
    chosen = json.dumps({f"fold{i}": {"hidden": 1024, "lr": 1e-3} for i in range(9)})
    found = tables(row(selected_params=chosen))["rows"]
    (line,) = found.rows
    place = line.index(chosen)
    assert found.header[place] == "selected"
    assert place in found.folded
