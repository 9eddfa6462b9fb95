"""CPU and wall-clock seconds of `linear`'s path of 12 strengths: ours beside scikit-learn's.

    OMP_NUM_THREADS=1 python tests/bench/bench_linear.py [--repeats 3] [--only TEXT] [STORE TASK]...

scikit-learn fits LogisticRegression (lbfgs, float32) at all 12 strengths: once with its default
tolerance, and once with a tolerance that gives it the validation scores of converged fits. Ours
fits until validation has fallen, as the protocol does, and refines the best. Cases: 1,000 x 512 and
5,000 x 2048 rows of 10 classes, of equal and of unequal correlated columns, and the first fold of a
multiclass task for each pair of a folder of embeddings (runs/demo/embeddings/MODEL/TASK) and the
task's own folder.

Both sides use one thread, take turns in one process, and are timed after a warm-up. Ratios are
scikit-learn's seconds over ours. Beside them: the best validation accuracy of each side, and the
share of decisions on validation that our selected fit has in common with scikit-learn's at that
strength, fitted in float64 to a tolerance of 1e-8.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sides import Row, alternate, spread
from sklearn.linear_model import LogisticRegression

from harness.embeddings.store import read_split
from harness.probe import PROTOCOLS
from harness.probe.folddata import read_fold
from harness.probe.judge import Check
from harness.probe.linear import LinearPath
from harness.probe.protocols.linear import fit_until_worse
from tasks.format.task import read_task

STRENGTHS = PROTOCOLS["linear"].grid["l2"]
TOLERANCES = {"default": 1e-4, "converged": 1e-6}


@dataclass(frozen=True)
class Case:
    """Rows and classes of training and validation."""

    name: str
    rows: np.ndarray
    classes: np.ndarray
    valid_rows: np.ndarray
    valid_classes: np.ndarray


def synthetic(n: int, size: int, unequal: float, signal: float) -> Case:
    """10 classes of Gaussian rows; columns are mixed, the i-th source weighted i ** -unequal."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 10, 2 * n)
    rows = signal * rng.normal(size=(10, size))[classes] + rng.normal(size=(2 * n, size))
    if unequal:
        rows = rows @ (rng.normal(size=(size, size)) * np.arange(1, size + 1) ** -unequal).T
    rows = ((rows - rows[:n].mean(0)) / rows[:n].std(0)).astype(np.float32)
    kind = "correlated" if unequal else "independent"
    return Case(f"{n} x {size} {kind}", rows[:n], classes[:n], rows[n:], classes[n:])


def stored(embeddings: Path, directory: Path) -> Case:
    """The first fold of a task, from its stored embeddings."""
    task = read_task(directory)
    splits = [read_split(path.parent) for path in sorted(embeddings.glob("*/manifest.json"))]
    found = {split.split: split for split in splits}
    data = read_fold(task, task.folds[0], found, "cpu", shuffle=True, standardise=True)
    n, size = data.train.shape
    return Case(
        f"{task.name} of {embeddings.parent.name}, {n} x {size}",
        data.train.numpy(),
        data.train_targets.numpy(),
        data.valid.numpy(),
        data.valid_targets,
    )


def accuracy(case: Case, predicted: np.ndarray) -> float:
    return float((predicted == case.valid_classes).mean())


class Scorer:
    """The judge of our side."""

    perfect = 1.0

    def __init__(self, case: Case) -> None:
        self.case = case

    def __call__(self, logits: torch.Tensor) -> Check:
        return Check(accuracy(self.case, logits.argmax(1).numpy()), 0.0)

    def better(self, score: float, best: float) -> bool:
        return score > best


def ours(case: Case) -> tuple[float, float, np.ndarray]:
    """Best validation accuracy, its strength, and its decisions."""
    rows, valid = torch.from_numpy(case.rows), torch.from_numpy(case.valid_rows)

    n_classes = 1 + int(max(case.classes.max(), case.valid_classes.max()))
    path = LinearPath(rows, torch.from_numpy(case.classes), n_classes)
    fit, check, _ = fit_until_worse(path, STRENGTHS, lambda f: f.logits(valid), Scorer(case))  # type: ignore[arg-type]
    return check.score, fit.l2, fit.logits(valid).argmax(1).numpy()


def scikit_learn(case: Case, tolerance: float) -> float:
    """Best validation accuracy."""
    n = len(case.rows)
    models = [LogisticRegression(C=1 / (n * l2), tol=tolerance, max_iter=5000) for l2 in STRENGTHS]
    return max(
        accuracy(case, model.fit(case.rows, case.classes).predict(case.valid_rows))
        for model in models
    )


def agreement(case: Case, l2: float, decisions: np.ndarray) -> float:
    """Share of equal decisions with a tight fit."""
    model = LogisticRegression(C=1 / (len(case.rows) * l2), tol=1e-8, max_iter=50_000)
    model.fit(case.rows.astype(np.float64), case.classes)
    return float((model.predict(case.valid_rows) == decisions).mean())


def cases(stores: Sequence[str]) -> Iterator[Case]:
    for n, size in ((1000, 512), (5000, 2048)):
        yield synthetic(n, size, 0.0, 4 / size**0.5)
        yield synthetic(n, size, 0.7, 4 / size**0.5)
    for embeddings, directory in zip(stores[::2], stores[1::2], strict=True):
        yield stored(Path(embeddings), Path(directory))


def rows(repeats: int, tiny: bool, only: str = "", stores: Sequence[str] = ()) -> Iterator[Row]:
    """Compare the two in every case, with either tolerance of scikit-learn."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="sklearn")
    for case in [synthetic(60, 8, 0.0, 1.0)] if tiny else cases(stores):
        if only not in case.name:
            continue
        score, l2, decisions = ours(case)
        equal = agreement(case, l2, decisions)
        for name, tolerance in TOLERANCES.items():
            other = scikit_learn(case, tolerance)
            row = alternate(
                f"linear, {case.name}",
                f"scikit-learn, {name} tolerance",
                partial(ours, case),
                partial(scikit_learn, case, tolerance),
                repeats,
            )
            found = f"validation {score:.4f} and {other:.4f}, {100 * equal:.2f} % equal decisions"
            yield replace(row, ours=f"{row.ours}; {found}")


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", nargs="*", metavar="STORE TASK")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="measure cases whose name contains this text")
    options = parser.parse_args()
    for row in rows(options.repeats, tiny=False, only=options.only, stores=options.stores):
        print(f"{row.what}, {row.against}: CPU {spread(row.cpu)}, wall {spread(row.wall)}")
        print(f"  {row.ours}", flush=True)


if __name__ == "__main__":
    main()
