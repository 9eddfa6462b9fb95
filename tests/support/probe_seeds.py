"""Make the measurements of a probe seed, as comparisons read them from a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis.compare.measured import Measured
from harness.metrics.jackknife import Influence, share_influence
from harness.metrics.registry import find_metric
from harness.metrics.units import clip_units, group_units


def probe_seed(
    by_unit: Influence, by_clip: Influence | None = None, *, metric: str = "top1_acc", **changes
) -> Measured:
    """A probe seed from the influences on its score; ``changes`` are other fields."""
    by_clip = by_clip or by_unit
    fields = {
        "model": "m",
        "seed": 0,
        "task": "task",
        "task_sha256": "abc",
        "protocol": "linear",
        "metric": find_metric(metric),
        "clips": tuple(
            tuple(f"{fold}-{clip:05d}" for clip in range(len(of_clip)))
            for fold, of_clip in enumerate(by_clip.units.of_clip)
        ),
        "by_unit": by_unit,
        "by_clip": by_clip,
    } | changes
    return Measured(**{"is_random": fields["protocol"] != "linear"} | fields)


def accuracy_seed(*folds: np.ndarray, groups: Sequence[Sequence] = (), **changes) -> Measured:
    """A probe seed from the share of runs that have each clip right, and the clips' groups."""
    shares = tuple(np.asarray(fold, dtype=np.float64) for fold in folds)
    sizes = [len(fold) for fold in shares]
    by_clip = by_unit = share_influence(shares, clip_units(sizes))
    if len(groups):
        by_unit = share_influence(shares, group_units([list(map(str, g)) for g in groups], sizes))
    return probe_seed(by_unit, by_clip, correctness=shares, **changes)
