"""Average precision and ROC AUC of many classes under many weightings of the same clips.

With all weights one, they are the reported scores. A test set without a unit, or a resample of its
clips, is the same clips with other weights, so one formula serves all.

Derivation. Sort the clips by falling score of one class and let its *tie groups* be the runs of
equal scores. Only groups with a positive matter. For group g let ``T_g`` be the weight of its
positives, ``A_g`` the weight of all clips down to and including g, ``a_g`` that of all clips above
g, and ``U_g = T_1 + ... + T_g``. With P and N the weights of all positives and all negatives,

    average precision = sum_g (T_g / P) * U_g / A_g
    AUC               = sum_g T_g * ((N - F_g) + (F_g - f_g) / 2) / (P * N)

where ``F_g = A_g - U_g`` and ``f_g = a_g - U_{g-1}`` are the negatives down to g and above g. In
the AUC a negative ranked below a positive counts 1, and one that ties with it counts 1/2.
The clips between two such groups are needed only as a sum, so the ranking is stored as a sparse
matrix of *segments* × clips, and one sparse product serves all classes and all weightings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True)
class ClassRanking:
    """Average precision and AUC per class for a batch of ``b`` weightings.

    Attributes:
        average_precision: (C, b) float64; NaN where the class has no positive weight.
        auc: (C, b) float64; NaN where the class has no positive or no negative weight.
        pairs: (C, b) float64, the weight of (positive, negative) pairs behind each AUC.
    """

    average_precision: np.ndarray
    auc: np.ndarray
    pairs: np.ndarray


class Ranking:
    """The clips of one test set, presorted once for every class.

    Args:
        probabilities: (n, C) scores without NaN; only their order and ties matter.
        positives: (n, C) bool.
    """

    def __init__(self, probabilities: np.ndarray, positives: np.ndarray) -> None:
        n, classes = probabilities.shape
        by_class = np.ascontiguousarray(probabilities.T)
        order = np.argsort(-by_class, axis=1)
        ranked = np.take_along_axis(by_class, order, axis=1)
        hit = np.take_along_axis(np.ascontiguousarray(positives.T), order, axis=1)
        new_group = np.ones((classes, n), dtype=bool)
        new_group[:, 1:] = ranked[:, 1:] != ranked[:, :-1]

        # Concatenate the classes: group and segment numbers then rise along the flat axis.
        group = np.cumsum(new_group.reshape(-1)) - 1
        holds_positive = np.zeros(group[-1] + 1, dtype=bool)
        holds_positive[group[hit.reshape(-1)]] = True
        groups_before = np.cumsum(holds_positive) - holds_positive
        # Segment 2g has the clips above the g-th kept group, segment 2g + 1 the group itself. Clips
        # below a class's last group are counted in the next class's first segment, and subtracted
        # there as that class's start. Only those of the last class need a segment of their own.
        segment = (2 * groups_before + holds_positive)[group]
        self._n_groups = int(holds_positive.sum())
        columns = order.reshape(-1)
        self._segments = _row_sums(segment, columns, 2 * self._n_groups + 1, n)
        flat_hit = hit.reshape(-1)
        self._hits = _row_sums(groups_before[group[flat_hit]], columns[flat_hit], self._n_groups, n)
        group_class = np.repeat(np.arange(classes), n)[np.flatnonzero(new_group.reshape(-1))]
        self._class_of_group = group_class[holds_positive]
        self._positives = positives.T.astype(np.float64)
        self._n_classes = classes

    @property
    def n_segments(self) -> int:
        """Rows of the largest array that a weighting needs, to limit memory."""
        return 2 * self._n_groups + 1

    def scores(self, weights: np.ndarray) -> ClassRanking:
        """Score every class under every weighting.

        Args:
            weights: (n, b) float64, not negative; whole numbers give exact sums.
        """
        total = weights.sum(axis=0)
        positive = self._positives @ weights
        negative = total - positive
        of_class = self._class_of_group
        hits = self._hits @ weights
        # The segments of a class, with its tail, sum to ``total``: the flat running sum at the
        # start of class c is c times ``total``.
        through = np.cumsum(self._segments @ weights, axis=0)[:-1]
        through -= np.repeat(of_class, 2)[:, None] * total
        above, down_to = through[0::2], through[1::2]
        earlier_classes = np.cumsum(positive, axis=0) - positive
        hits_down_to = np.cumsum(hits, axis=0) - earlier_classes[of_class]
        negatives_down_to = down_to - hits_down_to
        negatives_above = above - (hits_down_to - hits)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(hits > 0, hits * hits_down_to / down_to, 0.0)
            average_precision = self._per_class(precision) / positive
            lost = (negatives_above + negatives_down_to) / 2
            won = self._per_class(hits * (negative[of_class] - lost))
            pairs = positive * negative
            auc = won / pairs
        return ClassRanking(average_precision, auc, pairs)

    def _per_class(self, of_groups: np.ndarray) -> np.ndarray:
        """Return the sums (C, b) of (groups, b) over the groups of each class."""
        sums = np.zeros((self._n_classes, of_groups.shape[1]))
        if self._n_groups:
            first = np.flatnonzero(np.diff(self._class_of_group, prepend=-1))
            sums[self._class_of_group[first]] = np.add.reduceat(of_groups, first, axis=0)
        return sums


def _row_sums(rows: np.ndarray, columns: np.ndarray, n_rows: int, n: int) -> sparse.csr_matrix:
    """Return a 0/1 matrix (n_rows, n) from its non-zeros; ``rows`` must rise."""
    from scipy import sparse

    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
    return sparse.csr_matrix((np.ones(len(rows)), columns, starts), shape=(n_rows, n))
