"""Cost against work: planning by clips and tasks, probes by clips, embedding and probing by models.

    python tests/bench/run.py --only scaling
    python tests/bench/bench_scaling.py CASE NUMBER

Cases, each in a process of its own, which prints CPU and wall-clock seconds and the largest memory:

- `plan N`: plan 20 tasks of N clips each with log-mel, a second time. The first time all audio is
  checked and hashed.
- `tasks N`: the same with N tasks of 1,000 clips.
- `models N`: the same with 4 tasks of 1,000 clips and N models.
- `run N`: embed N clips of 0.1 s with log-mel and train and score `linear`.
- `probe N`: train and score `linear` on N stored embeddings of 64 numbers."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from noise_task import make_task
from sides import Row

TINY = {"plan": (20, 40), "tasks": (1, 2), "models": (1, 2), "run": (60, 120), "probe": (200, 400)}
SIZES = {
    "plan": (1_500, 13_500),
    "tasks": (1, 5, 20),
    "models": (1, 2, 5),
    "run": (1_000, 10_000, 50_000),
    "probe": (1_000, 10_000, 100_000, 1_000_000),
}


def halves(clips: int) -> dict[str, int]:
    """Return the clips of each split, half of them for training."""
    return {"train": clips // 2, "valid": clips // 4, "test": clips // 4}


def planned(root: Path, tasks: int, clips: int, models: int) -> Callable[[], object]:
    """Plan once, and return the same work."""
    from harness.models.spec import parse_model
    from harness.run.plan import Settings, make_plan
    from tasks.format.task import TaskSource

    sources = [TaskSource(make_task(root, f"t{i:02d}", halves(clips))) for i in range(tasks)]
    specs = [parse_model(f"harness.baselines.logmel,name=logmel{i}") for i in range(models)]
    settings = Settings(tuple(specs), tuple(sources), ("linear",), out=root / "out")
    make_plan(settings)
    return lambda: make_plan(settings)


def run(root: Path, clips: int) -> Callable[[], object]:
    """Return embedding and probing of one task."""
    from harness.models.spec import parse_model
    from harness.run.engines import InlineEngine
    from harness.run.execute import execute
    from harness.run.plan import Settings, make_plan
    from tasks.format.task import TaskSource

    source = TaskSource(make_task(root, "task", halves(clips)))
    spec = parse_model("harness.baselines.logmel,name=logmel")
    settings = Settings((spec,), (source,), ("linear",), out=root / "out")
    return lambda: execute(make_plan(settings), InlineEngine("cpu"), settings.out)


def probe(root: Path, clips: int, size: int = 64) -> Callable[[], object]:
    """Return the probe of synthetic embeddings, in the store."""
    import numpy as np

    from harness.embeddings.store import read_split, write_split
    from harness.probe import PROTOCOLS, ProbeUnit
    from harness.probe.run import run_unit
    from tasks.format.task import read_task

    task = read_task(make_task(root, "task", halves(clips), audio=False))
    draw = np.random.default_rng(0)
    for split in task.splits:
        names = [clip.name for clip in task.clips[split]]
        classes = np.array([int(clip.labels[0]) for clip in task.clips[split]])
        rows = draw.standard_normal((len(names), size), dtype=np.float32)
        rows[:, 0] += classes
        write_split(root / split, split, names, rows, np.arange(len(names) + 1), None, {})
    embeddings = {split: read_split(root / split) for split in task.splits}
    protocol = PROTOCOLS["linear"]
    return lambda: run_unit(protocol, ProbeUnit(0, 0, 0), task, embeddings, 0)


def rows(repeats: int, tiny: bool) -> Iterator[Row]:
    """Measure each case at each size, once: what counts is how the cost grows."""
    del repeats
    for case, sizes in (TINY if tiny else SIZES).items():
        for number in sizes:
            done = subprocess.run(
                [sys.executable, __file__, case, str(number)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            cost = f"{found['cpu']:.2f} CPU s, {found['wall']:.2f} s, {found['megabytes']:.0f} MB"
            yield Row(f"{case} {number:,}", "", [], [], cost)


CASES: dict[str, Callable[[Path, int], Callable[[], object]]] = {
    "plan": lambda root, n: planned(root, 20, n, 1),
    "tasks": lambda root, n: planned(root, n, 1_000, 1),
    "models": lambda root, n: planned(root, 4, 1_000, n),
    "run": run,
    "probe": probe,
}


def main(case: str, number: int) -> None:
    """Do the work of a case, and print what it took as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        work = CASES[case](Path(folder), number)
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "megabytes": memory}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
