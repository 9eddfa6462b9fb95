from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from support import task_directories

from harness.analysis.compare.gather import load as load_runs
from harness.core.errors import UserError
from harness.models.spec import parse_model
from harness.report.material import Material, gather
from harness.report.panel import TaskScope
from harness.report.panels.layer_weights import WEIGHTS
from harness.report.panels.layers import LAYERS
from harness.results import find_evaluations, load, read_results
from harness.results.record import read_record
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.listener import Listener
from harness.run.plan import Settings, TaskSource, make_plan

LAYERED = """
from harness.baselines import logmel
from harness.baselines.logmel import *

CALLS = []
N = 2


def load_model(path=""):
    model = logmel.load_model()
    model.layer_sizes = [6, model.scene_embedding_size, 4][:N]
    return model


def get_layer_embeddings(audio, model, layers, *, timestamps=False):
    CALLS.append(len(audio))
    times = None
    if timestamps:
        whole, times = get_timestamp_embeddings(audio, model)
    else:
        whole = get_scene_embeddings(audio, model)
    return [whole[..., : model.layer_sizes[layer]] for layer in layers], times
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both layers of a model and of the model that is its last layer."""
    root = tmp_path_factory.mktemp("layers")
    (root / "layered.py").write_text(LAYERED)
    tasks = [
        task_directories.make_task(root / "tasks", "scene", n=16, seconds=0.5),
        task_directories.make_task(root / "tasks", "events", n=6, seconds=2.0),
    ]
    settings = Settings(
        models=(
            parse_model(f"{root / 'layered.py'},layer=all,name=two"),
            parse_model("logmel"),
        ),
        tasks=tuple(TaskSource(directory, "tiny") for directory in tasks),
        protocols=("linear", "linear_layers"),
        out=root / "run",
    )
    plan = make_plan(settings)
    execute(plan, InlineEngine("cpu"), settings.out)
    assert all(evaluation.directory.is_dir() for evaluation in make_plan(settings))
    return settings.out


def test_layers_are_models_in_rows(run):
    rows = load(run)
    assert set(rows.status) == {"done"}
    assert set(rows.model[rows.protocol == "linear"]) == {"two@0", "two@1", "logmel"}
    rows = rows[rows.protocol == "linear"]
    assert set(rows[rows.model == "two@1"].layer) == {1}
    assert rows[rows.model == "logmel"].layer.isna().all()
    assert rows.groupby("model").model_fingerprint.nunique().tolist() == [1, 1, 1]
    assert rows.model_fingerprint.nunique() == 3
    sizes = rows.groupby("model").embedding_size.first()
    assert sizes["two@0"] == 6
    assert sizes["two@1"] == sizes["logmel"]


def test_a_layer_scores_as_the_model_that_it_is(run):
    rows = load(run)
    rows = rows[rows.protocol == "linear"].set_index(["task", "metric", "split"])
    last, same = (rows[rows.model == model].value.sort_index() for model in ("two@1", "logmel"))
    np.testing.assert_array_equal(last, same)
    first = rows[rows.model == "two@0"].value.sort_index()
    assert not np.array_equal(first, last)


def test_one_pass_embeds_all_layers(run):
    stores = [path.parent for path in (run / "embeddings").glob("*/*/*/manifest.json")]
    models = {store.parent.parent.name for store in stores}
    assert len(models) == 2  # both layers are in one store
    for record in map(read_record, find_evaluations(run)):
        for split in record.embeddings:
            found = record.read_embeddings(split)
            (row,) = read_results([record.directory])[:1].itertuples()
            # A sum of layers has the size of the largest, and reads all.
            whole = row.embedding_size + (6 if row.protocol == "linear_layers" else 0)
            assert found.embeddings.shape[1] == whole


@pytest.mark.parametrize("layer", ["1", "0..1"])
def test_a_layer_is_found_however_it_was_chosen(run, layer):
    tasks = tuple(TaskSource(task, "tiny") for task in (run.parent / "tasks").iterdir())
    model = parse_model(f"{run.parent / 'layered.py'},layer={layer},name=two")
    settings = Settings((model,), tasks, ("linear",), out=run)
    before = load(run)
    work: list[int] = []
    listener = Listener()
    listener.planned = lambda *counts: work.extend(counts)  # type: ignore[method-assign]
    summary = execute(make_plan(settings), InlineEngine("cpu"), run, listener=listener)
    assert work == [0, 0]
    assert not summary.table.empty
    table = load_runs(run).table
    assert set(table.model) == {"two", "two@0", "two@1", "logmel"}
    assert len(load(run)) == len(before)


