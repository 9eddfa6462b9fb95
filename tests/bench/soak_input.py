"""Give every reader hostile input: cut, changed and made-up files (:mod:`support.hostile.readers`).

python tests/bench/soak_input.py READER INPUTS SECONDS SEED    # one reader, as JSON lines
"""

from __future__ import annotations

import json
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soak import Wanted

TITLE = "Hostile input"
_BATCH = 1_000  # inputs of one search of hypothesis, which remembers all of them
_MOST_BYTES = 8 << 30  # address space of a process, for the sake of the machine


def section(wanted: Wanted) -> list[str]:
    """Try all readers, each in a process of its own, and return what was found."""
    from support.hostile.readers import READERS

    workers = os.cpu_count() or 1
    seconds = wanted.seconds * workers / len(READERS)
    with ThreadPoolExecutor(workers) as pool:
        ends = [
            pool.submit(_in_process, reader.name, wanted.inputs, seconds, wanted.seed)
            for reader in READERS
        ]
        results = [end.result() for end in ends]
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
    return [
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


def _in_process(reader: str, inputs: int, seconds: float, seed: int) -> dict[str, Any]:
    command = [sys.executable, __file__, reader, str(inputs), str(seconds), str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    found = json.loads(lines[-1]) if lines else {
        "reader": reader, "inputs": 0, "refused": 0, "slowest": 0.0, "faults": {}
    }  # fmt: skip
    if done.returncode:
        found["faults"][f"the process ended with exit code {done.returncode}"] = 1
    print(json.dumps(found), flush=True)
    return found


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
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
        while done < inputs and time.monotonic() - began < seconds:
            batch = min(_BATCH, inputs - done)
            for content, fault, took in give(trial, batch, seed + done):
                slowest = max(slowest, took)
                if fault:
                    faults[fault] += 1
                    examples.setdefault(fault, content)
            done += batch
            yield {
                "reader": name, "inputs": done, "refused": trial.refused, "slowest": slowest,
                "faults": dict(faults),
            }  # fmt: skip
    if keep := os.environ.get("HOSTILE_EXAMPLES"):
        for number, (fault, content) in enumerate(examples.items()):
            stem = Path(keep) / f"{name.replace('/', '_').replace(' ', '_')}-{number}"
            stem.with_suffix(".input").write_bytes(content)
            stem.with_suffix(".txt").write_text(fault)


if __name__ == "__main__":
    for found in tried(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])):
        print(json.dumps(found), flush=True)
