"""Splits clips into parts that hold like shares of every label, and keep each group whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LACK = 1e9  # what a part without a label costs: more than any disproportion
_LEAST_GAIN = 1e-9  # of a move that is worth making, above the rounding of the sums
_ROUNDS = 20  # passes over all groups; two or three suffice as a rule
_TRIES = 20  # orders of the groups, where one leaves a part without a label; most need none


def split_groups(
    counts: np.ndarray, groups: Sequence[str], shares: Sequence[float], seed: int
) -> np.ndarray:
    """Choose a part for each clip, the same for all clips of a group.

    First each part gets some of every label, where the groups allow it; then the shares of each
    label, and of all clips, are brought near to those asked for: least is the sum over parts and
    labels of (has - should have)² / should have. As finding the least is hard, groups are placed
    one after the other, those with the largest share of a label first, each where it costs least
    (for single clips of one label this is stratification, for several labels the iterative
    stratification of Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011); then each is moved where
    that lowers the sum, until no move does. Where a part is then without a label of which there are
    enough groups, random orders are tried, and the first that leaves the fewest such gaps counts.

    Args:
        counts: (clips, labels), how often a clip has a label, 0 or more.
        groups: name of each clip's group.
        shares: of each part, above 0; their proportions count.
        seed: of the order among equals. The order of the clips has no influence but through their
            groups' names: equal names, labels and seed give equal parts.

    Returns:
        The part of each clip, an index into ``shares``: int (clips,).
    """
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    with_clips = np.column_stack([counts, np.ones(len(counts))])
    sums = np.zeros((len(names), with_clips.shape[1]))
    np.add.at(sums, group_of, with_clips)
    sums = sums[:, sums.any(axis=0)]
    parts = np.asarray(shares, dtype=float) / sum(shares)
    random = np.random.default_rng(seed)
    order = random.permutation(len(names))
    largest_share = (sums / sums.sum(axis=0)).max(axis=1)
    best = _placed(sums, parts, order[np.argsort(-largest_share[order], kind="stable")])
    for _ in range(_TRIES):
        if best.gaps == 0:
            break
        other = _placed(sums, parts, random.permutation(len(names)))
        best = min(best, other, key=lambda placing: placing.gaps)
    return best.part[group_of]


def _placed(sums: np.ndarray, shares: np.ndarray, order: np.ndarray) -> _Placing:
    placing = _Placing(sums, shares)
    for group in order:
        placing.place(group)
    for _ in range(_ROUNDS):
        if sum(placing.move(group) for group in order) == 0:
            break
    return placing


class _Placing:
    """Which part each group is in, and what every part has so far."""

    def __init__(self, sums: np.ndarray, shares: np.ndarray) -> None:
        self.part = np.full(len(sums), -1)
        self._should = shares[:, None] * sums.sum(axis=0)
        self._has = np.zeros_like(self._should)
        self._enough = np.count_nonzero(sums, axis=0) >= len(shares)
        self._labels = [np.flatnonzero(row) for row in sums]
        self._counts = [row[labels] for row, labels in zip(sums, self._labels)]

    @property
    def gaps(self) -> int:
        """How often a part lacks a label that has as many groups as there are parts, or more."""
        return int((self._has[:, self._enough] < 0.5).sum())

    def place(self, group: int) -> None:
        """Put a group where it costs least."""
        self._put(group, int(np.argmin(self._costs(group))))

    def move(self, group: int) -> bool:
        """Put a group elsewhere if that costs less; whether it did."""
        here = int(self.part[group])
        self._has[here, self._labels[group]] -= self._counts[group]
        costs = self._costs(group)
        there = int(np.argmin(costs))
        gains = costs[there] < costs[here] - _LEAST_GAIN
        self._put(group, there if gains else here)
        return bool(gains)

    def _costs(self, group: int) -> np.ndarray:
        """What it adds to the sum to put a group in each part."""
        labels, counts = self._labels[group], self._counts[group]
        has, should = self._has[:, labels], self._should[:, labels]
        disproportion = counts * (2 * (has - should) + counts) / should
        return (disproportion - _LACK * (has < 0.5)).sum(axis=1)

    def _put(self, group: int, part: int) -> None:
        self.part[group] = part
        self._has[part, self._labels[group]] += self._counts[group]
