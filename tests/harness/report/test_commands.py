"""``hear-byola results report`` and ``results figures`` as a user calls them."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import pytest
from support import report_runs, task_directories

from harness.cli import call
from harness.models.spec import parse_model
from harness.report.papers import write_figures
from harness.results import write_csv
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, TaskSource, make_plan


def test_report_writes_a_page_and_tells_how_it_goes(tmp_path, capsys):
    write_csv(report_runs.made_up_rows(3, 2), tmp_path / "results.csv")
    out = tmp_path / "deep" / "report.html"
    arguments = ["results", "report", str(tmp_path / "results.csv"), "-o", str(out)]
    assert call([*arguments, "--title", "Mine"]) == 0
    assert "<h1>Mine</h1>" in out.read_text("utf-8")
    said = capsys.readouterr().err
    assert "made_up_00-v1-full by linear" in said
    assert re.search(r"report\.html: \d+\.\d MB", said)


def test_a_wrong_card_beside_a_task_is_warned_of(tmp_path, capsys):
    task = task_directories.make_task(tmp_path, "scene", n=6, seconds=0.3)
    specs = (parse_model("harness.baselines.logmel,name=logmel"),)
    settings = Settings(specs, (TaskSource(task),), ("knn",), out=tmp_path / "run")
    execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    (task / "card.yaml").write_text("name: 7\n")
    page = tmp_path / "report.html"
    assert call(["results", "report", str(settings.out), "-o", str(page)]) == 0
    assert "card.yaml: 22 faults" in capsys.readouterr().err
    assert "tiny_scene" in page.read_text("utf-8")


def test_figures_are_written_for_papers(material, run_folder, tmp_path, capsys):
    arguments = ["results", "figures", str(run_folder), "-o", str(tmp_path), "--task", "tiny_scene"]
    assert call([*arguments, "--model", "logmel", "--format", "pdf"]) == 0
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
    assert "linear/ranks.pdf" in written
    assert "linear/summary.pdf" in written
    captions = (tmp_path / "captions.md").read_text("utf-8")
    figures = [name.removesuffix(".pdf") for name in written if name.endswith(".pdf")]
    assert sorted(re.findall(r"^`(.+?)`: ", captions, re.MULTILINE)) == figures
    (forest,) = re.findall(r"^`linear/forest-.*", captions, re.MULTILINE)
    assert " against " in forest
    assert "grey crosses are not" in forest
    assert "hollow" not in forest
    (ranks,) = re.findall(r"^`linear/ranks.*", captions, re.MULTILINE)
    assert "hollow" not in ranks
    assert "Hollow markers are baselines." in captions
    assert "linear/tiny_scene-v1-full/confusion-logmel.pdf" in written
    assert "linear/tiny_scene-v1-full/map.pdf" in written
    assert f"{len(written)} files in {tmp_path}" in capsys.readouterr().out
    assert not [name for name in written if re.search(r"[<>\"$& ]", name)]
    page = (tmp_path / "linear/ranks.pdf").read_bytes()
    assert b"/Subtype /Type3" not in page
    assert b"/FontFile2" in page
    width = float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", page)[1])
    assert width == pytest.approx(3.5 * 72)


def test_models_of_like_names_have_figures_of_their_own(material, tmp_path):
    model = next(m for _, _, m in material.records if m != "logmel")
    names = {"logmel": "m:1", model: "m_1"}
    records = {(p, t, names[m]): seeds for (p, t, m), seeds in material.records.items()}
    rows = material.rows.assign(model=material.rows.model.replace(names))
    alike = dataclasses.replace(material, rows=rows, records=records, baselines=(), results=None)
    task = "tiny_scene-v1-full"
    written = write_figures(alike, tmp_path, width=3.5, formats=("svg",), tasks=(task,))
    confusions = [path for path in written if path.name.startswith("confusion-")]
    assert len(written) == len(set(written))
    assert len({path.read_bytes() for path in confusions}) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--model", "nobody"], "No results of the model 'nobody'"),
        (["--protocol", "linaer"], "Did you mean 'linear'?"),
        (["nowhere.csv"], "no such file"),
    ],
)
def test_a_mistake_ends_in_a_sentence(changes, said, tmp_path, capsys):
    write_csv(report_runs.made_up_rows(2, 1), tmp_path / "results.csv")
    out = tmp_path / "report.html"
    assert call(["results", "report", str(tmp_path / "results.csv"), "-o", str(out), *changes]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_the_cure(package, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert call(["results", "report", str(tmp_path), "-o", str(tmp_path / "r.html")]) == 2
    said = capsys.readouterr().err
    assert package in said
    assert "pip install 'hear-byola[report]'" in said


def test_the_style_and_the_script_are_package_data():
    from importlib.resources import files

    folder = files("harness.report") / "page_data"
    assert {p.name for p in folder.iterdir()} == {"page.html.j2", "page.css", "page.js"}
    assert isinstance(Path(str(folder)), Path)


@pytest.mark.parametrize("command", ["report", "figures"])
def test_the_help_says_what_is_compared_with_what(command, capsys):
    assert call(["results", command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The others are compared with the first of them" in said
