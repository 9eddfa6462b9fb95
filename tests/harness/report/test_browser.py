"""The page in a real browser, as its reader sees and uses it."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from statistics import fmean

import pytest
from support.result_rows import row

from harness.analysis.table.cells import cells
from harness.report.material import Material, TaskFacts
from harness.report.page import write_page
from harness.results import frame

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
TASK = "tiny_scene-v1-full"


@pytest.fixture(scope="module")
def seen(browser, page: Path):
    """The page on a desk, with what the browser complained of and asked for."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.complaints, tab.asked = [], []
    tab.on("console", lambda message: tab.complaints.append(message.text))
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.goto(page.as_uri())
    yield tab
    tab.close()


@pytest.fixture
def tab(seen):
    """The page as it is when it is opened."""
    seen.reload()
    return seen


def shown_models(tab) -> list[str]:
    rows = tab.locator("table.scores tbody tr:visible")
    return [rows.nth(i).get_attribute("data-model") for i in range(rows.count())]


def test_it_loads_without_complaints_and_asks_for_nothing_but_itself(tab, page):
    assert tab.complaints == []
    assert {url for url in tab.asked if not url.startswith("data:")} == {page.as_uri()}
    assert tab.evaluate("window.hacked") is None


def test_the_policy_forbids_the_network(tab):
    refused = tab.evaluate(
        "fetch('https://example.org/x').then(() => 'fetched', (error) => String(error))"
    )
    assert "Failed to fetch" in refused
    tab.complaints.clear()
    tab.asked.clear()