def test_another_protocol_reads_a_layer_from_the_pass_over_all(run):
    tasks = tuple(TaskSource(task, "tiny") for task in (run.parent / "tasks").iterdir())
    models = [parse_model(f"{run.parent / 'layered.py'},layer={n},name=two") for n in "01"]
    settings = Settings((models[1],), tasks, ("knn",), out=run)
    plan = make_plan(settings)
    assert plan
    assert not any(evaluation.embeddings.missing() for evaluation in plan)
    both = [make_plan(dataclasses.replace(settings, models=(model,))) for model in models]
    assert not {e.directory for e in both[0]} & {e.directory for e in both[1]}


def test_a_range_of_layers_is_read_from_the_pass_over_all(tmp_path):
    module = tmp_path / "three.py"
    module.write_text(LAYERED.replace("N = 2", "N = 3"))
    task = TaskSource(task_directories.make_task(tmp_path, "scene", n=16, seconds=0.5), "tiny")

    def scores(layers: str, out: Path, embedded: int) -> list[float]:
        model = parse_model(f"{module},layer={layers},name=three")
        settings = Settings((model,), (task,), ("linear", "linear_layers"), out=out)
        plan = make_plan(settings)
        assert (
            len({unit.directory for each in plan for unit in each.embeddings.missing()}) == embedded
        )
        table = execute(plan, InlineEngine("cpu"), out).table
        assert set(table.status) == {"done"}
        chosen = table.sort_values(["model", "protocol", "metric"])
        return chosen.value.tolist()

    scores("all", tmp_path / "all", 3)
    found = scores("1..2", tmp_path / "all", 0)
    alone = scores("1..2", tmp_path / "alone", 3)
    np.testing.assert_array_equal(found, alone)


def test_the_report_draws_scores_by_layer(run):
    material = Material(load(run), (), {})
    task = material.tasks("linear")[0]
    panels = LAYERS.panels(TaskScope(material, "linear", task, {}))
    assert len(panels) == 1
    table = panels[0].table
    assert table is not None
    assert [row[:2] for row in table.rows] == [("two", "0"), ("two", "1")]
    assert panels[0].draw is not None
    (axis,) = panels[0].draw(5.0).axes
    assert axis.get_xlabel() == "layer"
    assert [list(line.get_xdata()) for line in axis.lines] == [[0.0, 1.0]]


def test_a_sum_of_layers_is_one_model_of_its_own_protocol(run):
    rows = load(run)
    rows = rows[rows.protocol == "linear_layers"]
    assert set(rows.model) == {"two"}  # logmel embeds one layer
    assert rows.layer.isna().all()
    assert set(rows.task_kind) == {"multiclass", "event"}
    for text in rows.selected_params:
        weights = json.loads(text)["layer_weights"]
        assert list(weights) == ["0", "1"]
        assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    # The layers and their sum are different models, and none is a twin of another.
    assert not load_runs(run).table.model.str.contains("two@[0-9a-f]{8}").any()


def test_the_report_draws_the_weights_of_layers(run):
    material = gather([run], ["linear_layers"])
    for task in material.tasks("linear_layers"):
        records = {"two": material.records["linear_layers", task, "two"]}
        (panel,) = WEIGHTS.panels(TaskScope(material, "linear_layers", task, records))
        assert panel.table is not None
        assert [row[:2] for row in panel.table.rows] == [("two", "0"), ("two", "1")]
        assert sum(float(row[2]) for row in panel.table.rows) == pytest.approx(1, abs=1e-3)
        assert panel.draw is not None
        (axis,) = panel.draw(5.0).axes
        assert axis.get_ylabel() == "weight"
    plain = {"logmel": gather([run]).records["linear", task, "logmel"]}
    assert WEIGHTS.panels(TaskScope(material, "linear", task, plain)) == ()


def test_a_model_of_one_layer_is_left_out_and_said(run, tmp_path):
    settings = Settings(
        models=(parse_model("logmel"),),
        tasks=(TaskSource(next(run.parent.joinpath("tasks").iterdir())),),
        protocols=("linear", "linear_layers"),
        out=tmp_path / "run",
    )
    said: list[str] = []
    assert {each.protocol for each in make_plan(settings, said.append)} == {"linear"}
    (line,) = [line for line in said if line.startswith("left out")]
    assert line.startswith("left out: logmel by linear_layers. The protocol needs several layers")
    with pytest.raises(UserError, match=r"Nothing to run\. The protocol needs several layers"):
        make_plan(dataclasses.replace(settings, protocols=("linear_layers",)))
