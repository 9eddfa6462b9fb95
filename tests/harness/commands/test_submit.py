"""Submission to Slurm: what is written and passed on, and real jobs where there is a Slurm."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from support import slurm, task_directories

from harness.cli import call
from harness.core.slurm import job_script

RECORDER = """#!/bin/bash
printf '%s\\n' "$@" "--" >> "$RECORD"
n=$(grep -c -x -e -- "$RECORD")
[ "$n" -lt "${REFUSED:-9}" ] || { echo "sbatch: error: invalid partition specified" >&2; exit 1; }
echo "$((40 + n));cluster"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of a user with a task, a run config and a recorder named ``sbatch``."""
    task_directories.make_task(tmp_path / "tasks", "scene", n=6, seconds=0.3)
    (tmp_path / "run.yaml").write_text(
        "models: [logmel]\ntasks: [tiny_scene]\nprotocols: [knn]\nout: runs/my run\n"
    )
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "sbatch").write_text(RECORDER)
    (commands / "sbatch").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options_of(script: Path) -> dict[str, str]:
    lines = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH --")]
    pairs = [line.removeprefix("#SBATCH --").partition("=") for line in lines]
    return {name: value for name, _, value in pairs}


def test_an_array_and_the_job_that_finishes_are_submitted(folder, capsys):
    arguments = [
        "submit", "--slurm", "run.yaml", "--array-max", "3", "--array-limit", "2", "--partition",
        "short", "--time", "1:00:00", "--cpus", "2", "--mem", "4G", "--account", "me",
        "--sbatch", "qos=low", "--sbatch", "exclusive",
    ]  # fmt: skip
    assert call(arguments) == 0
    out = folder / "runs" / "my run" / "slurm"
    array, finish = out / "array.sbatch", out / "finish.sbatch"
    assert (folder / "record").read_text().splitlines() == [
        "--parsable", str(array), "--",
        "--parsable", "--dependency=afterany:41", str(finish), "--",
    ]  # fmt: skip
    shared = {
        "requeue": "", "open-mode": "append", "signal": "B:USR1@120", "partition": "short",
        "account": "me", "time": "1:00:00", "cpus-per-task": "2", "mem": "4G", "qos": "low",
        "exclusive": "", "chdir": str(folder),
    }  # fmt: skip
    logs = str(out / "logs")
    assert options_of(array) == shared | {
        "job-name": '"hear-my run"', "array": "1-3%2", "output": f'"{logs}/%A_%a.log"',
    }  # fmt: skip
    assert options_of(finish) == shared | {
        "job-name": '"hear-my run-end"', "output": f'"{logs}/%j.log"',
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "submitted 41: 3 jobs" in said
    assert "submitted 42: " in said
    assert (out / "logs").is_dir()


def test_the_scripts_do_the_work_from_any_folder(folder, tmp_path_factory):
    assert call(["submit", "--slurm", "run.yaml", "--cpus", "1", "--no-report"]) == 0
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    out = folder / "runs" / "my run"
    for name in ("array", "finish"):
        text = (out / "slurm" / f"{name}.sbatch").read_text()
        # Slurm goes to this folder before it starts the script.
        where = options_of(out / "slurm" / f"{name}.sbatch")["chdir"]
        done = subprocess.run(
            ["bash", "-c", f"cd {elsewhere}; cd {where}\n{text}"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (out / "results.csv").is_file()
    assert "| knn" in done.stdout


def test_a_dry_run_prints_the_scripts_and_writes_nothing(folder, capsys):
    assert call(["submit", "--slurm", "run.yaml", "--gpus", "1", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "#SBATCH --array=1-8" in said
    assert "#SBATCH --gpus=1" in said
    assert "--jobs" not in said  # a worker for each GPU
    assert "results report" in said
    assert not (folder / "runs").exists()
    assert not (folder / "record").exists()


@pytest.mark.parametrize(
    ("arguments", "content", "said"),
    [
        ([], "", "Name the scheduler of the cluster: --slurm."),
        (["--slurm"], "models: [nosuchmodel.py]\ntasks: [nosuch]\n", "No task 'nosuch'"),
        (["--slurm"], "tasks: [tiny_scene]\n", "Name a model"),
        (["--slurm"], "modles: [logmel]\n", "modles"),
        (["--slurm"], "models: [logmel]\ntasks: [tiny_scene]\nshard: 1/2\n", "contains `shard`"),
        (["--slurm"], "models: [logmel]\ntasks: [tiny_scene]\nengine: rya\n", "No engine 'rya'"),
        (["--slurm"], "models: [logmel]\ntasks: [tiny_scene]\ndry_run: true\n", "`dry_run`"),
        (["--slurm"], "models: [logmel]\ntasks: [tiny_scene]\nengine: ray\n", "`engine: ray`"),
        (["--slurm", "--sbatch", "array=1-100%8"], "", "Use --array-max and --array-limit"),
        (["--slurm", "--sbatch", "--arr=0-3"], "", "array cannot be set"),
        (["--slurm", "--sbatch", "dependency=afterok:7"], "", "dependency cannot be set"),
        (["--slurm", "--sbatch", "output=/dev/null"], "", "The logs are in OUT/slurm/logs"),
        (["--slurm", "--sbatch", "job-name=x"], "", "job-name cannot be set"),
        (["--slurm", "--sbatch", "chdir=/"], "", "chdir cannot be set"),
        (["--slurm", "--sbatch", "=x"], "", "--sbatch takes NAME=VALUE or NAME, not '=x'"),
        (["--slurm", "--sbatch", "qos=a\nb"], "", "must be printable"),
        (["--slurm", "--time", "8h"], "", "--time '8h' is not a time limit of Slurm. Allowed are "),
        (["--slurm", "--time", "1:00:00:00"], "", "is not a time limit"),
        (["--slurm", "--sbatch", "time=8 hours"], "", "08:00:00 is eight hours"),
    ],
)
def test_mistakes_are_named_before_anything_is_submitted(folder, capsys, arguments, content, said):
    if content:
        (folder / "run.yaml").write_text(content)
    assert call(["submit", "run.yaml", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "record").exists()
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("limit", ["90", "90:00", "8:00:00", "1-0", "1-12:30", "1-12:30:00"])
def test_every_form_of_a_time_limit_that_slurm_reads_is_taken(folder, limit):
    assert call(["submit", "--slurm", "run.yaml", "--time", limit, "--dry-run"]) == 0


@pytest.mark.parametrize("refused", [1, 2])
def test_the_words_of_sbatch_are_shown(folder, capsys, monkeypatch, refused):
    monkeypatch.setenv("REFUSED", str(refused))
    assert call(["submit", "--slurm", "run.yaml"]) == 2
    said = capsys.readouterr().err
    assert "sbatch: error: invalid partition specified" in said
    assert ("scancel 41" in said) == (refused == 2)


def test_a_machine_without_slurm_is_told_what_to_do(folder, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(folder / "tasks"))
    assert call(["submit", "--slurm", "run.yaml"]) == 2
    assert "This machine has no `sbatch`." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "requeued", "code"),
    [
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}, "7_2", 0),
        ({"SLURM_JOB_ID": "9"}, "9", 0),
        ({"SLURM_JOB_ID": "9", "SLURM_RESTART_COUNT": "100"}, "", 1),
    ],
)
def test_a_job_near_its_limit_stops_its_run_and_queues_itself_again(
    tmp_path, variables, requeued, code
):
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/called\n')
    scontrol.chmod(stat.S_IRWXU)
    child = tmp_path / "child"
    child.write_text(
        "trap 'kill $!; touch stopped; exit 130' TERM\nsleep 60 & touch started; wait\n"
    )
    body = [f"resumable bash {child}", "echo not reached"]
    script = job_script(tmp_path / "job", {}, body).text
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", "-c", script],
        env={"PATH": path, **variables},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, "")
    assert (tmp_path / "stopped").exists()
    called = (tmp_path / "called").read_text() if (tmp_path / "called").exists() else ""
    assert called.split() == (["requeue", requeued] if requeued else [])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_jobs_that_are_requeued_stopped_and_killed_end_as_a_local_run(test_data, tmp_path):
    """Needs a Slurm whose nodes are this machine."""
    if not slurm.is_here():
        pytest.skip("there is no Slurm that answers and that this user may administer")
    outcome = slurm.disturbed_run(tmp_path)
    assert outcome.rows_equal
    assert outcome.requeued > 0
    assert outcome.out_of_time > 0
    assert outcome.nodes_killed > 0
    assert outcome.leftovers == []
