"""The runner of the measurements, with the least work."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench"


def run(out: Path, *names: str) -> str:
    chosen = [word for name in names for word in ("--only", name)]
    subprocess.run(
        [
            sys.executable,
            str(BENCH / "run.py"),
            "--tiny",
            "--repeats",
            "2",
            "--out",
            str(out),
            *chosen,
        ],
        check=True,
        capture_output=True,
        cwd=BENCH.parents[1],
    )
    return out.read_text()


def test_a_run_replaces_its_own_tables_and_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    runner, sides = importlib.import_module("run"), importlib.import_module("sides")
    stale = sides.Row("stale", "", [], [], "")
    text = ""
    for name in ("knn", "linear"):
        text = runner.with_rows(text, name, 3, [stale])
    out = tmp_path / "bench.md"
    out.write_text(text + "\n## Another CPU, avx2\n\n### knn\n\nkept\n")
    found = run(out, "knn")
    others, ours = sorted(re.split("(?m)^(?=## )", found)[1:], key=lambda b: runner.cpu() in b)
    assert others.split() == ["##", "Another", "CPU,", "avx2", "###", "knn", "kept"]
    assert re.findall("(?m)^### (.*)$", ours) == ["linear", "knn"]
    assert ours.count("stale") == 1
    (row,) = [line for line in ours.splitlines() if line.startswith("| knn")]
    assert re.search(r"\| scikit-learn \| [\d.]+ \([\d.]+ to [\d.]+\) \|", row)


@pytest.mark.slow
def test_every_bench_runs(tmp_path: Path) -> None:
    names = sorted(path.stem.removeprefix("bench_") for path in BENCH.glob("bench_*.py"))
    with_rows = [n for n in names if "\ndef rows(" in (BENCH / f"bench_{n}.py").read_text()]
    found = re.findall("(?m)^### (.*)$", run(tmp_path / "bench.md"))
    assert sorted(found) == with_rows
