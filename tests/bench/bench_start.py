"""CPU seconds of starting: commands, `import harness`, and worker processes.

A worker's other side is a fresh interpreter that imports what a worker needs. CPU seconds include
child processes. Modules are compiled before, as they are in an installed package.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sides import Row, Times, in_words

RESULTS = Path(__file__).parents[2] / "results" / "demo.csv"
COMMANDS = {
    "import harness": ["-c", "import harness"],
    "hear-byola --help": ["-m", "harness.cli", "--help"],
    "hear-byola results table, of a CSV": ["-m", "harness.cli", "results", "table", str(RESULTS)],
    "hear-byola tasks list": ["-m", "harness.cli", "tasks", "list"],
}
WORKERS = """
import sys, time
from harness.core.workers import Workers
from sides import pause
pool = Workers([{{}}] * {n}, {{"OMP_NUM_THREADS": "1"}}, imports="harness.run.jobs")
for future in [pool.submit(pause, 0.2) for _ in range({n})]:
    future.result()
pool.close()
"""


def with_children(work: Callable[[], object]) -> Times:
    """Return the seconds of the child processes of a call."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall
    return Times(
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        wall,
    )


def python(words: Sequence[str]) -> None:
    """Run an interpreter."""
    subprocess.run(
        [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def rows(repeats: int, tiny: bool) -> Iterator[Row]:
    """Measure each command, and workers beside fresh interpreters."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        yield from commands(repeats)
        yield workers(repeats, 2 if tiny else 20)


def commands(repeats: int) -> Iterator[Row]:
    """Measure each command."""
    for name, words in COMMANDS.items():
        python(words)
        times = [with_children(lambda w=words: python(w)) for _ in range(repeats)]
        yield Row(name, "", [], [], in_words(times))


def workers(repeats: int, most: int) -> Row:
    """Compare a worker process, after the first, with a fresh interpreter."""
    fresh = ["-c", "import harness.run.jobs"]
    python(fresh)
    rounds = []
    for _ in range(repeats):
        one, all_ = (
            with_children(lambda n=n: python(["-c", WORKERS.format(n=n)])) for n in (1, most)
        )
        # Below a millisecond it is noise.
        ours = Times(
            max((all_.cpu - one.cpu) / (most - 1), 1e-3),
            max((all_.wall - one.wall) / (most - 1), 1e-3),
        )
        rounds.append((ours, with_children(lambda: python(fresh))))
    return Row.of("each worker process after the first", "a fresh interpreter", rounds)
