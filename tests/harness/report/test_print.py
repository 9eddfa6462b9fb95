"""The page on paper and on narrow screens: wide tables keep every column."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import report_runs

from harness.report.material import Material, TaskFacts
from harness.report.page import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
N_TASKS = 19
MARGINS = 24  # millimetres, left and right
PAPERS = {"A4": 210.0, "Letter": 215.9}  # millimetres wide


@pytest.fixture(scope="module")
def material() -> Material:
    rows = report_runs.made_up_rows(10, N_TASKS)
    domains = {task: ("music", "speech")[place % 2] for place, task in enumerate(set(rows.task))}
    facts = {task: TaskFacts(task, domain) for task, domain in domains.items()}
    return Material(rows, (), {}, facts=facts)


@pytest.fixture(scope="module")
def wide_page(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wide") / "report.html"
    write_page(material, out, title="Wide", audio_bytes=0)
    return out


@pytest.fixture
def opened(browser, wide_page: Path) -> Iterator:
    """Open the page, of a width in pixels; and close it."""
    tabs = []

    def open_page(width: int, **options):
        tabs.append(browser.new_page(viewport={"width": width, "height": 740}, **options))
        tabs[-1].goto(wide_page.as_uri())
        return tabs[-1]

    yield open_page
    for tab in tabs:
        tab.close()


def paper(opened, form: str, **options):
    """The page as it is laid out on paper."""
    tab = opened(int((PAPERS[form] - MARGINS) / 25.4 * 96), **options)
    tab.emulate_media(media="print", **options)
    return tab


CUT_OFF = """() => [...document.querySelectorAll('body *')]
  .filter((e) => e.checkVisibility() && !e.closest('.unseen, .skip, svg'))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1
                 || (e.scrollWidth > e.clientWidth + 1 && e.clientWidth
                     && getComputedStyle(e).display !== 'inline'))
  .map((e) => e.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("form", PAPERS)
@pytest.mark.parametrize("script", [True, False])
def test_paper_has_every_column(opened, form, script):
    tab = paper(opened, form)
    if script:
        tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("table.scores").is_hidden()
    heads = tab.locator(".part th[data-task]:visible")
    assert heads.count() == N_TASKS
    assert len(set(heads.evaluate_all("all => all.map((e) => e.dataset.task)"))) == N_TASKS
    assert tab.locator(".part th[data-mean]:visible").count() == 3
    assert tab.evaluate(CUT_OFF) == []
    size = (
        "document.querySelector('.part td').checkVisibility() && "
        "parseFloat(getComputedStyle(document.querySelector('.part td')).fontSize)"
    )
    assert tab.evaluate(size) >= 11  # pixels: 8 points


@pytest.mark.parametrize("form", PAPERS)
def test_opened_tables_are_whole_on_paper(opened, form):
    tab = paper(opened, form)
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert tab.locator("[data-panel=provenance-rows] td:visible").count() > 1000
    assert tab.evaluate(CUT_OFF) == []


def test_paper_shows_what_was_chosen_and_sorted(opened):
    tab = opened(1280)
    tab.select_option("select[name=domain]", "music")
    tab.fill("input[name=model]", "model_0")
    tab.locator("table.scores th[data-mean=''] button").click()
    models = "all => all.map((e) => e.closest('tr').dataset.model)"
    order = tab.locator("table.scores tbody th:visible").evaluate_all(models)
    tasks = "all => all.map((e) => e.dataset.task)"
    columns = tab.locator("table.scores th[data-task]:visible").evaluate_all(tasks)
    mean = tab.locator("table.scores tbody tr:visible td[data-value]").first.inner_text()
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    assert tab.locator(".part th[data-task]:visible").evaluate_all(tasks) == columns
    first = tab.locator(".part:visible").first
    assert first.locator("tbody th:visible").evaluate_all(models) == order
    assert first.locator("tbody tr:visible td:visible").first.inner_text() == mean


def test_a_dark_page_is_printed_in_dark_letters(opened):
    ink = "getComputedStyle(document.querySelector('.part td')).color"
    light = paper(opened, "A4").evaluate(ink)
    dark = paper(opened, "A4", color_scheme="dark")
    assert dark.evaluate(ink) == light
    dark.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert dark.evaluate(ink) == light


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="no pdftotext (poppler-utils)")
@pytest.mark.parametrize("form", PAPERS)
def test_a_pdf_holds_every_score(opened, material, form, tmp_path):
    opened(1280).pdf(path=tmp_path / "page.pdf", format=form)
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    done = material.rows[material.rows.status == "done"]
    lacking = Counter(f"{value:.3f}" for value in done.value) - Counter(text.split())
    assert not lacking


SHADE = """(opacity) => getComputedStyle(
  document.querySelector('#scores .scroller'), '::after').opacity === opacity"""

SHADOW = "e => parseFloat(getComputedStyle(e, '::after').width) || 0"


def expect_edges(scroller, *edges: str) -> None:
    """Wait until these edges of a table, and no others, are marked."""
    for edge in ("more-left", "more-right", "more-below"):
        marked = sync_api.expect(scroller)
        check = marked.to_have_class if edge in edges else marked.not_to_have_class
        check(re.compile(rf"\b{edge}\b"))


@pytest.mark.parametrize("width", [375, 1280])
def test_a_wide_table_shows_that_it_goes_on(opened, width):
    tab = opened(width)
    scroller = tab.locator("#scores .scroller").first
    inner = scroller.locator(".scroll")
    expect_edges(scroller, "more-right", "more-below")
    tab.wait_for_function(SHADE, arg="1")
    inner.evaluate("e => e.scrollTo(e.scrollWidth, e.scrollHeight)")
    expect_edges(scroller, "more-left")
    tab.wait_for_function(SHADE, arg="0")
    left = "e => e.getBoundingClientRect().left"
    name = tab.locator("table.scores tbody th").first
    assert name.evaluate(left) == pytest.approx(inner.evaluate(left), abs=1)
    assert name.evaluate(SHADOW) > 0
    last = tab.locator("table.scores tbody tr").first.locator("td").last
    right = "e => e.getBoundingClientRect().right"
    assert last.evaluate(right) <= inner.evaluate(right) + 1


def test_a_wide_table_scrolls_by_keyboard(opened):
    tab = opened(375)
    inner = tab.locator("#scores .scroll").first
    inner.focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("document.querySelector('#scores .scroll').scrollLeft > 0")
    expect_edges(tab.locator("#scores .scroller").first, "more-left", "more-right", "more-below")


def test_a_table_that_fits_has_no_shadow(opened):
    tab = opened(1280)
    tab.locator("#comparison .as-table summary").first.click()
    expect_edges(tab.locator("#comparison .scroller").first)


def test_the_first_column_of_other_tables_stays(opened):
    tab = opened(375)
    rows = tab.locator("[data-panel=provenance-rows]")
    rows.locator("summary").first.click()
    rows.locator(".scroll").evaluate("e => e.scrollTo(e.scrollWidth, 0)")
    left = "e => e.getBoundingClientRect().left"
    name = rows.locator("tbody th").first
    assert name.evaluate(left) == pytest.approx(rows.locator(".scroll").evaluate(left), abs=1)
    expect_edges(rows.locator(".scroller"), "more-left", "more-below")
    assert name.evaluate(SHADOW) > 0
