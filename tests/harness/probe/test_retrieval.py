"""Rankings by cosine, against scikit-learn, and the protocol ``retrieval``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from support import task_directories
from support.probe_data import balanced, class_task, label_task

import harness.probe.retrieval as module
from harness.analysis.compare import compare
from harness.analysis.compare.gather import load
from harness.models.spec import parse_model
from harness.probe import find_protocol
from harness.probe.retrieval import Gallery
from harness.probe.run import run_unit
from harness.probe.units import ProbeUnit, UnitResult
from harness.report.material import gather
from harness.results import find_evaluations
from harness.results.record import read_record
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource, multiclass_targets, multilabel_targets

SPLITS = {"train": balanced(40), "valid": balanced(12), "test": balanced(30)}


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


@pytest.mark.parametrize("chunk", [2**22, 7])
def test_rankings_are_those_of_scikit_learn(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    gallery, queries = rows(50, 0), rows(20, 1)
    gallery[10:15] = gallery[5:10]  # ties, also between classes
    gallery[20] = 0
    queries[3] = 0
    targets = torch.arange(50) % 3
    found = Gallery(torch.from_numpy(gallery), targets, 4)
    cosines = cosine_similarity(queries.astype(np.float64), gallery.astype(np.float64)).round(6)
    precisions, first = (each.numpy() for each in found.rank(torch.from_numpy(queries)))
    best = found.similarities(torch.from_numpy(queries)).numpy()
    for query in range(20):
        for c in range(3):
            relevant = targets.numpy() == c
            expected = average_precision_score(relevant, cosines[query])
            assert precisions[query, c] == pytest.approx(expected, abs=1e-5)
            expected = relevant[cosines[query] == cosines[query].max()].mean()
            assert first[query, c] == pytest.approx(expected, abs=1e-6)
            expected = (1 + cosines[query][relevant].max()) / 2
            assert best[query, c] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(precisions[:, 3]).all()
    assert np.isnan(first[:, 3]).all()
    assert (best[:, 3] == 0).all()


def test_labels_are_ranked_one_by_one() -> None:
    gallery, queries = rows(40, 0), rows(10, 1)
    hot = (np.random.default_rng(2).random((40, 3)) < 0.4).astype(np.float32)
    found = Gallery(torch.from_numpy(gallery), torch.from_numpy(hot), 3)
    cosines = cosine_similarity(queries, gallery)
    precisions = found.rank(torch.from_numpy(queries))[0].numpy()
    for query in range(10):
        for c in range(3):
            expected = average_precision_score(hot[:, c], cosines[query])
            assert precisions[query, c] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_test_clips_are_queries_and_train_clips_the_gallery(kind: str, tmp_path: Path) -> None:
    task, embeddings = class_task(SPLITS) if kind == "multiclass" else label_task()
    found = run_unit(find_protocol("retrieval"), ProbeUnit(0), task, embeddings, 0)
    read = multiclass_targets if kind == "multiclass" else multilabel_targets
    gallery = Gallery(
        torch.from_numpy(embeddings["train"].embeddings),
        torch.from_numpy(read(task, "train")),
        len(task.labels),
    )
    queries = torch.from_numpy(embeddings["test"].embeddings)
    np.testing.assert_array_equal(found.probabilities, gallery.similarities(queries).numpy())
    average, first = gallery.rank(queries)
    np.testing.assert_array_equal(found.average_precision, average)
    np.testing.assert_array_equal(found.precision_at_1, first)
    if kind == "multiclass":
        nearest = cosine_similarity(queries, embeddings["train"].embeddings).argmax(1)
        expected = read(task, "train")[nearest]
        np.testing.assert_array_equal(found.probabilities.argmax(1), expected)
    found.to_files(tmp_path)
    again = UnitResult.from_files(tmp_path)
    np.testing.assert_array_equal(again.average_precision, found.average_precision)
    np.testing.assert_array_equal(again.precision_at_1, found.precision_at_1)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_of_equally_near_clips_precision_at_1_is_the_mean_over_their_orders(value: float) -> None:
    """All embeddings are equal, as of a collapsed encoder or of silence."""
    rng = np.random.default_rng(0)
    targets, classes = rng.integers(10, size=200), rng.integers(10, size=30)
    gallery = Gallery(torch.full((200, 4), value), torch.from_numpy(targets), 10)
    _, first = gallery.rank(torch.full((30, 4), value))
    found = first[torch.arange(30), torch.from_numpy(classes)].mean().item()
    hits = [(targets[rng.integers(200, size=30)] == classes).mean() for _ in range(4000)]
    assert found == pytest.approx(np.mean(hits), abs=0.004)


def test_scale_and_seed_change_nothing() -> None:
    task, embeddings = class_task(SPLITS)
    first = run_unit(find_protocol("retrieval"), ProbeUnit(0), task, embeddings, 0)
    for split in embeddings.values():
        split.embeddings[:] *= 1024
    again = run_unit(find_protocol("retrieval"), ProbeUnit(0), task, embeddings, 1)
    np.testing.assert_allclose(again.average_precision, first.average_precision, atol=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("retrieval")
    kinds = ("scene", "multilabel", "events")
    tasks = [task_directories.make_task(root / "tasks", kind, n=12, seconds=0.3) for kind in kinds]
    settings = Settings(
        models=(parse_model("logmel"), parse_model("random")),
        tasks=tuple(map(TaskSource, tasks)),
        protocols=("retrieval", "knn"),
        out=root / "run",
    )
    plan = make_plan(settings)
    assert plan.unsupported["retrieval"] == ("tiny_events-v1-full",)
    execute(plan, InlineEngine("cpu"), settings.out)
    return settings.out


def test_rows_have_the_metrics_of_the_protocol(run: Path) -> None:
    table = load(run).table
    assert set(table.status) == {"done"}
    found = table[table.protocol == "retrieval"]
    metrics = found[found.split == "all"].groupby("task").metric.unique().map(set)
    both = {"retrieval_mAP", "precision_at_1"}
    assert metrics["tiny_multilabel-v1-full"] == both
    assert metrics["tiny_scene-v1-full"] == both | {"eer"}
    assert set(found.metric[found.is_primary]) == {"retrieval_mAP"}
    assert (found.training_error == 0).all()
    assert not found.notes.str.contains("out of scale").any()
    others = table[table.protocol == "knn"]
    assert not set(others.metric) & (both | {"eer"})


def test_its_records_can_be_read_compared_and_reported(run: Path) -> None:
    records = [read_record(place) for place in find_evaluations(run) if "retrieval" in place.name]
    assert {record.evaluation[0] for record in records} == {"retrieval_mAP"}
    for record in records:
        for fold in record.read_predictions():
            assert fold.average_precision is not None
            assert fold.average_precision.shape == fold.probabilities.shape
    found = compare(load(run), ["logmel", "random"], "retrieval")
    assert set(found.tasks.metric) == {"retrieval_mAP"}
    assert found.tasks.verdict.str.contains("cannot be paired").sum() == 0
    assert set(gather([run]).protocols) == {"knn", "retrieval"}
