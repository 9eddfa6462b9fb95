"""Give every reader hostile input: cut, changed and made-up files (:mod:`support.hostile.readers`).

python tests/bench/soak_input.py READER INPUTS SECONDS SEED    # one reader, as JSON lines
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from soaking import Seen, Wanted

TITLE = "Hostile input"
_BATCH = 500  # inputs of one search of hypothesis, which remembers all of them
_MOST_BYTES = 8 << 30  # address space of a process, for the sake of the machine


def section(wanted: Wanted) -> Seen:
    """Try all readers, and return what was found."""
    from support.hostile.readers import READERS

    workers = os.cpu_count() or 1
    names = [reader.name for reader in READERS]
    inputs, seconds = wanted.inputs, math.inf
    if inputs is None:
        inputs, seconds = sys.maxsize, wanted.seconds * workers / len(names)
    words = [str(inputs), str(seconds), str(wanted.seed)]
    with ThreadPoolExecutor(workers) as pool:
        shares = [names[i::workers] for i in range(workers)]
        parts = pool.map(lambda share: _in_processes(share, words), shares)
        found_of = {found["reader"]: found for part in parts for found in part}
    results = [found_of[name] for name in names]
    rows = [
        f"| {found['reader']} | {found['inputs']:,} | {found['refused']:,} | "
        f"{found['slowest']:.1f} | {len(found['faults'])} |"
        for found in results
    ]
    faults = [
        f"- {found['reader']}: {fault} ({count} inputs)"
        for found in results
        for fault, count in found["faults"].items()
    ]
    lines = [
        "Every reader gets valid files that were cut or changed, byte by byte or in a value. It",
        "must accept a file or refuse it with an error for users, within 10 s and with at most",
        "1 GiB of memory beyond the size of the file. It must not write outside the folders that",
        "it was given, unpickle, or run a program.",
        "",
        "| reader | inputs | refused | slowest (s) | kinds of faults |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        f"| all | {sum(found['inputs'] for found in results):,} | "
        f"{sum(found['refused'] for found in results):,} | | "
        f"{sum(len(found['faults']) for found in results)} |",
        *(["", *faults] if faults else []),
    ]
    return Seen(lines, len(faults))


def _in_processes(names: list[str], words: list[str]) -> list[dict[str, Any]]:
    """Try readers in a process of their own, and in a further one after a crash."""
    results: dict[str, dict[str, Any]] = {}
    while left := [name for name in names if not results.get(name, {}).get("over")]:
        process = subprocess.Popen(
            [sys.executable, __file__, *words, *left], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            found = json.loads(line)
            results[found["reader"]] = found
            if found["over"]:
                print(line, end="", flush=True)
        if process.wait():
            crashed = next(name for name in left if not results.get(name, {}).get("over"))
            found = results.setdefault(crashed, _nothing(crashed))
            found["faults"][f"the process ended with exit code {process.returncode}"] = 1
            found["over"] = True
    return list(results.values())


def _nothing(name: str) -> dict[str, Any]:
    return {"reader": name, "inputs": 0, "refused": 0, "slowest": 0.0, "faults": {}, "over": False}


def tried(name: str, inputs: int, seconds: float, seed: int) -> Iterator[dict[str, Any]]:
    """Try one reader; yield what was found so far after each batch."""
    from support.hostile.readers import READERS
    from support.hostile.trial import Trial, give

    (reader,) = [reader for reader in READERS if reader.name == name]
    began, faults, done, slowest = time.monotonic(), Counter[str](), 0, 0.0
    examples: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        os.environ["HEAR_BYOLA_CACHE"] = os.path.join(folder, "cache")
        trial = Trial(reader, Path(folder))
        trial.check_valid()
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, resource.RLIM_INFINITY))
        while done < inputs and time.monotonic() - began < seconds:
            batch = min(_BATCH, inputs - done)
            for content, fault, took in give(trial, batch, seed + done):
                slowest = max(slowest, took)
                if fault:
                    faults[fault] += 1
                    examples.setdefault(fault, content)
            done += batch
            over = done >= inputs or time.monotonic() - began >= seconds
            yield {
                "reader": name, "inputs": done, "refused": trial.refused, "slowest": slowest,
                "faults": dict(faults), "over": over,
            }  # fmt: skip
    if keep := os.environ.get("HOSTILE_EXAMPLES"):
        for number, (fault, content) in enumerate(examples.items()):
            stem = Path(keep) / f"{name.replace('/', '_').replace(' ', '_')}-{number}"
            stem.with_suffix(".input").write_bytes(content)
            stem.with_suffix(".txt").write_text(fault)


if __name__ == "__main__":
    chosen, limit, start, *readers = sys.argv[1:]
    for each in readers:
        for found in tried(each, int(chosen), float(limit), int(start)):
            print(json.dumps(found), flush=True)
