"""The registry of metrics, and a metric that one module adds."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.result_rows import row

import harness.metrics.definitions
from harness.analysis.table.intervals import seeds_interval
from harness.core.discovery import defined_in
from harness.core.errors import UserError
from harness.metrics import registry
from harness.metrics.intervals import estimate
from harness.metrics.metric import Metric
from harness.metrics.registry import (
    METRICS,
    REPORTED,
    RETRIEVAL,
    event_metric,
    find_metric,
    metrics_of,
)
from harness.metrics.scene_metric import SceneFold
from harness.results import frame

BALANCED_ACCURACY = """
from dataclasses import dataclass

import numpy as np

from harness.metrics.macro_mean import MacroMean, WeightedClasses


@dataclass(frozen=True, kw_only=True)
class BalancedAccuracy(MacroMean):
    prediction_types: tuple[str, ...] = ("multiclass",)

    def weighted(self, probabilities, positives):
        right = positives.any(axis=1) & (probabilities.argmax(1) == positives.argmax(1))

        def scores(weights):
            found = positives.T.astype(float) @ (weights * right[:, None])
            total = positives.T.astype(float) @ weights
            return np.divide(found, total, out=np.full(total.shape, np.nan), where=total > 0)

        return WeightedClasses(scores, len(positives))

    def chance(self, truth):
        return 1 / truth[0].shape[1]


balanced_acc = BalancedAccuracy(name="balanced_acc")
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A metric whose module lies beside the others."""
    (tmp_path / "balanced_acc.py").write_text(BALANCED_ACCURACY)
    paths = [*harness.metrics.definitions.__path__, str(tmp_path)]
    monkeypatch.setattr(harness.metrics.definitions, "__path__", paths)
    importlib.invalidate_caches()
    yield "balanced_acc"
    sys.modules.pop("harness.metrics.definitions.balanced_acc", None)


def test_a_metric_is_one_module(added: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = defined_in(harness.metrics.definitions, Metric)
    assert found.keys() - METRICS.keys() == {added}
    monkeypatch.setattr(registry, "REPORTED", found)
    metric = find_metric(added)
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 3
    folds = [SceneFold(rng.normal(size=(1, 60, 3)) + np.eye(3)[targets], targets)]
    scored = estimate(metric, folds)
    assert scored.value == metric.scores(folds[0])[0].value
    # Classes are of one size, so it is the accuracy.
    assert scored.value == pytest.approx(np.mean(folds[0].probabilities[0].argmax(1) == targets))
    assert scored.interval.low < scored.value < scored.interval.high
    assert scored.interval.method == "jackknife t over 60 clips"


def test_a_name_is_defined_once(tmp_path: Path, added: str) -> None:
    (tmp_path / "again.py").write_text(BALANCED_ACCURACY)
    with pytest.raises(ValueError, match="'balanced_acc' a second time"):
        defined_in(harness.metrics.definitions, Metric)
    sys.modules.pop("harness.metrics.definitions.again", None)


@pytest.mark.parametrize(
    ("name", "near"),
    [("top_acc", "top1_acc"), ("map", "mAP"), ("segment_er", "segment_1s_er")],
)
def test_an_unknown_name_is_an_error_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"no metric '{name}'. Did you mean '{near}'"):
        find_metric(name)


def test_a_metric_of_the_other_kind_is_an_error() -> None:
    with pytest.raises(UserError, match="There is no event metric 'mAP'"):
        event_metric("mAP")


def test_rows_of_an_unknown_metric_have_no_interval_of_another() -> None:
    tested = {"standard_error": 0.05, "freedom": 30.0, "ci_low": 0.3, "ci_high": 0.8}
    rows = [row(metric="top_acc", seed=s, value=0.5 + s / 10, **tested) for s in range(2)]
    with pytest.raises(UserError, match="Did you mean 'top1_acc'"):
        seeds_interval({name: column.to_numpy() for name, column in frame(rows).items()})


def test_parts_are_reported_and_no_metrics_of_tasks() -> None:
    parts = REPORTED.keys() - METRICS.keys() - RETRIEVAL.keys()
    assert "event_onset_50ms_fms_precision" in parts
    assert all(find_metric(part).embedding_type == "event" for part in parts)


@pytest.mark.parametrize("metric", (METRICS | RETRIEVAL).values(), ids=(METRICS | RETRIEVAL).keys())
def test_what_every_metric_says_of_itself(metric) -> None:
    low, high = metric.range
    assert low < high
    # Tasks do not list metrics of retrieval.
    assert (metric.name in metrics_of(metric.embedding_type)) == (metric.name in METRICS)
    assert all(metric.is_for(metric.embedding_type, kind) for kind in metric.prediction_types)
    truth = [np.arange(24)[:, None] % 4 == np.arange(4)]
    chance, best = metric.chance(truth), metric.best(truth)
    assert low <= chance <= high
    assert low <= best <= high
    assert (best > chance) == metric.higher_is_better


def test_names_are_known_without_scipy_or_torch() -> None:
    code = "import sys, harness.metrics.registry; print({'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
