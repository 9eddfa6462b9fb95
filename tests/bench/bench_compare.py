"""Seconds and memory of intervals and paired differences at the sizes of large tasks.

    python tests/bench/bench_compare.py [accuracy|map]

Accuracy: 5,000 clips, an interval and a paired difference. Mean average precision: 10,000 clips ×
200 classes, an interval, and the influences that a paired difference needs of each model. Each case
runs in a process of its own. Printed are wall-clock and processor seconds and the largest memory of
the process, before and after.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from harness.analysis.compare.influences import influence, units_of
from harness.analysis.compare.measured import Measured
from harness.analysis.compare.paired import difference
from harness.metrics.intervals import estimate
from harness.metrics.jackknife import share_influence
from harness.metrics.registry import find_metric
from harness.metrics.scene_metric import SceneFold
from harness.metrics.units import clip_units
from harness.results.predictions import FoldPredictions


def megabytes() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, work: Callable[[], object]) -> None:
    """Run once, and print what it took."""
    before, wall, processor = megabytes(), time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"{name}: {wall:.2f} s wall, {processor:.2f} s processor, {megabytes():.0f} MB, of which "
        f"{before:.0f} MB before",
        flush=True,
    )


def accuracy() -> None:
    """5,000 clips of 50 classes."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 50, 5000)
    scores = rng.normal(size=(1, 5000, 50)) + 2 * np.eye(50)[targets]
    measure("interval", lambda: estimate(find_metric("top1_acc"), [SceneFold(scores, targets)]))
    right = (rng.random((2, 5000)) < [[0.8], [0.78]]).astype(float)
    a, b = (
        Measured(
            model="m",
            seed=0,
            task="t",
            task_sha256="",
            protocol="linear",
            metric=find_metric("top1_acc"),
            clips=(tuple(map(str, range(5000))),),
            by_unit=found,
            by_clip=found,
            correctness=(row,),
        )
        for row in right
        for found in [share_influence([row], clip_units([5000]))]
    )
    measure("paired difference", lambda: difference([a], [b]))


def mean_average_precision() -> None:
    """10,000 clips of 200 classes, one to three labels a clip."""
    rng = np.random.default_rng(0)
    targets = np.zeros((10_000, 200), dtype=np.float32)
    for clip in targets:
        clip[rng.integers(0, 200, rng.integers(1, 4))] = 1
    scores = (rng.normal(size=(1, 10_000, 200)) + 2 * targets).astype(np.float32)
    clips = tuple(f"{i:05d}" for i in range(10_000))
    fold = FoldPredictions("test", clips, scores, targets, np.arange(10_001))
    measure("interval", lambda: estimate(find_metric("mAP"), [SceneFold(scores, targets)]))
    measure("influences of one model", lambda: influence("mAP", [fold], units_of([fold])))


CASES = {"accuracy": accuracy, "map": mean_average_precision}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        CASES[sys.argv[1]]()
    else:
        for case in CASES:
            print(case, flush=True)
            subprocess.run([sys.executable, __file__, case], check=True)
