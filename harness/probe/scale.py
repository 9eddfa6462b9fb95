"""Whether embeddings have a scale that a probe without input normalisation can learn from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.embeddings.store import SplitEmbeddings

MOST_OFFSET = 150.0
"""From this ratio of the columns' means to their standard deviations on, `hear2021` fails.

Measured on the demo (docs/footguns.md). Each step of the weights moves the mean of a hidden unit by
its share of the offset, and the running mean of the BatchNorm lags behind by more than the clips
differ.
"""

LEAST_DEVIATION = 1e-4
"""Below this root mean square of the columns' standard deviations, it fails too.

The 1e-5 that the BatchNorm adds to the variance of a hidden unit then outweighs the clips.
"""

_ROWS = 4096  # of a split, evenly spaced


def scale_fault(splits: Sequence[SplitEmbeddings]) -> str:
    """Return why a probe that does not normalise its inputs is likely to fail on them, else "".

    Args:
        splits: of the training rows.
    """
    rows = np.concatenate(
        [
            np.asarray(split.embeddings[:: 1 + len(split.embeddings) // _ROWS], dtype=np.float64)
            for split in splits
        ]
    )
    deviation = math.sqrt(np.mean(rows.var(axis=0)))
    offset = math.sqrt(np.mean(np.square(rows.mean(axis=0))))
    if deviation < LEAST_DEVIATION:
        return f"a standard deviation of {deviation:.1e}, below {LEAST_DEVIATION:g}"
    if offset >= MOST_OFFSET * deviation:
        return f"an offset of {offset / deviation:.0f} standard deviations, above {MOST_OFFSET:g}"
    return ""
