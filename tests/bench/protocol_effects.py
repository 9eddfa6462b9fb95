"""What each defect that ``hear2021`` reproduces does to scores: mend one at a time and compare.

    make demo
    python tests/bench/protocol_effects.py runs/demo results/protocol_effects.csv [TASK...]

Uses the embeddings that the demo left, of all demo tasks or those named. One row a model, task,
variant and seed: the primary metric on the test splits, by the protocol as it is (``hear2021``)
and with one thing mended. Seeds differ in initialisation and dropout, so the spread of ``hear2021``
over seeds is the noise to compare with.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from harness.models.spec import parse_model
from harness.probe import PROTOCOLS, next_units, selected_units
from harness.probe.protocol import Search
from harness.probe.run import run_unit
from harness.results.predictions import gather
from harness.run.evaluation import evaluate
from harness.run.plan import Settings, TaskSource, make_plan
from tasks.demo import demo_directory, demo_names

VARIANTS = {
    "hear2021": {},
    "inputs standardised": {"standardise": True},
    "rows shuffled each epoch": {"shuffle": True},
    "grid searched on every fold": {"search": Search.EACH_FOLD},
    "undefined score does not end training": {"heareval_validation": False},
    "whole grid of 16": {"n_points": 16},
}
MODELS = ("harness.baselines.logmel,name=logmel", "hear_byola,seed=1,name=hear_byola-random")
SEEDS = (0, 1)


def measure(job: tuple) -> list:
    """Score one model on one task by one variant and seed."""
    evaluation, variant, seed = job
    torch.set_num_threads(1)
    protocol = dataclasses.replace(PROTOCOLS["hear2021"], **VARIANTS[variant])
    task, embeddings = evaluation.embeddings.load()
    done: dict = {}
    while units := next_units(protocol, task, done):
        for unit in units:
            done[unit] = run_unit(protocol, unit, task, embeddings, seed)
    selected = selected_units(protocol, task, done)
    results = [[done[unit] for unit in runs] for runs in selected]
    values = evaluate(task, gather(task, embeddings, results))
    value = next(v for v in values if v.split == "all" and v.key == task.primary_metric)
    row = [evaluation.model.label, task.name, task.primary_metric, variant, seed, value.value]
    print(*row, flush=True)
    return row


def main(out: Path, target: Path, names: Sequence[str]) -> None:
    """Measure every combination that says something, and write the CSV."""
    sources = tuple(TaskSource(demo_directory(name)) for name in names or demo_names())
    models = tuple(parse_model(text) for text in MODELS)
    jobs = []
    for evaluation in make_plan(Settings(models, sources, out=out)):
        task = evaluation.embeddings.task()
        for variant in VARIANTS:
            # With one fold, or rows that fit one batch, these two change nothing.
            if variant.startswith("grid searched") and len(task.folds) == 1:
                continue
            if variant.startswith("rows shuffled") and task.embedding_type == "scene":
                continue
            if variant.startswith("undefined") and task.embedding_type == "scene":
                continue
            jobs += [(evaluation, variant, seed) for seed in SEEDS]
    with ProcessPoolExecutor() as pool:
        rows = sorted(pool.map(measure, jobs))
    with target.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["model", "task", "metric", "variant", "seed", "value"])
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
