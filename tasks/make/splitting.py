"""Divide clips into parts, stratified by label, without dividing a group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LACK = 1e9  # cost of a part without a label: more than any disproportion
_LEAST_GAIN = 1e-9  # smallest gain of a move, above the rounding error of the sums
_ROUNDS = 20  # maximum number of passes over all groups; two or three are usually enough
_TRIES = 20  # random orders of the groups, tried if a part lacks a label


def split_groups(
    counts: np.ndarray, groups: Sequence[str], shares: Sequence[float], seed: int
) -> np.ndarray:
    """Choose a part for each clip, the same for all clips of a group.

    The first aim is that each part has every label, if the groups allow it. The second aim is that
    the parts have the given shares of each label and of all clips: the cost is the sum over parts
    and labels of (has - should have)² / should have. Its minimum is hard to find, so a greedy
    search is used. Groups are placed one after the other, those with the largest share of a label
    first, each where the cost is lowest. (For single clips with one label this is stratification,
    with several labels the iterative stratification of Sechidis, Tsoumakas and Vlahavas, ECML PKDD
    2011.) Then groups are moved to other parts as long as a move lowers the cost. If a part then
    lacks a label that has enough groups, random orders are tried, and the first order with the
    fewest such gaps is used.

    Args:
        counts: (clips, labels), how often a clip has a label, 0 or more.
        groups: name of each clip's group.
        shares: share of each part, above 0; only their proportions count.
        seed: random seed of the order among equals. The order of the clips has no effect: equal
            group names, labels and seed give equal parts.

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
    """The part of each group, and the label counts of every part."""

    def __init__(self, sums: np.ndarray, shares: np.ndarray) -> None:
        self.part = np.full(len(sums), -1)
        self._should = shares[:, None] * sums.sum(axis=0)
        self._has = np.zeros_like(self._should)
        self._enough = np.count_nonzero(sums, axis=0) >= len(shares)
        self._labels = [np.flatnonzero(row) for row in sums]
        self._counts = [row[labels] for row, labels in zip(sums, self._labels)]

    @property
    def gaps(self) -> int:
        """Number of labels missing in parts; only labels with at least one group per part count."""
        return int((self._has[:, self._enough] < 0.5).sum())

    def place(self, group: int) -> None:
        """Put a group into the part with the lowest cost."""
        self._put(group, int(np.argmin(self._costs(group))))

    def move(self, group: int) -> bool:
        """Move a group if another part costs less, and return whether it moved."""
        here = int(self.part[group])
        self._has[here, self._labels[group]] -= self._counts[group]
        costs = self._costs(group)
        there = int(np.argmin(costs))
        gains = costs[there] < costs[here] - _LEAST_GAIN
        self._put(group, there if gains else here)
        return bool(gains)

    def _costs(self, group: int) -> np.ndarray:
        """Return the increase of the cost for putting a group into each part."""
        labels, counts = self._labels[group], self._counts[group]
        has, should = self._has[:, labels], self._should[:, labels]
        disproportion = counts * (2 * (has - should) + counts) / should
        return (disproportion - _LACK * (has < 0.5)).sum(axis=1)

    def _put(self, group: int, part: int) -> None:
        self.part[group] = part
        self._has[part, self._labels[group]] += self._counts[group]
