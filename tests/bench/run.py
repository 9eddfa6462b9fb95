"""Run all measurements and write results/bench.md: ``make bench``.

    python tests/bench/run.py [--repeats 3] [--only NAME]... [--out results/bench.md]

Each bench (:mod:`sides`) runs in a process of its own with one thread. The file has a block for
each kind of CPU. A run replaces the rows of its benches in the block of its CPU.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from child import instructions, processor
from sides import Row, spread

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "results" / "bench.md"
BENCHES = ("embed", "linear", "mlp", "knn", "events", "pretrain", "start", "scaling", "workers")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pytorch-lightning", "sed_eval")
INTRODUCTION = """# Measurements of speed

Written by `make bench` ([tests/bench](../tests/bench)), with a block for each kind of CPU. Both
sides run in turn, with one thread if nothing else is said. Ratios are the other side's seconds
divided by ours, so above 1 ours is faster: the median, and in brackets the smallest and largest of
the repetitions. CPU seconds hardly depend on other work of the machine; wall-clock seconds do.
"""
HEADER = "| work | against | ratio, CPU | ratio, wall clock | ours |\n|---|---|---|---|---|\n"


def main() -> None:
    """Run the chosen benches and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", action="append", choices=BENCHES, help="may be repeated")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--tiny", action="store_true", help="the least work, to test the benches")
    parser.add_argument("--child", choices=BENCHES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        bench = importlib.import_module(f"bench_{options.child}")
        for row in bench.rows(options.repeats, options.tiny):
            print("\n" + json.dumps(asdict(row)), flush=True)
        return
    for name in options.only or BENCHES:
        rows = rows_of(name, options.repeats, options.tiny)
        text = options.out.read_text("utf-8") if options.out.is_file() else ""
        options.out.write_text(with_rows(text, name, options.repeats, rows), "utf-8")


def rows_of(name: str, repeats: int, tiny: bool) -> list[Row]:
    """Run one bench in a process of its own, and show its rows."""
    command = [sys.executable, __file__, "--child", name, "--repeats", str(repeats)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)]),
    }
    done = subprocess.run(
        command + ["--tiny"] * tiny, env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"the bench {name} failed")
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"what"')]
    rows = [Row(**json.loads(line)) for line in lines]
    for row in rows:
        print(f"{row.what}: CPU {spread(row.cpu)}, {row.ours}", flush=True)
    return rows


def with_rows(text: str, name: str, repeats: int, rows: Sequence[Row]) -> str:
    """Return the file's text with one bench's table replaced in the block of this CPU."""
    blocks = re.split(r"(?m)^(?=## )", text)[1:]
    heading = f"## {cpu()}\n"
    tables: dict[str, str] = {}
    others = []
    for block in blocks:
        if block.startswith(heading):
            for part in re.split(r"(?m)^(?=### )", block)[1:]:
                tables[part.splitlines()[0].removeprefix("### ")] = part.strip()
        else:
            others.append(block.strip())
    tables[name] = f"### {name}\n\n{about(repeats)}\n\n{HEADER}{lines(rows)}"
    ordered = [tables[each] for each in BENCHES if each in tables]
    ours = "\n\n".join([heading.strip(), *ordered])
    return "\n\n".join([INTRODUCTION.strip(), *sorted([*others, ours])]) + "\n"


def lines(rows: Sequence[Row]) -> str:
    """Return rows as those of a markdown table."""
    cells = [
        (row.what, row.against or "-", spread(row.cpu), spread(row.wall), row.ours) for row in rows
    ]
    return "\n".join(f"| {' | '.join(each)} |" for each in cells)


def cpu() -> str:
    """Return the name of the processor, and which instructions it has of those that matter."""
    return ", ".join([processor(), *(flag for flag in FLAGS if flag in instructions())])


def about(repeats: int) -> str:
    """Return the circumstances of a run."""
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    date = datetime.datetime.now(datetime.timezone.utc).date()
    return f"{date}, {os.cpu_count()} cores, {repeats} repetitions; {', '.join(versions)}"


if __name__ == "__main__":
    main()
