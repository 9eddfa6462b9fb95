from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hear_byola.pretraining.corpus import AudioCorpus
from hear_byola.pretraining.sampling import Draws, Sampling


def synthetic_corpus(
    kinds: Sequence[str], seconds: Sequence[float] | np.ndarray, weights: object = 1.0
) -> AudioCorpus:
    """A corpus without files: what draws need, at 16 kHz."""
    n = len(kinds)
    found = sorted(set(kinds))
    names = [f"{item}.wav".encode() for item in range(n)]
    return AudioCorpus(
        root=Path("nowhere"),
        kinds=tuple(found),
        frames=np.rint(np.asarray(seconds) * 16_000).astype(np.int64),
        rate=np.full(n, 16_000, np.int32),
        kind=np.searchsorted(found, kinds).astype(np.int16),
        weight=np.broadcast_to(np.asarray(weights, np.float32), n),
        shard=np.full(n, -1, np.int32),
        offset=np.zeros(n, np.int64),
        size=np.full(n, 99, np.int64),
        shards=(),
        text=np.frombuffer(b"".join(names), np.uint8),
        ends=np.cumsum([len(name) for name in names]),
    )


def drawn(draws: Draws, epoch: int = 0, epochs: int = 1) -> np.ndarray:
    size = draws.epoch_size
    return np.array([draws.item(i) for i in range(epoch * size, (epoch + epochs) * size)])


KINDS = ["music"] * 160 + ["speech"] * 40 + ["effect"] * 10
SECONDS = np.random.default_rng(0).uniform(1, 60, len(KINDS))
CORPUS = synthetic_corpus(KINDS, SECONDS)


def shares(draws: Draws, corpus: AudioCorpus = CORPUS, epochs: int = 1) -> dict[str, float]:
    items = drawn(draws, epochs=epochs)
    counts = np.bincount(corpus.kind[items], minlength=len(corpus.kinds))
    return dict(zip(corpus.kinds, counts / len(items)))


@pytest.mark.parametrize("n", [1, 2, 7, 210])
def test_the_papers_epoch_is_a_permutation_of_the_clips(n: int) -> None:
    draws = Draws(synthetic_corpus(KINDS[-n:], SECONDS[-n:]), Sampling(), seed=1)
    assert draws.epoch_size == n
    orders = [drawn(draws, epoch).tolist() for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(n))
    if n > 2:
        assert orders[0] != orders[1] != orders[2]


def test_an_item_depends_on_seed_and_position_alone() -> None:
    sampling = Sampling(unit="seconds", balance=0.5)
    size = Draws(CORPUS, sampling, 5).epoch_size
    positions = np.random.default_rng(0).integers(0, 5 * size, 300).tolist()
    one = Draws(CORPUS, sampling, 5)
    in_order = {position: one.item(position) for position in sorted(positions)}
    assert [Draws(CORPUS, sampling, 5).item(p) for p in positions[:5]] == [
        in_order[p] for p in positions[:5]
    ]
    other = pickle.loads(pickle.dumps(one))
    assert [other.item(p) for p in positions] == [in_order[p] for p in positions]
    assert [Draws(CORPUS, sampling, 6).item(p) for p in positions] != list(in_order.values())


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        (1.0, {"music": 160 / 210, "speech": 40 / 210, "effect": 10 / 210}),
        (0.5, {"music": 4 / 7, "speech": 2 / 7, "effect": 1 / 7}),
        (0.0, {"music": 1 / 3, "speech": 1 / 3, "effect": 1 / 3}),
    ],
)
def test_kinds_get_their_balanced_share_of_every_epoch(
    balance: float, expected: dict[str, float]
) -> None:
    draws = Draws(CORPUS, Sampling(balance=balance), seed=2)
    assert draws.epoch_size == 210
    assert shares(draws) == pytest.approx(expected, abs=1.5 / 210)


def test_balance_by_seconds_takes_the_root_of_the_hours() -> None:
    roots = {kind: hours**0.5 for kind, hours in CORPUS.hours_by_kind().items()}
    expected = {kind: root / sum(roots.values()) for kind, root in roots.items()}
    draws = Draws(CORPUS, Sampling(unit="seconds", balance=0.5), seed=2)
    assert draws.epoch_size == round(SECONDS.sum() / 0.95)
    assert shares(draws) == pytest.approx(expected, abs=1.5 / draws.epoch_size)


def test_by_seconds_a_sound_is_drawn_in_proportion_to_its_length() -> None:
    draws = Draws(CORPUS, Sampling(unit="seconds"), seed=3)
    counts = np.bincount(drawn(draws), minlength=len(CORPUS))
    assert np.abs(counts - SECONDS / SECONDS.sum() * draws.epoch_size).max() < 1.001


