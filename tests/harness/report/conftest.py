"""A small run of real evaluations, and the page that is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import report_runs

from harness.analysis.table.marks import find_marks
from harness.report.material import Material, gather
from harness.report.page import write_page


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_runs.make_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def material(run_folder: Path) -> Material:
    return report_runs.with_facts(gather([run_folder]))


@pytest.fixture(scope="session")
def page(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    marks = find_marks(material.rows, material.results)
    write_page(material, out, title="Tiny <tasks>", audio_bytes=1_000_000, marks=marks)
    return out
