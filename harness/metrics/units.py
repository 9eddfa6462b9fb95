"""The independent units of a test set: groups of clips, or single clips.

Clips of one speaker, recording or instrument resemble each other, so groups of clips are the
independent observations. The standard error, the degrees of freedom and the permutation test of
every score use the same partition of the clips into units.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FEW_UNITS = 40
"""Number of test units below which the coverage of intervals is approximate."""

FEWEST_UNITS = 6
"""Number of test units below which no interval has the right coverage, and none is reported."""

LEAST_FREEDOM = FEWEST_UNITS - 1
"""Degrees of freedom below which no interval is given: those of six units in one test split."""

MOST_BLOCKS = 1000
"""Largest number of units, or blocks of units, in the jackknife of a ranking metric."""


@dataclass(frozen=True)
class Units:
    """A partition of the test clips of all folds into independent units.

    Units vary within a stratum. A stratum is a test fold; folds that share a group are one stratum,
    and so are all folds of one unit each (leave-one-group-out). A single fold of one unit joins
    another stratum.

    Attributes:
        of_clip: per fold the unit of each clip, int (n,), numbered over all folds.
        stratum: number of each unit's stratum, int (units,).
        grouped: whether units are groups; otherwise they are clips.
        members: number of groups or clips, if units are blocks of them.
    """

    of_clip: tuple[np.ndarray, ...]
    stratum: np.ndarray
    grouped: bool
    members: int = 0

    @property
    def count(self) -> int:
        """Number of groups or clips, over all folds."""
        return self.members or self.n_units

    @property
    def n_units(self) -> int:
        """Number of units, over all folds: groups, clips, or blocks of them."""
        return len(self.stratum)

    @cached_property
    def stratum_sizes(self) -> np.ndarray:
        """Number of units of each stratum, int (strata,)."""
        return np.bincount(self.stratum)

    @property
    def freedom(self) -> int:
        """Degrees of freedom: the number of units minus the number of strata."""
        return self.n_units - len(self.stratum_sizes)

    @property
    def enough(self) -> str:
        """How many units there are and how many an interval needs, in words."""
        folds = len(self.of_clip)
        folded = f" in {folds} folds" if folds > 1 else ""
        return f"({self.count}{folded}); {len(self.stratum_sizes) + LEAST_FREEDOM} are needed"

    @property
    def noun(self) -> str:
        """Word for the units in messages."""
        return "groups" if self.grouped else "clips"

    def sums(self, fold: int, values: np.ndarray) -> np.ndarray:
        """Add up values (n, ...) of a fold's clips by unit: (units, ...)."""
        total = np.zeros((self.n_units, *values.shape[1:]))
        np.add.at(total, self.of_clip[fold], values)
        return total

    def blocks(self, most: int = MOST_BLOCKS) -> Units:
        """Return blocks of units, joined at random: at most ``most``, but two in every stratum.

        Leaving out a block of units at a time estimates the same variance as leaving out single
        units (Kott 2001, the delete-a-group jackknife). The same units give the same blocks.
        """
        if self.n_units <= most:
            return self
        rng = np.random.default_rng(0)
        block = np.empty(self.n_units, dtype=np.int64)
        strata: list[int] = []
        for stratum, size in enumerate(self.stratum_sizes):
            members = np.flatnonzero(self.stratum == stratum)
            n_blocks = min(size, max(2, most * size // self.n_units))
            block[rng.permutation(members)] = len(strata) + np.arange(size) % n_blocks
            strata += [stratum] * n_blocks
        of_clip = tuple(block[of_fold] for of_fold in self.of_clip)
        return Units(of_clip, np.array(strata), self.grouped, self.count)


def clip_units(sizes: Sequence[int]) -> Units:
    """Return the partition in which every clip is a unit, from the number of clips of each fold."""
    starts = np.cumsum([0, *sizes])
    of_clip = [np.arange(start, end) for start, end in itertools.pairwise(starts)]
    return _stratified(of_clip, grouped=False)


def group_units(groups: Sequence[Sequence[str] | None], sizes: Sequence[int]) -> Units:
    """Return the partition by group, or by clip where some fold has no groups.

    Args:
        groups: per fold the group of each clip, or None.
        sizes: per fold the number of clips.
    """
    known = [of_fold for of_fold in groups if of_fold is not None]
    if len(known) < len(sizes):
        return clip_units(sizes)
    names = np.concatenate([np.asarray(of_fold, dtype=np.str_) for of_fold in known])
    numbers = np.unique(names, return_inverse=True)[1]
    return _stratified(np.split(numbers, np.cumsum(sizes)[:-1]), grouped=True)


def _stratified(of_clip: Sequence[np.ndarray], grouped: bool) -> Units:
    members = [np.unique(of_fold) for of_fold in of_clip]
    stratum = np.full(1 + max(int(units.max()) for units in members), -1)
    for number, units in enumerate(members):
        # Folds that share a unit become one stratum.
        met = np.unique(stratum[units][stratum[units] >= 0])
        stratum[np.isin(stratum, met)] = number
        stratum[units] = number
    alone = np.bincount(stratum)[stratum] == 1
    stratum[alone] = stratum[~alone][0] if alone.sum() == 1 and not alone.all() else len(of_clip)
    return Units(tuple(of_clip), np.unique(stratum, return_inverse=True)[1], grouped)
