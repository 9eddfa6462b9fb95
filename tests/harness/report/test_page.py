"""The page as text: complete, escaped, self-contained, and whole when things are missing."""

from __future__ import annotations

import dataclasses
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import escape
from support import report_runs
from support.report_runs import MEAN
from support.result_rows import row

from harness.analysis.table.marks import find_marks
from harness.report import choice
from harness.report.material import Material, gather
from harness.report.page import write_page
from harness.report.panel import Panel
from harness.report.sections import protocol_section, task_sections
from harness.report.sounds import Player
from harness.results import frame, load, write_csv

_VOID = {"meta", "link", "input", "br", "wbr"}


class Checker(HTMLParser):
    """Reads a page, and holds what it finds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.fixture(scope="module")
def read(page: Path) -> Checker:
    return Checker(page.read_text("utf-8"))


def written(material: Material, folder: Path) -> Checker:
    out = folder / "report.html"
    write_page(material, out, title="Again", audio_bytes=0)
    return Checker(out.read_text("utf-8"))


def test_it_is_well_formed_and_begins_as_html5_does(page, read):
    assert page.read_text("utf-8").lstrip().startswith("<!doctype html>")
    assert read.open == []


def test_names_of_users_are_escaped_everywhere(page, read):
    text = page.read_text("utf-8")
    assert MEAN in read.text
    assert "Tiny <tasks>" in read.text
    assert "It is <tiny>." in read.text
    assert "<b>" not in text
    assert "<tiny>" not in text
    assert not [tag for tag, _ in read.tags if tag in ("b", "tasks", "tiny")]


def test_nothing_is_loaded_from_elsewhere(read):
    places = [
        value
        for _, attributes in read.tags
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href", "srcset", "action") and value
    ]
    assert len(places) > 20
    assert [p for p in places if not p.startswith(("data:", "#"))] == []
    policy = next(a["content"] for t, a in read.tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_commands_in_sentences_are_code_and_long_parameters_are_folded(tmp_path):
    params = '{"hidden": "' + 99 * "x" + '"}'
    rows = [row(model=name, selected_params=params, n_test=9) for name in "ab"]
    material = Material(frame(rows), (), {}, unread=("<i>: `hear-byola run` again",))
    written(material, tmp_path)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "&lt;i&gt;: <code>hear-byola run</code> again" in text
    assert f"<summary>{escape(params[:32])!s}…</summary>{escape(params)}</details>" in text


def test_ids_are_unique_and_what_is_referred_to_is_there(page, read):
    ids = [a["id"] for _, a in read.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    text = page.read_text("utf-8")
    referred = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    assert {a or b for a, b in referred} <= set(ids)


def test_every_part_is_there(read):
    panels = {a["data-panel"] for _, a in read.tags if a.get("data-panel")}
    assert panels >= {
        "scores",
        "classes",
        "confusion",
        "curve",
        "timeline",
        "map",
        "mistakes",
        "ranks",
        "provenance-models",
        "provenance-tasks",
        "provenance-runs",
        "provenance-rows",
    }
    assert [p for p in panels if p.startswith("forest-")]


def test_provenance_has_every_hash_and_command(read, run_folder):
    rows = load(run_folder)
    for column in ("model_fingerprint", "task_sha256", "run_id", "torch_version"):
        for value in set(rows[column]):
            assert value in read.text, column


@pytest.mark.slow
def test_equal_results_give_equal_pages(material, page, tmp_path):
    again = tmp_path / "again.html"
    marks = find_marks(material.rows, material.results)
    write_page(material, again, title="Tiny <tasks>", audio_bytes=1_000_000, marks=marks)
    assert again.read_bytes() == page.read_bytes()


def test_a_results_csv_alone_makes_a_page_that_says_what_is_missing(run_folder, tmp_path):
    write_csv(load(run_folder), tmp_path / "results.csv")
    found = written(report_runs.with_facts(gather([tmp_path / "results.csv"])), tmp_path)
    assert "made from a results CSV alone" in found.text
    assert "Without predictions, because" in found.text
    assert {a.get("data-panel") for _, a in found.tags} >= {"scores", "ranks"}
    assert not [a for _, a in found.tags if a.get("data-panel") == "confusion"]


@pytest.fixture
def damaged(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run, for taking things away from it."""
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def said(run: Path) -> str:
    """What the panels of a run say, without drawing them."""
    material = gather([run])
    panels = list(protocol_section(material, "linear").comparison)
    for section in task_sections(material, 10**6):
        panels += section.every_panel()
        panels.append(Panel(section.missing))
        panels += [
            Panel(cell.note)
            for panel in section.every_panel()
            if panel.table
            for row in panel.table.rows
            for cell in row
            if isinstance(cell, Player)
        ]
    return "\n".join(panel.note for panel in panels)