def written(run: Path) -> dict[str, dict[str, float]]:
    """The scores of each model by task as ``results.csv`` spells them, and their mean."""
    found: dict[str, dict[str, float]] = {}
    with (run / "results.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if (line["split"], line["is_primary"]) == ("all", "True"):
                found.setdefault(line["model"], {})[line["task"]] = float(line["value"])
    return {model: own | {"mean": fmean(own.values())} for model, own in found.items()}


def _cell(tab, model: str, task: str):
    heads = tab.locator("table.scores thead th")
    names = [heads.nth(i).get_attribute("data-task") for i in range(heads.count())]
    place = 1 if task == "mean" else names.index(task)
    return tab.locator(f"table.scores tbody tr >> nth={_row(tab, model)} >> th, td").nth(place)


def test_numbers_are_those_of_the_results(tab, run_folder: Path):
    scores = written(run_folder)
    assert len(scores) == len(shown_models(tab)) == 2
    for model, own in scores.items():
        assert len(own) == 4
        for task, value in own.items():
            cell = _cell(tab, model, task)
            assert float(cell.get_attribute("data-value")) == pytest.approx(value, abs=1e-12)
            assert cell.inner_text().startswith(f"{value:.3f}")


def test_what_is_within_noise_of_the_best_is_marked(tab):
    (weaker,) = set(shown_models(tab)) - {"logmel"}
    assert tab.locator("table.scores .near").all_inner_texts() == ["†"]
    cell = _cell(tab, weaker, TASK)
    assert cell.locator(".near").is_visible()
    assert "not significantly different from the best" in cell.get_attribute("title")
    notes = tab.locator("#scores .notes li").all_inner_texts()
    assert any(
        note.startswith("†: not significantly different from the best model") for note in notes
    )


def _row(tab, model: str) -> int:
    return shown_models(tab).index(model)


def test_sorting_sorts_and_says_so(tab, material: Material):
    values = cells(material.rows, "linear").set_index(["task", "model"]).value[TASK]
    head = tab.locator(f"table.scores th[data-task='{TASK}']")
    best_first = list(values.sort_values(ascending=False, kind="stable").index)
    assert values.nunique() == 2
    head.locator("button").click()
    assert shown_models(tab) == best_first
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    assert shown_models(tab) == best_first[::-1]
    assert tab.locator("table.scores th.model[aria-sort='none']").count() == 1


def test_a_filter_hides_tasks_and_the_mean_follows(tab, material: Material):
    values = cells(material.rows, "linear").set_index(["task", "model"]).value
    tab.select_option("select[name=domain]", "music")
    heads = tab.locator("table.scores thead th[data-task]:visible")
    assert [heads.nth(i).get_attribute("data-task") for i in range(heads.count())] == [TASK]
    assert tab.locator("details.task:visible").count() == 1
    for model in shown_models(tab):
        mean = tab.locator("table.scores tbody tr td.mean").nth(_row(tab, model))
        assert float(mean.get_attribute("data-value")) == pytest.approx(values[TASK, model])
    tab.select_option("select[name=suite]", "other")
    assert tab.locator("details.task:visible").count() == 0
    assert "0 of 3 tasks" in tab.locator("output").inner_text()


@pytest.fixture(scope="module")
def domains(browser, tmp_path_factory):
    """A page of a baseline that is the best, and of a domain of several tasks."""
    of = {"a-v1-full": "music", "b-v1-full": "music", "c-v1-full": "speech"}
    values = {"good": (0.2, 0.4, 0.9), "plain": (0.9, 0.9, 0.9), "weak": (0.4, 0.4, 0.1)}
    rows = [
        row(model=model, task=task, value=value)
        for model, own in values.items()
        for task, value in zip(of, own, strict=True)
    ]
    facts = {task: TaskFacts(task, domain) for task, domain in of.items()}
    out = tmp_path_factory.mktemp("domains") / "report.html"
    material = Material(frame(rows), (), {}, facts=facts, baselines=("plain",))
    write_page(material, out, title="Domains", audio_bytes=0)
    tab = browser.new_page()
    tab.goto(out.as_uri())
    yield tab
    tab.close()


def test_baselines_stay_on_top_until_the_table_is_sorted(domains):
    assert shown_models(domains) == ["plain", "good", "weak"]
    domains.select_option("select[name=domain]", "music")
    assert shown_models(domains) == ["plain", "weak", "good"]
    domains.locator("table.scores th[data-mean=''] button").click()
    domains.locator("table.scores th[data-mean=''] button").click()
    assert shown_models(domains) == ["good", "weak", "plain"]
    domains.reload()


def test_a_domain_of_several_tasks_has_a_mean_beside_that_of_all(domains):
    means = domains.locator("table.scores tbody tr[data-model=good] td.mean:visible")
    assert means.all_inner_texts() == ["0.500", "0.300"]
    domains.locator("table.scores th[data-mean=music] button").click()
    assert shown_models(domains) == ["plain", "weak", "good"]
    domains.select_option("select[name=domain]", "music")
    assert means.all_inner_texts() == ["0.300"]
    domains.reload()
    assert "All suites and domains are compared" in domains.locator("#comparison").inner_text()


def test_the_best_mean_stays_marked_when_tasks_are_filtered(domains):
    bold = domains.locator("table.scores td.mean.best:visible strong")
    assert bold.all_inner_texts() == ["0.900", "0.900"]  # of plain, over all tasks and over music
    domains.select_option("select[name=domain]", "speech")
    assert bold.all_inner_texts() == ["0.900", "0.900"]  # good and plain
    assert domains.locator("tr[data-model=weak] td.mean.best").count() == 0
    domains.reload()


def test_means_over_fewer_tasks_sort_last_in_both_directions(browser, tmp_path):
    scores = {"whole": (0.3, 0.5), "better": (0.4, 0.6), "part": (0.9,)}
    rows = [
        row(model=model, task=f"t{i}-v1-full", value=value)
        for model, values in scores.items()
        for i, value in enumerate(values)
    ]
    write_page(Material(frame(rows), (), {}), tmp_path / "r.html", title="Part", audio_bytes=0)
    tab = browser.new_page()
    tab.goto((tmp_path / "r.html").as_uri())
    assert shown_models(tab) == ["better", "whole", "part"]
    assert tab.locator("table.scores td.mean strong").all_inner_texts() == ["0.500"]
    head = tab.locator("table.scores th[data-mean=''] button")
    for expected in (["better", "whole", "part"], ["whole", "better", "part"]):
        head.click()
        assert shown_models(tab) == expected
    tab.close()


def test_tasks_are_those_of_the_protocol_whatever_its_name(browser, tmp_path):
    names = ("linear, C = 1", '"linear" <b>', "linear,")
    rows = [row(protocol=name, task=f"task{n}-v1-full") for n, name in enumerate(names)]
    write_page(Material(frame(rows), (), {}), tmp_path / "r.html", title="Names", audio_bytes=0)
    tab = browser.new_page()
    tab.goto((tmp_path / "r.html").as_uri())
    for number, name in enumerate(names):
        tab.get_by_role("radio", name=name, exact=True).check(force=True)
        shown = tab.locator("details.task:visible")
        assert shown.count() == 1
        assert f"task{number}-v1-full" in shown.inner_text()
    tab.close()


def test_models_are_found_by_a_part_of_their_name(tab):
    tab.fill("input[name=model]", "LOG")
    assert shown_models(tab) == ["logmel"]
    tab.fill("input[name=model]", "")
    assert len(shown_models(tab)) == 2


def test_players_play_and_one_stops_the_other(tab):
    players = tab.locator("audio")
    assert players.count() > 3
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    for number in (0, 1):
        assert tab.evaluate(PLAY, number) > 0.05
    assert tab.evaluate("document.querySelectorAll('audio')[0].paused")


PLAY = """async (number) => {
  const player = document.querySelectorAll('audio')[number];
  await player.play();
  while (player.currentTime <= 0.05) await new Promise((later) => setTimeout(later, 20));
  return player.currentTime;
}"""


def test_a_linked_recording_plays_too(browser, material, tmp_path):
    alone = dataclasses.replace(material, rows=material.rows[material.rows.task == TASK])
    write_page(alone, tmp_path / "linked.html", title="Linked", audio_bytes=0)
    tab = browser.new_page()
    tab.goto((tmp_path / "linked.html").as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert tab.evaluate("document.querySelector('audio').src").startswith("file:///")
    assert tab.evaluate(PLAY, 0) > 0.05
    tab.close()


def test_it_works_by_keyboard(tab):
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.locator("table.scores thead button").nth(0).focus()
    tab.keyboard.press("Enter")
    assert tab.locator("th.model").first.get_attribute("aria-sort") == "ascending"
    tab.locator("details.task").first.locator("[role=tab]").first.focus()
    before = tab.locator("details.task").first.locator("[role=tabpanel]:visible")
    first = before.get_attribute("id")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    after = tab.locator("details.task").first.locator("[role=tabpanel]:visible")
    assert after.count() == 1
    assert after.get_attribute("id") != first


def test_focus_is_seen(tab):
    tab.locator("table.scores thead button").nth(0).focus()
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Tab")
    width = tab.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(width.removesuffix("px")) >= 2


def test_a_link_in_the_head_opens_the_task(tab):
    last = tab.locator("details.task").last
    assert last.get_attribute("open") is None
    tab.locator(f"table.scores thead a[href='#{last.get_attribute('id')}']").click()
    sync_api.expect(last).to_have_attribute("open", "")


def test_every_control_has_a_name_and_every_figure_an_alternative(tab):
    unnamed = tab.evaluate(
        """[...document.querySelectorAll(
            'button, a[href], input, select, audio, [role=region], [role=group]')]
        .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim()
                         || (e.labels && e.labels.length)))
        .map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
    bare = tab.evaluate(
        """[...document.querySelectorAll('svg')]
        .filter((e) => e.getAttribute('role') !== 'img' || !e.getAttribute('aria-label'))
        .length"""
    )
    assert bare == 0
    assert tab.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"
    ) == (tab.locator("[id]").count())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    found = tab.evaluate(CONTRASTS)
    tab.emulate_media(color_scheme="light")
    assert len(found) > 100
    assert [each for each in found if each["ratio"] < 4.5] == []


CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => {
      c /= 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
                   && e.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
    .filter((e) => !e.closest('g[opacity]') && !e.closest('script'))
    .filter((e) => !e.closest('[data-panel=confusion] .drawing'))
    .map((e) => {
      const style = getComputedStyle(e);
      const ink = parse(e.closest('svg') ? style.fill : style.color);
      const [x, y] = [luminance(ink), luminance(ground(e))];
      return { text: e.textContent.trim().slice(0, 40), ratio:
               (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05) };
    });
}"""


def test_dark_mode_reaches_figures_and_has_a_button(tab):
    ink = "getComputedStyle(document.querySelector('.drawing text')).fill"
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ink), tab.evaluate(ground)
    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate(ink), tab.evaluate(ground)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    tab.locator("#theme").click()
    assert (tab.evaluate(ink), tab.evaluate(ground)) == light
    tab.reload()
    assert (tab.evaluate(ink), tab.evaluate(ground)) == light, "the choice is remembered"
    tab.evaluate("localStorage.clear()")
    tab.emulate_media(color_scheme="light")


def test_a_phone_does_not_scroll_sideways(browser, page):
    phone = browser.new_page(viewport={"width": 375, "height": 740}, is_mobile=True)
    phone.goto(page.as_uri())
    phone.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert phone.evaluate("document.documentElement.scrollWidth") == 375
    wide = phone.evaluate(
        """[...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll, svg'))
        .filter((e) => e.getBoundingClientRect().right > 376)
        .map((e) => e.tagName + ' ' + e.className)"""
    )
    phone.close()
    assert wide == []


@pytest.mark.parametrize(("width", "column"), [(1280, "p (Holm)"), (375, "difference")])
def test_a_comparison_is_read_without_scrolling_sideways(browser, page, width, column):
    tab = browser.new_page(viewport={"width": width, "height": 740})
    tab.goto(page.as_uri())
    table = tab.locator("#comparison .as-table").first
    table.locator("summary").click()
    head = table.locator("th", has_text="task").locator("..").get_by_text(column, exact=True)
    box, last = head.bounding_box(), table.locator("tr").last.bounding_box()
    around = table.locator(".scroll").bounding_box()
    tab.close()
    assert box["x"] + box["width"] <= around["x"] + around["width"]
    assert last["y"] + last["height"] <= around["y"] + around["height"] + 1


def test_rows_with_many_parameters_are_of_one_line(browser, tmp_path):
    chosen = json.dumps({f"fold{i}": {"hidden": 1024, "lr": 1e-3} for i in range(9)})
    material = Material(frame([row(selected_params=chosen, n_test=9)]), (), {})
    write_page(material, tmp_path / "r.html", title="Rows", audio_bytes=0)
    tab = browser.new_page()
    tab.goto((tmp_path / "r.html").as_uri())
    rows = tab.locator("[data-panel=provenance-rows]")
    rows.locator("h3").click()
    height = rows.locator("tbody tr").bounding_box()["height"]
    rows.locator("td summary").first.click()
    whole = rows.locator("td details[open]").inner_text()
    tab.close()
    assert height < 50
    assert chosen in whole


def test_without_a_script_everything_is_there(browser, page):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(page.as_uri())
    assert plain.locator("table.scores tbody tr").count() == 2
    assert plain.locator("details.task").first.locator(".tab-name:visible").count() == 2
    context.close()
