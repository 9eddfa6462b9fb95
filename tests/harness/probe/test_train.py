from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from harness.probe.classifier import Trial
from harness.probe.judge import Check
from harness.probe.layers import Dropout, product
from harness.probe.network import Network, loss_of, probabilities_of
from harness.probe.partial import Partial
from harness.probe.train import Examples, Fitted, MLPSettings, MLPTraining, batches

QUICK = MLPSettings(
    hidden_layers=1,
    hidden_dim=16,
    dropout=0.1,
    initialization="xavier_uniform",
    norm_after_activation=False,
    lr=1e-2,
    batch_size=32,
    max_epochs=30,
    check_val_every_n_epoch=3,
    patience=4,
)


def changed(**fields) -> MLPSettings:
    return MLPSettings(**{**QUICK.__dict__, **fields})


def generators(stream: str, device: str) -> torch.Generator:
    return torch.Generator(device).manual_seed(sum(stream.encode()))


def toy(n: int = 70, size: int = 6, classes: int = 3, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % classes
    centres = torch.randn(classes, size, generator=generator)
    return centres[targets] + 0.3 * torch.randn(n, size, generator=generator), targets


class Scripted:
    """A judge that gives scores one after the other, and keeps the logits it was shown."""

    def __init__(
        self,
        scores: Sequence[float],
        *,
        ends: bool = True,
        higher: bool = True,
        perfect: float = math.nan,
    ) -> None:
        self.scores, self.seen, self.ends = list(scores), [], ends
        self.higher_is_better, self.perfect = higher, perfect

    def __call__(self, logits: torch.Tensor) -> Check:
        self.seen.append(logits.clone())
        score = self.scores[len(self.seen) - 1]
        return Check(score, 0.0, None, self.ends and not math.isfinite(score))

    def better(self, score: float, best: float) -> bool:
        return score > best if self.higher_is_better else score < best


class Accuracy(Scripted):
    """A judge that computes the accuracy on targets."""

    def __init__(self, targets: torch.Tensor, **fields) -> None:
        super().__init__((), **fields)
        self.targets = targets

    def __call__(self, logits: torch.Tensor) -> Check:
        return Check(float((logits.argmax(1) == self.targets).float().mean()), 0.0)


def training(
    settings: MLPSettings, judge, *, shuffle=False, data=None, partial=None, tell=lambda _: None
) -> MLPTraining:
    rows, targets = data or toy()
    examples = Examples(rows=rows, targets=targets, n_outputs=3, valid_rows=rows)
    trial = Trial(
        point=(),
        grid={},
        shuffle=shuffle,
        judge=judge,
        generator=generators,
        tell=tell,
        partial=partial or Partial(),
    )
    return MLPTraining(settings, examples, trial)


def run(settings: MLPSettings, judge, **how) -> Fitted:
    return training(settings, judge, **how).run()


@given(st.integers(1, 5000), st.integers(2, 1100))
def test_batches_cover_the_rows_in_order_and_none_has_a_single_row(n: int, size: int) -> None:
    bounds = batches(n, size)
    assert [start for start, _ in bounds] == [0, *[stop for _, stop in bounds[:-1]]]
    assert bounds[-1][1] == n
    lengths = [stop - start for start, stop in bounds]
    assert min(lengths) > 1 or n == 1
    assert all(length == size for length in lengths[:-1])
    assert lengths[-1] <= size + 1


def test_products_take_views_of_any_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    many = torch.randn(40, 70, generator=generator)
    for m, n, k in itertools.product((1, 2, 17), (1, 5), (1, 2, 33)):
        for a in (many[3 : 3 + m, :k], many[:k, :m].T):
            for b in (many[:n, 4 : 4 + k], many[:k, 2 : 2 + n].T):
                found = product(a, b, many[0, :n])
                assert found.is_contiguous()
                expected = a.double() @ b.double().T + many[0, :n]
                torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_products_that_overflow_are_infinite_without_a_warning() -> None:
    large = torch.full((2, 3), 1e30)
    assert product(large, large).isposinf().all()
    assert product(large * torch.inf, large * 0).isnan().all()


def test_weights_are_xavier_with_gain_one_then_sqrt_two() -> None:
    network = Network([300, 400, 400, 200], "xavier_uniform", generators("init", "cpu"))
    linear = [*(block.linear for block in network.blocks), network.last]
    assert [tuple(layer.weight.shape) for layer in linear] == [(400, 300), (400, 400), (200, 400)]
    for layer, gain in zip(linear, (1, math.sqrt(2), math.sqrt(2)), strict=True):
        outputs, inputs = layer.weight.shape
        bound = gain * math.sqrt(6 / (inputs + outputs))
        assert layer.weight.abs().max() <= bound
        assert float(layer.weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
        assert 0.9 / math.sqrt(inputs) < layer.bias.abs().max() <= 1 / math.sqrt(inputs)


def test_normal_weights_have_the_same_deviation() -> None:
    network = Network([300, 400, 5], "xavier_normal", generators("init", "cpu"))
    weight = network.blocks[0].linear.weight
    assert float(weight.std()) == pytest.approx(math.sqrt(2 / 700), rel=0.02)
    assert weight.abs().max() > math.sqrt(6 / 700)


def plain(network: Network, dropout: Dropout | None = None) -> nn.Sequential:
    """The same network of torch's layers; a dropout draws from a generator of its own."""

    class Dropping(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if dropout is None or not self.training:
                return x
            return x * dropout.drop(torch.ones_like(x)) * dropout.factor

    layers: list[nn.Module] = []
    for block in network.blocks:
        outputs, inputs = block.linear.weight.shape
        norm, active = nn.BatchNorm1d(outputs), [Dropping(), nn.ReLU()]
        layers.append(nn.Linear(inputs, outputs))
        layers += [*active, norm] if network.norm_last else [norm, *active]
        norm.running_mean.copy_(block.mean)
        norm.running_var.copy_(block.variance)
    outputs, inputs = network.last.weight.shape
    found = nn.Sequential(*layers, nn.Linear(inputs, outputs))
    with torch.no_grad():
        for mine, its in zip(network.parameters(), trained(found), strict=True):
            its.copy_(mine)
    return found


def trained(network: nn.Sequential) -> list[nn.Parameter]:
    """The parameters in the order of ours: with each linear layer its norm."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm1d)]
    pairs = [(a.weight, a.bias, b.weight, b.bias) for a, b in zip(linear, norms, strict=False)]
    return [*(p for pair in pairs for p in pair), linear[-1].weight, linear[-1].bias]


@pytest.mark.parametrize("norm_last", [False, True])
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("multilabel", [False, True])
def test_gradients_and_averages_equal_those_of_autograd(norm_last, layers, multilabel, dtype):
    generator = generators("init", "cpu")
    network = Network([20, *[32] * layers, 3], "xavier_normal", generator, norm_last=norm_last)
    for block in network.blocks:
        block.scale.uniform_(0.5, 1.5, generator=generator)
        block.shift.normal_(generator=generator)
    rows, targets = toy(50, 20)
    rows = rows.to(dtype)
    targets = functional.one_hot(targets, 3).to(dtype) if multilabel else targets
    reference = plain(network, Dropout(0.3, generators("dropout", "cpu"))).train()
    logits = reference(rows)
    expected = torch.autograd.grad(loss_of(logits, targets), trained(reference))
    dropout = Dropout(0.3, generators("dropout", "cpu"))
    loss, gradients = network.train(rows, targets, dropout)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(loss, loss_of(logits, targets).detach(), rtol=0, atol=tolerance)
    torch.testing.assert_close(gradients, list(expected), rtol=0, atol=tolerance)
    norms = [layer for layer in reference if isinstance(layer, nn.BatchNorm1d)]
    for block, norm in zip(network.blocks, norms, strict=True):
        torch.testing.assert_close(block.mean, norm.running_mean, rtol=0, atol=tolerance)
        torch.testing.assert_close(block.variance, norm.running_var, rtol=0, atol=tolerance)
    with torch.no_grad():
        expected = reference.eval()(rows)
    torch.testing.assert_close(network.predict(rows), expected, rtol=0, atol=10 * tolerance)


def test_dropout_keeps_the_share() -> None:
    dropout = Dropout(0.1, generators("dropout", "cpu"))
    y = dropout.drop(torch.ones(1001, 999))
    assert torch.unique(y).tolist() == [0.0, 1.0]
    assert dropout.factor == pytest.approx(1 / 0.9)
    assert float((y == 0).float().mean()) == pytest.approx(0.1, abs=0.002)
    # Neighbours come from the same 64 random bits and must still be independent.
    zero = (y == 0).float().flatten()
    for lag in (1, 2, 3, 4):
        assert float((zero[lag:] * zero[:-lag]).mean()) == pytest.approx(0.01, abs=0.001)


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    run(QUICK, Scripted([1.0] * 9))
    assert torch.equal(before, torch.random.get_rng_state())


def test_validates_every_third_epoch_and_stops_after_patience_checks_without_gain() -> None:
    judge = Scripted([0.1, 0.5, 0.4, 0.5, 0.3, 0.5, 0.9])
    fitted = run(QUICK, judge)
    assert [row[0] for row in fitted.curve] == [2, 5, 8, 11, 14, 17]  # four checks without gain
    assert fitted.epoch == 5  # an equal score is no gain
    assert fitted.check == Check(0.5, 0.0)
    assert torch.equal(fitted.probe.predict(toy()[0]), judge.seen[1])


def test_a_lower_score_is_a_gain_where_lower_is_better() -> None:
    fitted = run(QUICK, Scripted([0.5, 0.3, 0.4, 0.4, 0.4, 0.4], higher=False))
    assert (fitted.epoch, fitted.check.score) == (5, pytest.approx(0.3))


def test_ends_at_max_epochs_without_a_check_of_what_remains() -> None:
    fitted = run(changed(max_epochs=11, patience=50), Scripted([0.1, 0.2, 0.3]))
    assert [row[0] for row in fitted.curve] == [2, 5, 8]


def test_noise_below_float32_is_no_gain() -> None:
    fitted = run(QUICK, Scripted([0.5, *[0.5 + 1e-12] * 5]))
    assert (fitted.epoch, len(fitted.curve)) == (2, 5)


@pytest.mark.parametrize(
    ("scores", "higher", "checks", "epoch", "score"),
    [
        ([math.nan], True, 1, 2, -math.inf),
        ([math.nan], False, 1, 2, math.inf),
        ([0.2, math.nan], True, 2, 2, 0.2),
        ([0.2, math.inf], True, 2, 5, math.inf),
        ([0.2, -math.inf], True, 2, 2, 0.2),
    ],
)
def test_an_undefined_score_ends_the_grid_point(scores, higher, checks, epoch, score) -> None:
    fitted = run(QUICK, Scripted(scores, higher=higher))
    assert len(fitted.curve) == checks
    assert fitted.epoch == epoch
    assert fitted.check.score == pytest.approx(score)


def test_an_undefined_score_is_only_no_gain_where_the_protocol_says_so() -> None:
    scores = [math.nan, 0.2, math.nan, 0.3, 0.1, 0.1, 0.1, 0.1]
    fitted = run(QUICK, Scripted(scores, ends=False))
    assert (fitted.epoch, len(fitted.curve)) == (11, 8)


@pytest.fixture(params=[torch.float64, torch.float32], ids=str)
def dtype(request) -> Iterator[torch.dtype]:
    """The type of data and weights."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize("multilabel", [False, True])
def test_equals_plain_torch_training(multilabel: bool, dtype: torch.dtype) -> None:
    settings = changed(hidden_layers=2, dropout=0.0, max_epochs=6, batch_size=32)
    rows, classes = toy(70)
    targets = functional.one_hot(classes, 3).to(dtype) if multilabel else classes
    judge = Scripted([0.1, 0.2])
    fitted = run(settings, judge, data=(rows, targets))

    network = Network([6, 16, 16, 3], settings.initialization, generators("init", "cpu"))
    reference = plain(network)
    loss = nn.BCEWithLogitsLoss() if multilabel else nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(reference.parameters(), lr=settings.lr, foreach=False)
    logits, losses = [], []
    for _ in range(2):
        reference.train()
        steps = []
        for _ in range(3):
            for x, y in zip(rows.split(32), targets.split(32), strict=True):
                optimiser.zero_grad()
                steps.append(loss(reference(x), y))
                steps[-1].backward()
                optimiser.step()
        reference.eval()
        logits.append(reference(rows).detach())
        losses.append(float(torch.stack(steps).detach().mean()))
    exact = dtype == torch.float64
    assert [row[1] for row in fitted.curve] == pytest.approx(losses, rel=1e-9 if exact else 1e-4)
    # A bias before a batch normalisation has no gradient but rounding noise. Adam scales the noise
    # of float32 up to full steps, which move the running averages of evaluation by any amount; in
    # float64 the noise is far below Adam's epsilon.
    if exact:
        for ours, its in zip(judge.seen, logits, strict=True):
            torch.testing.assert_close(ours, its, rtol=0, atol=1e-6)


def test_shuffling_sees_every_row_once_an_epoch_in_changing_order() -> None:
    # Batches of one class each mislead batch normalisation; shuffled, the same rows are easy.
    rows, targets = toy(96)
    order = targets.argsort()
    data = rows[order], targets[order]

    settings = changed(lr=3e-2, patience=99)
    assert run(settings, Accuracy(data[1]), shuffle=True, data=data).check.score > 0.95
    assert run(settings, Accuracy(data[1]), shuffle=False, data=data).check.score < 0.9


def test_a_last_batch_of_one_row_trains() -> None:
    fitted = run(changed(batch_size=23), Scripted([1.0] * 9), data=toy(70))  # 23 + 23 + 24
    assert torch.isfinite(fitted.probe.predict(toy()[0])).all()


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_perfect_score_ends_training_with_the_result_of_a_longer_one(shuffle) -> None:
    data = toy(200)
    settings = changed(max_epochs=90, patience=9)
    short = run(settings, Accuracy(data[1], perfect=1.0), data=data, shuffle=shuffle)
    whole = run(settings, Accuracy(data[1]), data=data, shuffle=shuffle)
    assert short.check == whole.check == Check(1.0, 0.0)
    assert short.epoch == whole.epoch
    assert len(whole.curve) == len(short.curve) + 9
    assert whole.curve[: len(short.curve)] == short.curve
    assert torch.equal(short.probe.predict(data[0]), whole.probe.predict(data[0]))


def test_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="two rows"):
        run(QUICK, Scripted([1.0]), data=toy(1))


def test_probabilities_and_losses() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
    classes = torch.tensor([0, 1])
    p = probabilities_of(logits, True)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
    assert float(loss_of(logits, classes)) == pytest.approx(-np.log(p[[0, 1], [0, 1]]).mean())
    hot = functional.one_hot(classes, 3).float()
    q = probabilities_of(logits, False)
    np.testing.assert_allclose(q, 1 / (1 + np.exp(-logits.numpy())), rtol=1e-6)
    y = hot.numpy()
    expected = -(y * np.log(q) + (1 - y) * np.log(1 - q)).mean()
    assert float(loss_of(logits, hot)) == pytest.approx(expected, rel=1e-5)