def test_deleted_embeddings_probes_and_predictions_leave_sentences(damaged):
    shutil.rmtree(damaged / "embeddings")
    shutil.rmtree(damaged / "probes")
    for path in damaged.glob("results/*/tiny_scene*/*/test.predictions.npz"):
        path.write_bytes(b"cut off")
    found = said(damaged)
    assert found.count("The embeddings cannot be read:") == 3
    assert "There are no embeddings in" in found
    assert found.count("unit.json'). Run again to make it anew") == 6
    assert "The predictions cannot be read" in found
    assert "cannot be paired" in found


def test_recordings_that_are_gone_leave_sentences(damaged):
    for path in damaged.glob("results/*/*/*/evaluation.json"):
        path.write_text(path.read_text().replace("/tasks/", "/moved/"))
    found = said(damaged)
    assert "The recordings are missing" in found
    assert "The spectrogram is missing" in found


def test_damaged_evaluations_leave_sentences(damaged, tmp_path):
    for task, name, change in (
        ("tiny_scene", "evaluation.json", lambda text: "[" * 100_000),
        ("tiny_multilabel", "evaluation.json", lambda text: text.replace('"mAP"', "")),
        (
            "tiny_events",
            "test.events.json",
            lambda text: text.replace('"start": ', '"start": "s", "x": '),
        ),
    ):
        (path,) = damaged.glob(f"results/logmel/{task}-*/*/{name}")
        path.write_text(change(path.read_text()))
    found = written(gather([damaged]), tmp_path)
    assert found.text.count("Left out: …/evaluation.json") == 2
    assert "Nothing can be shown: …/test.events.json" in found.text


def test_what_no_page_can_hold_is_replaced(tmp_path):
    rows = [row(metric="odd\x01metric\ud800", model=name) for name in ("a\x1b", "b")]
    found = written(Material(frame(rows), (), {}), tmp_path)
    assert "odd\ufffdmetric\ufffd" in found.text
    assert "a\ufffd" in found.text


@pytest.mark.parametrize("audio_bytes", [0, 10**6])
def test_it_tells_nothing_of_where_things_are(run_folder, tmp_path, audio_bytes):
    rows = load(run_folder)
    rows["command"] = f"hear-byola run -m {run_folder.parent}/weaker.py=/home/someone/w.pt -t x/y"
    copied = Path(shutil.copytree(run_folder, tmp_path / "run"))
    next(copied.glob("results/logmel/tiny_scene*/*/*.npz")).write_bytes(b"cut off")
    material = dataclasses.replace(gather([copied]), rows=rows)
    write_page(material, tmp_path / "r.html", title="Sent", audio_bytes=audio_bytes)
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "hear-byola run -m …/weaker.py=…/w.pt -t x/y" in text
    assert "…/test.predictions.npz: " in text
    for folder in (run_folder.parent, tmp_path, "/home/someone"):
        assert str(folder) not in text
    sounds = [a["src"] for tag, a in Checker(text).tags if tag == "audio"]
    assert sounds
    assert all(each.startswith("data:" if audio_bytes else "../") for each in sounds)


def test_a_part_of_a_run_is_shown_as_the_run_is(run_folder):
    whole, part = gather([run_folder]), gather([run_folder / "results"])
    assert whole.records
    assert part.records.keys() == whole.records.keys()


def test_a_run_with_next_to_nothing_left_makes_a_page(damaged, tmp_path):
    shutil.rmtree(damaged / "embeddings")
    shutil.rmtree(damaged / "probes")
    for path in damaged.glob("results/*/*/*/*.npz"):
        path.unlink()
    first, second, *_ = sorted(damaged.glob("results/*/tiny_scene*/*/evaluation.json"))
    first.unlink()
    second.write_text("{")
    found = written(gather([damaged]), tmp_path)
    assert f"Left out: …/{second.name}" in found.text
    assert "a results CSV or an older version" in found.text
    assert not [tag for tag, _ in found.tags if tag == "audio"]


def test_many_models_and_tasks_make_a_page_of_a_sane_size(tmp_path):
    write_csv(report_runs.made_up_rows(40, 1), tmp_path / "many.csv")
    found = written(gather([tmp_path / "many.csv"]), tmp_path)
    rows = [a for tag, a in found.tags if tag == "tr" and "data-model" in a]
    assert len(rows) >= 38
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_one_model_on_one_task_makes_a_page(tmp_path):
    write_csv(report_runs.made_up_rows(1, 1), tmp_path / "one.csv")
    found = written(gather([tmp_path / "one.csv"]), tmp_path)
    assert "1 model on 1 task, by 1 protocol" in found.text
    assert "A comparison needs results of at least two models" in found.text


def test_models_without_panels_are_named_on_the_page(material, tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "MOST_MODELS", 1)
    monkeypatch.setattr(choice, "_ON_TASKS", 1)
    found = written(material, tmp_path)
    assert "show 1 of 2 models. Left out: " in found.text


def test_all_scores_are_in_one_figure(material, tmp_path):
    found = written(material, tmp_path)
    assert "All tasks" in found.text
    names = [a["aria-label"] for tag, a in found.tags if tag == "svg"]
    assert "Scores of 2 models on 3 tasks, with intervals and means." in names
