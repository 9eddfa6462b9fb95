from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from support.probe_data import balanced, class_task, event_task, label_task
from torch import nn
from torch.nn import functional

from harness.core.errors import UserError
from harness.embeddings.store import SplitEmbeddings
from harness.probe import find_protocol, next_units
from harness.probe import layer_rows as module
from harness.probe.folddata import FoldData, read_fold
from harness.probe.layer_rows import LayerRows
from harness.probe.linear_layers import LayerPath
from harness.probe.partial import Partial
from harness.probe.run import run_unit
from harness.probe.units import ProbeUnit

SPLITS = {"train": balanced(240), "valid": balanced(60), "test": balanced(60)}


def in_layers(
    embeddings: Mapping[str, SplitEmbeddings], noise: tuple[float, ...], seed: int = 0
) -> dict[str, SplitEmbeddings]:
    """Return embeddings of layers: the given ones with noise, at other offsets and scales."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, split in embeddings.items():
        rows, size = split.embeddings, split.embeddings.shape[1]
        layers = [
            10.0**number * (rows + sd * rng.normal(size=rows.shape)) + 3 * number
            for number, sd in enumerate(noise)
        ]
        columns = {str(i): [i * size, (i + 1) * size] for i in range(len(noise))}
        whole = np.concatenate(layers, axis=1).astype(np.float32)
        found[name] = dataclasses.replace(split, embeddings=whole, manifest={"layers": columns})
    return found


def fold_of(task, embeddings) -> FoldData:
    return read_fold(task, task.folds[0], embeddings, "cpu", shuffle=True, standardise=True)


class Plain(nn.Module):
    """Softmax weights of layers, which begin at zeros, and a linear layer."""

    def __init__(self, layers: int, size: int, outputs: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(layers, dtype=torch.float64))
        self.linear = nn.Linear(size, outputs, dtype=torch.float64)
        nn.init.zeros_(self.linear.weight)

    def forward(self, layers: torch.Tensor) -> torch.Tensor:  # (n, layers, size)
        return self.linear((torch.softmax(self.a, 0)[:, None] * layers).sum(1))


def objective(model: Plain, rows: torch.Tensor, targets: torch.Tensor, l2: float) -> torch.Tensor:
    logits = model(rows)
    if targets.dtype == torch.int64:
        loss = functional.cross_entropy(logits, targets)
    else:
        loss = (
            functional.binary_cross_entropy_with_logits(logits, targets.double()) * logits.shape[1]
        )
    return loss + l2 / 2 * model.linear.weight.square().sum()


def plainly_fitted(rows: torch.Tensor, targets: torch.Tensor, outputs: int, l2: float) -> Plain:
    model = Plain(rows.shape[1], rows.shape[2], outputs)
    optimiser = torch.optim.LBFGS(
        model.parameters(),
        max_iter=400,
        tolerance_grad=1e-7,
        tolerance_change=1e-14,
        history_size=50,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = objective(model, rows, targets, l2)
        value.backward()
        return value

    optimiser.step(closure)
    return model


@pytest.mark.parametrize(
    ("kind", "l2"), [("multiclass", 1e-2), ("multilabel", 3e-2), ("event", 1e-3)]
)
def test_the_optimum_is_that_of_a_plain_module(kind: str, l2: float) -> None:
    if kind == "multiclass":
        task, plain = class_task(SPLITS, noise=0.3)
    elif kind == "multilabel":
        task, plain = label_task(n=150)
    else:
        task, plain = event_task(noise=0.5)
    data = fold_of(task, in_layers(plain, (2.0, 1.5, 4.0)))
    rows = LayerRows.of_train(data)
    fit = LayerPath(rows, data.train_targets, len(task.labels))
    fit = fit.refine(fit.fit(l2))
    assert fit.converged

    whole = torch.from_numpy(data.embeddings["train"].embeddings.astype(np.float64))
    whole = (whole - whole.mean(0)) / whole.std(0, correction=0)
    layers = whole.view(len(whole), 3, -1)
    expected = plainly_fitted(layers, data.train_targets, len(task.labels), l2)
    found = Plain(3, layers.shape[2], len(task.labels))
    with torch.no_grad():
        found.a.copy_(fit.mixture.double().log())
        found.linear.weight.copy_(fit.weight.T)
        found.linear.bias.copy_(fit.bias)
        values = [float(objective(m, layers, data.train_targets, l2)) for m in (found, expected)]
        assert values[0] == pytest.approx(values[1], rel=1e-6)
        weights = torch.softmax(expected.a, 0).numpy()
        assert 0.02 < weights.min() < weights.max() < 0.9  # the optimum is inside
        np.testing.assert_allclose(fit.mixture.numpy(), weights, atol=3e-3)
        # Softmax, since a constant added to all classes' biases changes nothing.
        predict = torch.sigmoid if kind != "multiclass" else lambda logits: logits.softmax(1)
        answers = [predict(m(layers)) for m in (found, expected)]
        torch.testing.assert_close(*answers, atol=3e-3, rtol=0)
        mixed = predict(fit.logits(rows.mixed(fit.mixture)))
        torch.testing.assert_close(mixed.double(), answers[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["multiclass", "event"])
def test_a_layer_that_is_best_alone_gets_the_score_of_linear(kind: str) -> None:
    task, plain = class_task(SPLITS, noise=1.5) if kind == "multiclass" else event_task()
    embeddings = in_layers(plain, (60.0, 0.0, 60.0))
    unit = ProbeUnit(0)
    mixed = run_unit(find_protocol("linear_layers"), unit, task, embeddings, 0)
    weights = mixed.params["layer_weights"]
    assert list(weights) == ["0", "1", "2"]
    assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    assert weights["1"] > 0.97
    alone = {
        name: dataclasses.replace(e, embeddings=e.embeddings[:, 8:16])
        for name, e in embeddings.items()
    }
    single = run_unit(find_protocol("linear"), unit, task, alone, 0)
    assert mixed.valid_score == pytest.approx(single.valid_score, abs=0.02)
    assert np.abs(mixed.probabilities - single.probabilities).max() < 0.1


def test_smaller_layers_are_filled_up_with_zeros() -> None:
    task, plain = class_task(SPLITS, size=8)
    rng = np.random.default_rng(0)
    found = {}
    for name, split in plain.items():
        small = rng.normal(size=(len(split.clips), 3)).astype(np.float32)
        whole = np.concatenate([small, split.embeddings], axis=1)
        layers = {"layers": {"4": [0, 3], "7": [3, 11]}}
        found[name] = dataclasses.replace(split, embeddings=whole, manifest=layers)
    rows = LayerRows.of_train(fold_of(task, found))
    assert (rows.size, len(rows)) == (8, 240)
    mixed = rows.mixed(torch.tensor([1.0, 0.0]))
    assert not mixed[:, 3:].any()
    torch.testing.assert_close(mixed[:, :3].mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    alone = fold_of(task, plain).train
    torch.testing.assert_close(rows.mixed(torch.tensor([0.0, 1.0])), alone)
    params = run_unit(find_protocol("linear_layers"), ProbeUnit(0), task, found, 0).params
    assert list(params["layer_weights"]) == ["4", "7"]


def test_batches_change_nothing_and_bound_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    task, plain = class_task({**SPLITS, "train": balanced(3000)}, size=64)
    embeddings = in_layers(plain, (1.0, 2.0, 1.0, 3.0, 1.0, 2.0, 1.0, 3.0), seed=1)
    data = fold_of(task, embeddings)
    weights = torch.softmax(torch.arange(8.0) / 4, 0)
    kept = torch.arange(0, 3000, 7)
    whole, some = LayerRows.of_train(data), LayerRows.of_train(data, kept)
    expected = whole.mixed(weights)
    products = whole.products(expected)
    by_hand = [
        float((whole.mixed(torch.eye(8)[i]) * expected).sum(dtype=torch.float64)) for i in range(8)
    ]
    np.testing.assert_allclose(products, by_hand, rtol=1e-4)
    torch.testing.assert_close(some.mixed(weights), expected[kept])

    monkeypatch.setattr(module, "_BATCH", 100 * 512)
    monkeypatch.setattr(module, "_KEPT", 0)
    tracemalloc.start()
    rows = LayerRows.of_train(data)
    torch.testing.assert_close(rows.mixed(weights), expected)
    np.testing.assert_allclose(rows.products(expected), products, rtol=1e-6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = 3000 * 512 * 4
    assert peak < 0.4 * size  # a batch in float64, not the 6 MB of all layers
    torch.testing.assert_close(LayerRows.of_train(data, kept).mixed(weights), expected[kept])


def test_a_stopped_path_goes_on(tmp_path: Path) -> None:
    task, plain = class_task({**SPLITS, "train": balanced(60)}, noise=2.0)
    embeddings = in_layers(plain, (2.0, 1.0))
    protocol = find_protocol("linear_layers")
    (unit,) = next_units(protocol, task, {})
    whole = run_unit(protocol, unit, task, embeddings, 0)
    assert len(whole.curve) > 3

    class Stop(Exception):
        pass

    def stop(text: str) -> None:
        if text.startswith("strength 4"):
            raise Stop

    kept = Partial(tmp_path / "probe.partial", every=0)
    with pytest.raises(Stop):
        run_unit(protocol, unit, task, embeddings, 0, tell=stop, partial=kept)
    again = run_unit(protocol, unit, task, embeddings, 0, partial=kept)
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)
    assert (again.curve, again.params) == (whole.curve, whole.params)


def test_embeddings_of_one_layer_are_refused() -> None:
    task, embeddings = class_task(SPLITS)
    with pytest.raises(UserError, match=r"not those of several layers\. Give the model the option"):
        run_unit(find_protocol("linear_layers"), ProbeUnit(0), task, embeddings, 0)


def test_an_embedding_that_is_not_a_number_is_named() -> None:
    task, plain = class_task(SPLITS)
    embeddings = in_layers(plain, (1.0, 1.0))
    embeddings["train"].embeddings[7, 11] = np.nan
    with pytest.raises(UserError, match=r"train/train-7\.wav' has NaN"):
        run_unit(find_protocol("linear_layers"), ProbeUnit(0), task, embeddings, 0)
