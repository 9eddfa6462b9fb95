"""How often two probe seeds of one model are called different, and how clips' flips correlate.

    hear-byola run -m hear_byola -t my_task --protocol knn --out runs/seeds
    python tests/bench/seed_noise.py runs/seeds --seeds 20 [--hidden 64] [--points 2] [--csv FILE]

Trains the probes of the `mlp` protocol with many seeds on the embeddings of every multiclass
evaluation in a run's folder, and compares every pair of seeds on random subsets of the test clips:
one seed a side, and three against three others. `--hidden` makes the probes smaller than the
protocol's 1024, which is quicker but no stand-in: the correlation differs. `--points` is how many
points of the grid each seed chooses among on validation; the protocol has eight. `--csv` adds to a
file that is there.

Columns: `clips_alone`, the share of pairs that the exact McNemar test calls different; `icc`, the
correlation of clips' turns between two seeds, (E[d²] - q / n) / (q (1 - 1 / n)) with d the
difference of two seeds' accuracies and q their share of clips that one alone has right;
`one_against_one` and `three_against_three`, the shares that are called different as models are.
Pairs share seeds and subsets share clips, so the shares are rougher than their number suggests.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.compare.measured import Measured
from harness.analysis.compare.paired import difference
from harness.analysis.compare.proportions import sign_flip_test
from harness.metrics.jackknife import share_influence
from harness.metrics.registry import find_metric
from harness.metrics.scene_metric import Accuracy
from harness.metrics.units import clip_units
from harness.probe import PROTOCOLS, ProbeUnit
from harness.probe.grid import grid_points
from harness.probe.run import run_unit
from harness.results import find_evaluations
from harness.results.record import Record, read_record
from tasks.format.task import read_task

SUBSETS = (50, 88, 200, 500, 1000, 2000, 5000)
TRIALS = 5  # random subsets of each size
SIGNIFICANCE = 0.05


def accuracy_of(record: Record) -> Accuracy:
    """The primary metric, which must be an accuracy."""
    metric = find_metric(record.evaluation[0])
    assert isinstance(metric, Accuracy)
    return metric


def train_seeds(record: Record, seeds: int, hidden: int, points: int) -> list[np.ndarray]:
    """Per fold whether each seed's selected probe has each test clip right: bool (seeds, n)."""
    task = read_task(record.task_directory)
    grid = {**PROTOCOLS["mlp"].grid, "hidden_dim": (hidden,)}
    protocol = replace(PROTOCOLS["mlp"], grid=grid, n_points=points)
    found = []
    predictions = record.read_predictions()
    for number, (fold, truth) in enumerate(zip(task.folds, predictions, strict=True)):
        embeddings = {s: record.read_embeddings(s) for s in (*fold.train, fold.valid, fold.test)}
        rows = []
        for seed in range(seeds):
            units = [ProbeUnit(number, point, 0) for point in grid_points(protocol, task)]
            results = [run_unit(protocol, u, task, embeddings, seed) for u in units]
            best = max(results, key=lambda result: result.valid_score)
            rows.append(accuracy_of(record).correct(best.probabilities, truth.targets))
        found.append(np.stack(rows))
    return found


def seed_of(record: Record, seed: int, correctness: list[np.ndarray]) -> Measured:
    """One trained probe as it is compared."""
    clips = tuple(tuple(f"{i}" for i in range(len(fold))) for fold in correctness)
    shares = tuple(fold.astype(float) for fold in correctness)
    found = share_influence(shares, clip_units([len(fold) for fold in shares]))
    return Measured(
        model="model",
        seed=seed,
        task=record.task,
        task_sha256="",
        protocol="mlp",
        metric=accuracy_of(record),
        clips=clips,
        by_unit=found,
        by_clip=found,
        correctness=shares,
    )


def rates(record: Record, right: list[np.ndarray], trained: dict) -> Iterator[dict]:
    """Share of comparisons that call two seeds different, by the number of test clips."""
    rng = np.random.default_rng(0)
    total = sum(fold.shape[1] for fold in right)
    n_seeds = len(right[0])
    for size in (*(s for s in SUBSETS if s < total), total):
        alone, singles, threes, discordant, squares = [], [], [], [], []
        for _ in range(1 if size == total else TRIALS):
            parts = [
                rng.permutation(f.shape[1])[: max(2, round(size * f.shape[1] / total))]
                for f in right
            ]
            chosen = [
                seed_of(record, s, [f[s, p] for f, p in zip(right, parts, strict=True)])
                for s in range(n_seeds)
            ]
            for one, other in itertools.combinations(chosen, 2):
                folds = list(zip(one.correctness or (), other.correctness or (), strict=True))
                alone.append(sign_flip_test([x - y for x, y in folds]).p < SIGNIFICANCE)
                singles.append(difference([one], [other]).p < SIGNIFICANCE)
                discordant.append(np.mean([np.mean(x != y) for x, y in folds]))
                squares.append(np.mean([np.mean(x - y) ** 2 for x, y in folds]))
            for _ in range(20):
                order = rng.permutation(n_seeds)[:6]
                sides = [[chosen[i] for i in order[:3]], [chosen[i] for i in order[3:]]]
                threes.append(difference(*sides).p < SIGNIFICANCE)
        yield {
            "task": record.task,
            "model": record.directory.parent.parent.name,
            **trained,
            "n_clips": size,
            "n_seeds": n_seeds,
            "discordance": np.mean(discordant),
            "icc": icc(np.mean(squares), np.mean(discordant), size / len(right)),
            "clips_alone": np.mean(alone),
            "one_against_one": np.mean(singles),
            "three_against_three": np.mean(threes),
        }


def icc(square: float, discordance: float, n: float) -> float:
    """Correlation of flips, from the mean square of differences on folds of n clips."""
    return (square - discordance / n) / (discordance * (1 - 1 / n))


def main() -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    rows: list[dict] = []
    done = set()
    for record in map(read_record, find_evaluations(options.run)):
        key = (record.task, record.directory.parent.parent.name)
        if key in done or not isinstance(find_metric(record.evaluation[0]), Accuracy):
            continue
        done.add(key)
        right = train_seeds(record, options.seeds, options.hidden, options.points)
        rows += rates(record, right, {"hidden": options.hidden, "points": options.points})
        print(pd.DataFrame(rows).to_string(index=False, float_format="%.4g"), flush=True)
    if options.csv:
        before = [pd.read_csv(options.csv)] if options.csv.is_file() else []
        pd.concat([*before, pd.DataFrame(rows)]).to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
