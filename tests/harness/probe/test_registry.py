"""The registry of protocols, and a protocol that one module adds."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.probe_data import balanced, class_task, event_task

import harness.probe.protocols
from harness.core.discovery import defined_in
from harness.core.errors import UserError
from harness.core.hashing import sha256_of
from harness.metrics.registry import scene_metric
from harness.probe import PROTOCOLS, Protocol, find_protocol, next_units, selected_units
from harness.probe.protocol import SelectBy
from harness.probe.run import run_unit
from tasks.format.task import multiclass_targets

NEAREST_MEAN = '''
from harness.probe.classifier import Classifier, FittedClassifier
from harness.probe.protocol import MULTICLASS, Protocol


class NearestMean(Classifier):
    """The class whose mean of train rows is nearest."""

    name = "nearest_mean"

    def fit(self, data, trial):
        import torch

        classes = range(len(data.task.labels))
        means = torch.stack([data.train[data.train_targets == c].mean(0) for c in classes])
        return FittedClassifier(lambda rows: torch.cdist(rows, means).neg().softmax(1).numpy())

    def is_random(self, params, n_rows):
        return False


nearest_mean = Protocol(
    name="nearest_mean",
    description="the class whose mean is nearest",
    kinds=(MULTICLASS,),
    classifier=NearestMean(),
)
'''
SPLITS = {"train": balanced(60), "valid": balanced(30), "test": balanced(30)}


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Protocol]:
    """A protocol whose module lies beside the others."""
    (tmp_path / "nearest_mean.py").write_text(NEAREST_MEAN)
    paths = [*harness.probe.protocols.__path__, str(tmp_path)]
    monkeypatch.setattr(harness.probe.protocols, "__path__", paths)
    importlib.invalidate_caches()
    found = defined_in(harness.probe.protocols, Protocol)
    assert found.keys() - PROTOCOLS.keys() == {"nearest_mean"}
    yield found["nearest_mean"]
    sys.modules.pop("harness.probe.protocols.nearest_mean", None)


@pytest.mark.parametrize("select_by", SelectBy)
def test_a_protocol_is_one_module(added: Protocol, select_by: SelectBy) -> None:
    protocol = dataclasses.replace(added, select_by=select_by)
    task, embeddings = class_task(SPLITS, noise=0.2)
    (unit,) = next_units(protocol, task, {})
    found = run_unit(protocol, unit, task, embeddings, 0)
    metric = scene_metric("top1_acc")
    assert metric.score(found.probabilities, multiclass_targets(task, "test")).value == 1
    # What a classifier did not judge itself is judged on validation.
    assert found.valid_score == (1 if select_by == SelectBy.METRIC else found.valid_loss)
    assert 0 < found.valid_loss < np.log(3)
    assert selected_units(protocol, task, {unit: found.judged}) == [[unit]]


def test_every_protocol_is_described_in_one_line() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.description
        assert "\n" not in protocol.description
        assert set(protocol.kinds) <= {"multiclass", "multilabel", "event"}


def test_an_unknown_name_is_an_error_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Unknown protocol 'linaer'\. Did you mean 'linear'"):
        find_protocol("linaer")


def test_finished_probes_are_found_again() -> None:
    # Another value means that every probe of that protocol is computed again.
    found = {name: sha256_of(protocol.identity())[:12] for name, protocol in PROTOCOLS.items()}
    assert found == {
        "byola": "24d293667752",
        "hear2021": "afed02a3940f",
        "knn": "fc4ac6077caf",
        "linear": "0bba9dbeb321",
        "linear_layers": "eb452df39524",
        "mlp": "ae109ed9b375",
        "retrieval": "9f41adfcd032",
    }


def test_a_classifier_knows_whether_it_is_random() -> None:
    random = {name: protocol.classifier.is_random({}, 9) for name, protocol in PROTOCOLS.items()}
    assert {name for name, is_random in random.items() if is_random} == {"byola", "hear2021", "mlp"}
    frames = {"positive_frames": 3, "negative_frames": 4}
    linear = PROTOCOLS["linear"].classifier
    assert [linear.is_random(frames, n) for n in (7, 8)] == [False, True]


def test_a_small_event_task_is_not_sampled() -> None:
    task, embeddings = event_task()
    protocol = PROTOCOLS["linear"]
    found = run_unit(protocol, next_units(protocol, task, {})[0], task, embeddings, 0)
    assert not protocol.classifier.is_random(found.params, len(embeddings["train"].embeddings))


def test_listing_protocols_imports_no_torch() -> None:
    code = "import sys, harness.probe; print({'torch', 'pandas', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
