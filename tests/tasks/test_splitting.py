"""Splitting clips: shares of labels, whole groups, against scikit-learn where it does the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from tasks.make.splitting import split_groups


def numbered(n: int) -> list[str]:
    return [f"{i:05d}" for i in range(n)]


def sizes(counts: np.ndarray, parts: np.ndarray, n_parts: int) -> np.ndarray:
    """How much of each label a part has: (parts, labels)."""
    return np.stack([counts[parts == part].sum(axis=0) for part in range(n_parts)])


def grouped_labels(seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels whose shares differ between groups: (labels, groups, folds)."""
    rng = np.random.default_rng(seed)
    n, n_labels, folds = (int(rng.integers(*r)) for r in ((100, 2000), (2, 12), (3, 8)))
    n_groups = int(rng.integers(3 * folds, n // 3))
    of_group = rng.dirichlet(np.full(n_labels, 0.7), n_groups)
    groups = rng.integers(0, n_groups, n)
    return np.array([rng.choice(n_labels, p=of_group[g]) for g in groups]), groups, folds


@pytest.mark.parametrize(("n", "n_labels", "folds"), [(23, 3, 5), (70, 10, 5), (997, 13, 7)])
def test_single_clips_are_stratified_to_the_clip(n: int, n_labels: int, folds: int) -> None:
    labels = np.random.default_rng(n).integers(0, n_labels, n)
    one_hot = np.eye(n_labels)[labels]
    parts = split_groups(one_hot, numbered(n), [1] * folds, seed=0)
    found = sizes(one_hot, parts, folds)
    assert (found.max(axis=0) - found.min(axis=0) <= 1).all()
    assert np.ptp(np.bincount(parts)) <= 1


def test_shares_of_train_valid_and_test() -> None:
    one_hot = np.eye(10)[np.arange(500) % 10]
    parts = split_groups(one_hot, numbered(500), (0.6, 0.2, 0.2), seed=3)
    assert (sizes(one_hot, parts, 3) == [[30], [10], [10]]).all()


def test_a_label_with_as_many_clips_as_parts_is_in_each_part() -> None:
    one_hot = np.eye(2)[[0] * 97 + [1] * 3]
    parts = split_groups(one_hot, numbered(100), (0.8, 0.1, 0.1), seed=0)
    assert sizes(one_hot, parts, 3)[:, 1].tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", range(12))
def test_groups_stay_whole_and_folds_are_as_even_as_those_of_scikit_learn(seed: int) -> None:
    labels, groups, folds = grouped_labels(seed)
    one_hot = np.eye(labels.max() + 1)[labels]
    ours = split_groups(one_hot, [f"g{g:05d}" for g in groups], [1] * folds, seed=0)
    theirs = np.empty_like(ours)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    for fold, (_, test) in enumerate(splitter.split(one_hot, labels, groups)):
        theirs[test] = fold
    assert all(len(set(ours[groups == group])) == 1 for group in set(groups))
    worst = [
        np.abs(found - found.mean(axis=0)).max()
        for found in (sizes(one_hot, parts, folds) for parts in (ours, theirs))
    ]
    assert worst[0] <= worst[1] + 1
    lacking = [(sizes(one_hot, parts, folds) == 0).sum() for parts in (ours, theirs)]
    assert lacking[0] <= lacking[1]


def test_over_many_draws_folds_are_more_even_than_those_of_scikit_learn() -> None:
    ours, theirs = [], []
    for seed in range(100, 120):
        labels, groups, folds = grouped_labels(seed)
        one_hot = np.eye(labels.max() + 1)[labels]
        parts = split_groups(one_hot, [f"g{g:05d}" for g in groups], [1] * folds, seed=0)
        ours.append(np.ptp(sizes(one_hot, parts, folds), axis=0).mean())
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
        for fold, (_, test) in enumerate(splitter.split(one_hot, labels, groups)):
            parts[test] = fold
        theirs.append(np.ptp(sizes(one_hot, parts, folds), axis=0).mean())
    assert np.mean(ours) < np.mean(theirs)


def test_several_labels_a_clip_are_spread_far_more_evenly_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    shares = np.geomspace(0.01, 0.4, 30)
    labels = (rng.random((1500, 30)) < shares).astype(float)
    labels = labels[labels.any(axis=1)]
    parts = split_groups(labels, numbered(len(labels)), [1] * 5, seed=0)
    found = sizes(labels, parts, 5)
    by_chance = sizes(labels, rng.permutation(np.arange(len(labels)) % 5), 5)
    assert np.ptp(found, axis=0).max() <= 3
    assert np.ptp(by_chance, axis=0).max() > 20
    assert np.ptp(np.bincount(parts)) <= 3


def test_the_order_of_the_clips_does_not_matter_and_the_seed_does() -> None:
    labels, groups, folds = grouped_labels(1)
    one_hot = np.eye(labels.max() + 1)[labels]
    names = np.array([f"g{g:05d}" for g in groups])
    parts = split_groups(one_hot, names.tolist(), [1] * folds, seed=0)
    order = np.random.default_rng(0).permutation(len(names))
    shuffled = split_groups(one_hot[order], names[order].tolist(), [1] * folds, seed=0)
    assert (shuffled == parts[order]).all()
    assert (split_groups(one_hot, names.tolist(), [1] * folds, seed=1) != parts).any()


def test_other_orders_are_tried_where_one_leaves_a_part_without_a_label() -> None:
    labels_of_groups = [(0, 2), (0,), (1, 2), (1, 2), (1,), (0,)]
    clips = [(group, label) for group, labels in enumerate(labels_of_groups) for label in labels]
    counts = np.eye(3)[[label for _, label in clips]]
    for seed in range(10):
        parts = split_groups(counts, [f"g{group}" for group, _ in clips], (1, 1, 1), seed)
        assert (sizes(counts, parts, 3) > 0).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.lists(st.integers(0, 3), max_size=4)),
        min_size=1,
        max_size=40,
    ),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.integers(0, 100),
)
def test_every_clip_has_a_part_with_its_group_and_every_part_what_it_can(
    clips: list[tuple[int, list[int]]], shares: list[int], seed: int
) -> None:
    counts = np.array([np.bincount(labels, minlength=4)[:4] for _, labels in clips], dtype=float)
    groups = [str(group) for group, _ in clips]
    parts = split_groups(counts, groups, shares, seed)
    assert set(parts) <= set(range(len(shares)))
    assert len(set(zip(groups, parts, strict=True))) == len(set(groups))
    assert len(set(parts)) == min(len(set(groups)), len(shares))
