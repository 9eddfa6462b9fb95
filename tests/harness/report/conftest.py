"""A small run of real evaluations, and the page that is made from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import report_runs

from harness.analysis.table.marks import find_marks
from harness.report.material import Material, gather
from harness.report.page import write_page


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """A Chromium; tests are skipped without it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium: `apt-get install chromium`, or `make browser` as root")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        yield started
        started.close()


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