def test_explicit_shares_go_before_the_balance() -> None:
    wanted = {"music": 1, "speech": 3, "effect": 0}
    draws = Draws(CORPUS, Sampling(shares=wanted, balance=0.0), seed=0)
    assert draws.epoch_size == 200
    assert shares(draws) == pytest.approx({"music": 0.25, "speech": 0.75, "effect": 0}, abs=0.01)


def test_shares_must_fit_the_kinds() -> None:
    with pytest.raises(ValueError, match=r"Unknown are \['noise'\], missing are \['effect'\]"):
        Draws(CORPUS, Sampling(shares={"music": 1, "speech": 3, "noise": 1}), seed=0)
    with pytest.raises(ValueError, match="no sound can be drawn"):
        Draws(CORPUS, Sampling(shares=dict.fromkeys(CORPUS.kinds, 0)), seed=0)


def test_weights_count_inside_a_kind_and_0_leaves_a_sound_out() -> None:
    weights = np.ones(len(CORPUS))
    weights[:3] = 0, 5, 10
    corpus = synthetic_corpus(KINDS, SECONDS, weights)
    draws = Draws(corpus, Sampling(shares=dict.fromkeys(corpus.kinds, 1)), seed=0)
    counts = np.bincount(drawn(draws, epochs=50), minlength=len(corpus))
    assert counts[0] == 0
    unit = 50 * draws.epoch_size / 3 / weights[:160].sum()
    np.testing.assert_allclose(counts[1:3], [5 * unit, 10 * unit], rtol=0.05)
    assert counts[200:].sum() == pytest.approx(50 * draws.epoch_size / 3, abs=50)


def test_a_fraction_takes_its_part_of_each_kind_by_the_seed() -> None:
    def part(fraction: float, seed: int = 1) -> set[int]:
        return set(Draws(CORPUS, Sampling(fraction=fraction), seed).items.tolist())

    tenth, half = part(0.1), part(0.5)
    assert [sum(CORPUS.kind[list(tenth)] == kind) for kind in range(3)] == [1, 16, 4]
    assert [sum(CORPUS.kind[list(half)] == kind) for kind in range(3)] == [5, 80, 20]
    assert tenth < half < part(1.0) == set(range(210))
    assert part(0.1) == tenth != part(0.1, seed=2)
    assert len(part(0.001)) == 3  # no kind goes missing
    assert Draws(CORPUS, Sampling(fraction=0.1), 1).epoch_size == 21


def test_another_sound_is_of_the_same_kind_by_the_shares() -> None:
    weights = np.ones(len(CORPUS))
    weights[200:] = 0, 0, 0, 0, 0, 0, 0, 1, 2, 3
    draws = Draws(synthetic_corpus(KINDS, SECONDS, weights), Sampling(), seed=0)
    for kind in range(3):
        random = draws.random(kind)
        others = [draws.another(kind, random) for _ in range(600)]
        assert set(CORPUS.kind[others]) == {kind}
        if kind == 0:
            counts = np.bincount(others, minlength=210)[207:]
            np.testing.assert_allclose(counts, [100, 200, 300], atol=45)


def test_draws_of_a_million_synthetic_sounds_are_ready_in_a_moment() -> None:
    n = 1_000_000
    random = np.random.default_rng(0)
    corpus = AudioCorpus(
        root=Path("nowhere"),
        kinds=("a", "b", "c"),
        frames=random.integers(1, 160_000, n),
        rate=np.full(n, 16_000, np.int32),
        kind=random.integers(0, 3, n).astype(np.int16),
        weight=np.ones(n, np.float32),
        shard=np.full(n, -1, np.int32),
        offset=np.zeros(n, np.int64),
        size=np.zeros(n, np.int64),
        shards=(),
        text=np.frombuffer(b"0123456789" * n, np.uint8),
        ends=np.arange(10, 10 * n + 10, 10),
    )
    for sampling in (Sampling(), Sampling(unit="seconds", balance=0.5, fraction=0.3)):
        began = time.process_time()
        draws = Draws(corpus, sampling, seed=0)
        draws.item(5 * draws.epoch_size - 1)
        assert time.process_time() - began < 5
        began = time.process_time()
        for position in range(1000):
            draws.item(position)
            draws.random(position).random()
        assert time.process_time() - began < 1
    assert len(pickle.dumps(draws)) < 50_000_000
    whole = Draws(corpus, Sampling(), seed=0)
    assert len({whole.item(position) for position in range(50_000)}) == 50_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"balance": -0.5},
        {"balance": float("nan")},
        {"unit": "hours"},
        {"silence_db": 3.0},
        {"fraction": 0.0},
        {"fraction": 1.5},
        {"shares": {"a": -1.0}},
    ],
)
def test_samplings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_seeds_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="seed=-1"):
        Draws(CORPUS, Sampling(), -1)
