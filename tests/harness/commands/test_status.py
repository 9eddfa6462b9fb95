"""``hear-byola status`` and ``--dry-run``, as a user calls them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import task_directories
from support.hear_modules import write_module

from harness.cli import call
from harness.run.holders import Holder
from harness.run.survey import PairState, Survey


@pytest.fixture(scope="module")
def tasks_dir(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tasks")
    task_directories.make_task(root, "scene", n=8, seconds=0.5)
    return root


def command(tasks_dir: Path, out: Path, *more: str) -> list[str]:
    words = ["-m", "logmel", "-t", "tiny_scene", "--tasks-dir", str(tasks_dir), "--out", str(out)]
    return [*words, "--jobs", "1", *more]


def test_a_dry_run_and_the_status_agree(tasks_dir, tmp_path, capsys):
    out = tmp_path / "out"
    wanted = command(tasks_dir, out, "--protocol", "knn")
    assert call(["run", *wanted, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "| logmel | tiny_scene-v1-full | 3 " in said
    assert "unknown" in said
    assert not out.exists()
    assert call(["embed", *wanted[:-2], "--dry-run", "--json"]) == 0
    dry = json.loads(capsys.readouterr().out)
    (pair,) = dry["pairs"]
    assert pair["splits"] == {"done": 0, "claimed": 0, "failed": 0, "to_do": 3}
    assert (dry["expected_seconds"], pair["expected_seconds"]) == (None, None)
    assert dry["rough_seconds"] == pair["rough_seconds"] > 0
    assert pair["evaluations"]["to_do"] == 0
    assert call(["run", *wanted]) == 0
    assert call(["run", *wanted, "--seeds", "2", "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out.partition("results.csv\n")[2])
    (pair,) = planned["pairs"]
    assert (pair["splits"]["done"], pair["evaluations"]) == (
        3,
        {"done": 1, "claimed": 0, "failed": 0, "to_do": 1},
    )
    assert planned["expected_seconds"] > 0
    assert planned["expected_bytes"] < planned["free_bytes"]
    assert planned["claims"] == []
    assert call(["status", str(out), "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    assert pair["evaluations"] == {"done": 1, "claimed": 0, "failed": 0, "to_do": 0}
    assert call(["status", str(out)]) == 0
    assert "| all " in capsys.readouterr().out


def test_a_plan_without_work_is_told(tasks_dir, tmp_path, capsys):
    out = tmp_path / "out"
    assert call(["run", *command(tasks_dir, out, "--protocol", "knn")]) == 0
    (plan,) = (out / "plans").glob("*.json")
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps({**content, "splits": [], "evaluations": []}))
    capsys.readouterr()
    assert call(["status", str(out)]) == 0
    assert "| all " in capsys.readouterr().out


def test_a_damaged_plan_is_named_and_the_others_are_shown(tasks_dir, tmp_path, capsys):
    out = tmp_path / "out"
    assert call(["run", *command(tasks_dir, out, "--protocol", "knn")]) == 0
    (out / "plans" / "other.json").write_text("{")
    capsys.readouterr()
    assert call(["status", str(out)]) == 0
    told = capsys.readouterr()
    assert "| logmel | tiny_scene-v1-full |" in told.out
    assert "other.json cannot be read" in told.err


def test_a_claim_of_a_process_that_has_ended_is_no_work(tasks_dir, tmp_path, capsys):
    out = tmp_path / "out"
    assert call(["run", *command(tasks_dir, out, "--protocol", "knn")]) == 0
    (evaluation,) = (out / "results").glob("*/*/knn-*")
    shutil.rmtree(evaluation)
    claim = (
        f"import os; from harness.core.lease import lease; from pathlib import Path\n"
        f"with lease(Path({str(evaluation)!r})): os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", claim], check=True)
    capsys.readouterr()
    assert call(["status", str(out), "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert state["pairs"][0]["evaluations"] == {"done": 0, "claimed": 0, "failed": 0, "to_do": 1}
    assert len(state["claims"]) == 1


def test_mistakes_are_one_sentence(tasks_dir, tmp_path, capsys):
    assert call(["run", *command(tasks_dir, tmp_path / "out"), "--json"]) == 2
    assert "--json needs --dry-run" in capsys.readouterr().err
    assert call(["status", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert call(["status", str(tmp_path)]) == 2
    assert "contains no plan of a run" in capsys.readouterr().err


def test_who_holds_what_is_told_in_words():
    from harness.commands.status import in_words

    def holder(name: str, **changes) -> Holder:
        return Holder(name, "node7", 12, 0.0, **({"heartbeat": 5.0} | changes))

    text = in_words(
        Survey(
            out=Path("out"),
            pairs=(PairState("m", "t", seconds=90.0, complete=False, bytes=5e9),),
            workers=(holder("hear-byola run"),),
            holders=(
                holder("one", extent="clip 3 of 9", alive=True),
                holder("two", heartbeat=300.0),
                holder("three", alive=False),
            ),
            failures=(),
            left="more than 45 s left",
            rough_left="very roughly 30 h left",
            slots=2,
            idle=("hear-byola run -m other",),
            others=4,
            free=10**9,
        )
    )
    for line in (
        "With 2 workers: more than 45 s left.",
        "With 2 workers: very roughly 30 h left (rates of hear_byola and hear2021 on a CPU core of "
        "another machine).",
        "Disk: about 5.0 GB to write, 1.0 GB free. The disk is too small.",
        "at work   process 12 on node7 since unknown, last sign of life 5 s ago: hear-byola run",
        "claimed   one (clip 3 of 9), process 12 on node7 since unknown, last sign of life 5 s ago",
        "claimed   two, process 12 on node7 since unknown, last sign of life 300 s ago; it can be "
        "taken over",
        "claimed   three, process 12 on node7 since unknown, last sign of life 5 s ago; the "
        "process has ended",
        "  hear-byola run -m other",
        "4 finished evaluations of other commands.",
    ):
        assert line in text.splitlines()
    assert "> 90 s" in text or "> 2 min" in text


def test_what_a_module_prints_is_not_in_the_json(tasks_dir, tmp_path, capfd):
    more = "print('imported')\ndef load_model(path=''):\n    print('loaded')\n    return Toy(1.0)\n"
    module = write_module(tmp_path, "talks", more)
    words = ["-m", str(module), "-t", "tiny_scene", "--tasks-dir", str(tasks_dir)]
    assert call(["run", *words, "--out", str(tmp_path / "out"), "--dry-run", "--json"]) == 0
    printed = capfd.readouterr()
    assert len(json.loads(printed.out)["pairs"]) == 1
    assert "imported" in printed.err
    assert "loaded" in printed.err
