"""The neighbours of `knn`: ours beside scikit-learn's KNeighborsClassifier.

20,000 rows of 2,048 numbers and 2,000 queries, 50 classes, for k = 1, 5, 20 and 50. The other side
searches once for the largest k, and votes for each k.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from sides import Row, alternate
from sklearn.neighbors import NearestNeighbors

from harness.probe.knn import neighbour_scores

KS = (1, 5, 20, 50)
CLASSES = 50


def rows(repeats: int, tiny: bool) -> Iterator[Row]:
    """Compare the two at one size; both give the same classes."""
    n, size, queries = (200, 16, 20) if tiny else (20_000, 2_048, 2_000)
    draw = np.random.default_rng(0)
    classes = draw.integers(0, CLASSES, n)
    centres = draw.standard_normal((CLASSES, size))
    train = (centres[classes] + draw.standard_normal((n, size))).astype(np.float32)
    asked = centres[draw.integers(0, CLASSES, queries)] + draw.standard_normal((queries, size))
    asked = asked.astype(np.float32)

    def ours() -> list[np.ndarray]:
        tensors = (torch.from_numpy(train), torch.from_numpy(classes), CLASSES)
        found = neighbour_scores(*tensors, torch.from_numpy(asked), KS)
        return [scores.argmax(1) for scores in found]

    def theirs() -> list[np.ndarray]:
        search = NearestNeighbors(n_neighbors=max(KS), metric="cosine").fit(train)
        distances, index = search.kneighbors(asked)
        weights = 1 / np.maximum(distances, 1e-6)
        found = []
        for k in KS:
            votes = np.zeros((queries, CLASSES))
            places = np.repeat(np.arange(queries), k)
            np.add.at(votes, (places, classes[index[:, :k]].ravel()), weights[:, :k].ravel())
            found.append(votes.argmax(1))
        return found

    agreed = [float((a == b).mean()) for a, b in zip(ours(), theirs(), strict=True)]
    assert min(agreed) > 0.99, agreed
    name = f"knn, {n:,} x {size:,}, {queries:,} queries"
    yield alternate(name, "scikit-learn", ours, theirs, repeats)
