from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from support import task_directories

from harness.analysis.compare import compare_all
from harness.analysis.compare.gather import load
from harness.analysis.compare.paired import difference
from harness.analysis.table import format_table
from harness.analysis.table.cells import cells
from harness.core.errors import UserError
from harness.models.spec import parse_model
from harness.report.material import gather
from harness.report.panel import TaskScope
from harness.report.panels.shots import SHOTS
from harness.results.frames import SCARCE
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from harness.run.preflight import with_shots
from tasks.format.task import TaskSource


def hard_task(root: Path) -> Path:
    """Return a task with some wrong labels in its test split, so that no score is perfect."""
    sizes = {"train": 44, "valid": 20, "test": 40}
    directory = task_directories.make_task(root, "scene", n=sizes, seconds=0.3)
    path = directory / "test.json"
    labels = json.loads(path.read_text())
    for clip in list(labels)[:12]:
        labels[clip] = labels[list(labels)[-1]]
    path.write_text(json.dumps(labels))
    train = directory / "train.json"
    labels = json.loads(train.read_text())
    first = next(iter(labels.values()))
    gone = [clip for clip in labels if labels[clip] == first][3:]
    for clip in gone:
        (directory / "16000" / "train" / clip).unlink()
    train.write_text(json.dumps({clip: own for clip, own in labels.items() if clip not in gone}))
    return directory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shots")
    settings = Settings(
        models=(parse_model("logmel"), parse_model("random")),
        tasks=(TaskSource(hard_task(root)),),
        protocols=with_shots(["linear", "knn"], [1, 4, None]),
        draws=3,
        out=root / "run",
    )
    execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    return settings.out


def test_rows_of_shots_are_apart_from_full_data(run: Path) -> None:
    rows = load(run).rows
    assert set(rows.status) == {"done"}
    linear = rows[rows.protocol.str.startswith("linear")]
    counts = linear.groupby(["model", "protocol"]).seed.agg(["count", "max"])
    assert set(counts.loc["logmel"].itertuples(name=None)) == {
        ("linear", 1, 0),
        ("linear-1-shot", 3, 2),
        ("linear-4-shot", 3, 2),
    }
    assert rows.shots[rows.protocol == "linear"].isna().all()
    few = rows[rows.shots.notna()]
    assert (
        few.protocol == few.protocol.str.partition("-")[0] + few.shots.map("-{}-shot".format)
    ).all()
    n_labels = rows.n_classes.iloc[0]
    assert set(few.n_train[few.shots == 1]) == {n_labels}
    # One draw cannot measure the variance of draws, also of a protocol without randomness.
    assert (few.training_error > 0).all()
    assert (rows.training_error[rows.protocol == "linear"] == 0).all()


def test_the_interval_includes_the_variance_of_draws(run: Path) -> None:
    rows = load(run).rows
    for protocol in ("linear-1-shot", "knn-4-shot"):
        table = cells(rows, protocol)
        table = table[table.n_tasks.isna()].set_index("model")
        for model, own in rows[rows.protocol == protocol].groupby("model"):
            cell = table.loc[model]
            assert cell.n_seeds == 3
            assert cell.value == pytest.approx(own.value.mean())
            assert cell.training == ("seeds" if own.value.nunique() > 1 else "allowance")
            assert cell.seed_sd == pytest.approx(own.value.std())


def test_comparisons_are_paired_by_draw(run: Path) -> None:
    results = load(run)
    found = {c.protocol: c for c in compare_all(results, ["logmel", "random"])}
    assert list(found) == [
        "knn",
        "knn-1-shot",
        "knn-4-shot",
        "linear",
        "linear-1-shot",
        "linear-4-shot",
    ]
    rows = results.rows
    sides = [
        [
            results.measure(row)
            for _, row in rows[(rows.model == m) & (rows.protocol == "linear-1-shot")].iterrows()
        ]
        for m in ("logmel", "random")
    ]
    paired = difference(*sides)
    by_draw = [a.value - b.value for a, b in zip(*sides, strict=True)]
    assert paired.value == pytest.approx(np.mean(by_draw))
    assert len(paired.parts) == 2
    assert paired.parts[1].variance == pytest.approx(np.var(by_draw, ddof=1) / 3)
    assert paired.parts[1].freedom == 2
    assert "draws (3, paired)" in paired.method
    # Other draws cannot be paired.
    apart = difference(
        sides[0], [dataclasses.replace(each, seed=each.seed + 1) for each in sides[1]]
    )
    assert len(apart.parts) == 3
    assert "unpaired draws (3 and 3)" in apart.method


def test_the_table_has_a_column_for_each_number_of_shots(run: Path) -> None:
    text = format_table(load(run).rows)
    (line,) = [line for line in text.splitlines() if line.startswith("| linear on")]
    assert [cell.strip() for cell in line.strip("|").split("|")[1:]] == ["1 shot", "4 shots"]
    assert "the variance between draws of training clips" in text
    assert "in 3 draws. A draw has the same clips for all models." in text
    csv = format_table(load(run).rows, "csv").splitlines()
    assert csv[0].startswith("protocol,model,")
    assert csv[0].endswith(",shots")
    assert any(each.startswith("linear-4-shot,logmel,") and each.endswith(",4") for each in csv)


def test_the_report_draws_the_curve(run: Path) -> None:
    material = gather([run])
    assert material.protocols == ("knn", "linear")
    assert material.family("linear") == ("linear-1-shot", "linear-4-shot", "linear")
    (panel,) = SHOTS.panels(TaskScope(material, "linear", material.tasks("linear")[0], {}))
    assert panel.table is not None
    assert [row[:2] for row in panel.table.rows] == [
        (model, shots) for model in ("logmel", "random") for shots in ("1", "4", "all")
    ]
    assert panel.draw is not None
    (axis,) = panel.draw(5.0).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "4", "all"]
    assert gather([run], ["linear-1-shot"]).protocols == ("linear-1-shot",)


def test_what_cannot_be_drawn_is_found_before_work(tmp_path: Path) -> None:
    source = TaskSource(task_directories.make_task(tmp_path, "scene", n=8, seconds=0.3))
    settings = Settings(
        (parse_model("logmel"),), (source,), ("linear-64-shot",), out=tmp_path / "run"
    )
    with pytest.raises(UserError, match="64 shots of each label are the whole training split"):
        make_plan(settings)
    with pytest.raises(UserError, match="--draws must be 2 or more, not 1"):
        make_plan(dataclasses.replace(settings, protocols=("linear-1-shot",), draws=1))
    with pytest.raises(UserError, match="Shots must be whole numbers from 1 on, or `all`, not 0"):
        with_shots(["linear"], [0])
    said: list[str] = []
    plan = make_plan(
        dataclasses.replace(settings, protocols=("linear", "linear-64-shot")), said.append
    )
    assert {each.protocol for each in plan} == {"linear"}
    assert plan.unsupported == {"linear-64-shot": ("tiny_scene-v1-full",)}
    assert any("linear-64-shot" in line for line in said)


def test_scarce_labels_are_noted(run: Path) -> None:
    rows = load(run).rows
    noted = rows[rows.notes.str.contains(SCARCE)]
    assert set(noted.protocol) == {"linear-4-shot", "knn-4-shot"}
    assert all(re.search(rf"{SCARCE}: [^,]+ \(3\)$", note) for note in noted.notes)
    assert "Some labels have fewer training clips than shots" in format_table(rows)
