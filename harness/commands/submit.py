"""``hear-byola submit``: a run as jobs of a cluster."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.arguments import existing, output_folder
from harness.commands.options import Command, FilePath
from harness.core.errors import UserError

if TYPE_CHECKING:
    from harness.core.slurm import JobScript

_IDLE = 600
"""Seconds after which a job of the array ends if others hold all that is left."""

_FIXED = {
    "array": "Use --array-max and --array-limit.",
    "chdir": "The jobs run in the folder in which this command is called.",
    "dependency": "Submit the run when the other job has ended.",
    "job-name": "The jobs are named after the folder `out`.",
    "output": "The logs are in OUT/slurm/logs.",
}
"""Options of sbatch that cannot be chosen, and what applies instead."""


@click.command(cls=Command)
@click.argument("config", type=FilePath(path_type=Path))
@click.option("--slurm", is_flag=True, help="Submit to Slurm, by `sbatch`.")
@click.option(
    "--array-max",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Number of jobs that share the work.",
)
@click.option(
    "--array-limit",
    type=click.IntRange(min=1),
    help="Number of these jobs that may run at the same time.  [default: all]",
)
@click.option("--partition", help="Partition of the jobs.")
@click.option("--account", help="Account of the jobs.")
@click.option(
    "--time",
    "limit",
    help="Time limit of a job, for example 08:00:00. A job at its limit is queued again.",
)
@click.option(
    "--cpus", type=click.IntRange(min=1), default=4, show_default=True, help="Cores of a job."
)
@click.option("--gpus", help="GPUs of a job, for example 1 or a100:1; each of them gets a worker.")
@click.option("--mem", help="Memory of a job, for example 16G.")
@click.option(
    "--sbatch",
    "extra",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Another option of sbatch, for example qos=low. Repeatable.",
)
@click.option(
    "--report/--no-report",
    default=True,
    show_default=True,
    help="Write OUT/report.html at the end.",
)
@click.option("--dry-run", is_flag=True, help="Print the scripts; write and submit nothing.")
def submit(
    config: Path,
    slurm: bool,
    array_max: int,
    array_limit: int | None,
    partition: str | None,
    account: str | None,
    limit: str | None,
    cpus: int,
    gpus: str | None,
    mem: str | None,
    extra: tuple[str, ...],
    report: bool,
    dry_run: bool,
) -> int:
    """Submit a run to a cluster, as an array of jobs.

    CONFIG is a file for `hear-byola run --config`. The jobs of the array share its work. When they
    have ended, another job does what is left, prints the table and writes the report. Jobs that
    are preempted or reach their time limit are queued again and resume. To resume a run, submit it
    again.
    """
    if not slurm:
        raise UserError("Name the scheduler of the cluster: --slurm.")
    config = existing(config).absolute()
    out = _checked_out(config)
    folder = out / "slurm"
    shared = {
        "partition": partition,
        "account": account,
        "time": limit,
        "cpus-per-task": cpus,
        "gpus": gpus,
        "mem": mem,
        "chdir": Path.cwd(),
        **dict(_named(each) for each in extra),
    }
    run = [*_program(), "run", "--config", str(config)]
    if not gpus:
        run += ["--jobs", str(cpus)]
    numbers = f"1-{array_max}" + (f"%{array_limit}" if array_limit else "")
    array, finish = _scripts(folder, shared, run, out, numbers=numbers, report=report)
    if dry_run:
        for each in (array, finish):
            click.echo(f"# {each.path}\n{each.text}")
        return 0
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    number = array.submit()
    try:
        last = finish.submit(f"--dependency=afterany:{number}")
    except UserError as error:
        raise UserError(
            f"{error}\nThe array {number} was submitted without the job that finishes the run. "
            f"Submit {finish.path} when it has ended, or cancel it: scancel {number}"
        ) from error
    click.echo(f"submitted {number}: {array_max} jobs that share the run in {out}")
    click.echo(
        f"submitted {last}: the table" + " and the report" * report + ", when they have ended"
    )
    click.echo(f"logs      {folder / 'logs'}")
    click.echo(f"To see how far it is: hear-byola status {shlex.quote(str(out))}")
    return 0


def _scripts(
    folder: Path, shared: dict[str, Any], run: list[str], out: Path, *, numbers: str, report: bool
) -> tuple[JobScript, JobScript]:
    from harness.core.slurm import job_script

    variables = [
        f"export {name}={shlex.quote(os.environ[name])}"
        for name in ("PATH", "PYTHONPATH", "HEAR_BYOLA_CACHE")
        if name in os.environ
    ]
    logs = str(folder / "logs").replace("%", "%%")
    array = job_script(
        folder / "array.sbatch",
        {
            "job-name": f"hear-{out.name}",
            "array": numbers,
            "output": f"{logs}/%A_%a.log",
            **shared,
        },
        [*variables, f"resumable {shlex.join(run)} --idle-limit {_IDLE}"],
    )
    body = [*variables, f"resumable {shlex.join(run)}", "code=$?"]
    if report:
        made = [*_program(), "results", "report", str(out), "-o", str(out / "report.html")]
        body.append(f"{shlex.join(made)} || [ $code -ne 0 ] || code=1")
    finish = job_script(
        folder / "finish.sbatch",
        {"job-name": f"hear-{out.name}-end", "output": f"{logs}/%j.log", **shared},
        [*body, "exit $code"],
    )
    return array, finish


def _program() -> list[str]:
    """Return the words that call this program in a job: the same Python, by its absolute path."""
    return [sys.executable, "-m", "harness.cli"]


def _checked_out(config: Path) -> Path:
    """Return the folder of a run, after the checks that need no model and no audio."""
    from harness.commands.arguments import read_models
    from harness.commands.run import RunOptions, check_options, run
    from harness.run.preflight import find_protocols, seeds_of, with_shots
    from tasks.find import find_sources

    options = RunOptions(**run.make_context("run", ["--config", str(config)]).params)
    check_options(options)
    read_models(options.models)
    find_sources(options.tasks, options.suite, options.tasks_dir)
    protocols = find_protocols(with_shots(options.protocols, options.shots))
    seeds_of(protocols, options.seeds, options.draws)
    for name, given, cure in (
        ("shard", options.shard != (1, 1), "The jobs share the work without it."),
        ("dry_run", options.dry_run, "Use `hear-byola submit --dry-run` to see the jobs."),
        ("engine: ray", options.engine == "ray", "The jobs share the work without Ray."),
    ):
        if given:
            raise UserError(f"{config} contains `{name}`, which is not for jobs. {cure} Delete it.")
    return output_folder(options.out).absolute()


def _named(option: str) -> tuple[str, object]:
    name, equals, value = option.lstrip("-").partition("=")
    if not name:
        raise UserError(f"--sbatch takes NAME=VALUE or NAME, not '{option}'.")
    for fixed, instead in _FIXED.items():
        if fixed.startswith(name):  # sbatch takes abbreviations
            raise UserError(f"--sbatch '{option}': {fixed} cannot be set. {instead}")
    return name, value if equals else True
