"""The command line ``hear-byola``: options, and which function each command calls.

Heavy packages are imported by the commands that need them, so that help is quick.
"""

from __future__ import annotations

import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.commands.checkpoint import checkpoint as checkpoint_commands
from harness.commands.pretrain import pretrain as pretrain_command
from harness.errors import UserError
from harness.options import Group, chosen, config, layout, probes, workers

INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(call(sys.argv[1:]))


def call(arguments: list[str]) -> int:
    """Run one command; a user's mistake ends in one sentence and exit code 2."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return cli(arguments, prog_name="hear-byola", standalone_mode=False) or 0
        except UserError as error:
            click.secho(f"Error: {error}", fg="red", err=True)
            return 2
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("\nStopped. What is finished is kept: the same command goes on.", err=True)
            return INTERRUPTED


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    click.secho(f"Warning: {message}", fg="yellow", err=True)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hear-byola")
def cli() -> None:
    """Evaluate audio representations on HEAR-format tasks."""


@cli.command()
@chosen
@probes
@workers
@layout
@config
def run(**options: Any) -> int:
    """Embed, probe and score models on tasks; end with a table and results.csv.

    Every unit of work is saved as it finishes: the same command after a stop or a crash goes on
    where it was. Exit code 0: all done; 1: something failed, the rest was finished; 2: wrong use.
    """
    return _execute(options)


@cli.command()
@chosen
@workers
@layout
@config
def embed(**options: Any) -> int:
    """Embed tasks with models, and stop there."""
    # Embeddings do not depend on the protocol; this one takes every kind of task.
    return _execute(options | {"protocols": ("linear",), "seeds": 1}, embed_only=True)


@cli.command()
@click.argument("directories", nargs=-1, type=click.Path(path_type=Path))
@chosen
@probes
@workers
@config
def probe(directories: tuple[Path, ...], **options: Any) -> int:
    """Probe and score finished embeddings.

    DIRECTORIES are embeddings of the original kit, one folder a task
    (embeddings/MODULE/TASK). Without any, probe what `hear-byola embed` made of -m and -t.
    """
    return _execute(options | {"layout": "native"}, directories=directories, probe_only=True)


def _execute(
    options: dict[str, Any],
    *,
    embed_only: bool = False,
    probe_only: bool = False,
    directories: tuple[Path, ...] = (),
) -> int:
    from harness.engines import local_engine, worker_devices
    from harness.plan import Settings, make_plan, plan_probes
    from harness.progress import ConsoleListener
    from harness.run import execute, require_embeddings, write_layouts
    from harness.table import format_table

    out = _folder(options["out"])
    devices = worker_devices(options["device"], options["jobs"])
    with ConsoleListener() as listener:
        if directories:
            if options["models"] or options["tasks"] or options["suite"]:
                raise UserError("Give embedding folders or -m and -t, not both.")
            plan = plan_probes(directories, options["protocols"], options["seeds"], out)
        else:
            settings = Settings(
                models=_models(options["models"]),
                tasks=_tasks(options["tasks"], options["suite"], options["tasks_dir"]),
                protocols=tuple(options["protocols"]),
                seeds=options["seeds"],
                out=out,
                dtype=options["dtype"],
                skip_bad=options["skip_bad"],
                task_statistics=options["task_statistics"],
                verify=options["verify"],
                shard=_shard(options["shard"]),
            )
            plan = make_plan(settings, listener.say)
            if probe_only:
                require_embeddings(plan)
        command = shlex.join(["hear-byola", *sys.argv[1:]])
        engine = local_engine(devices)
        summary = execute(plan, engine, out, command, listener, embed_only=embed_only)
        if options["layout"] == "heareval":
            for directory in write_layouts(plan, out / "heareval"):
                listener.say(f"wrote {directory}")
    if not embed_only:
        click.echo(format_table(summary.table), nl=False)
        click.echo(f"\n{out / 'results.csv'}")
    return _report(summary.failures)


def _folder(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder.")
    return out


def _report(failures: Sequence[tuple[str, str]]) -> int:
    if failures:
        click.echo(f"{len(failures)} failed:", err=True)
        for name, error in failures:
            click.echo(f"  {name}: {error}", err=True)
    return int(bool(failures))


def _models(texts: tuple[str, ...]) -> tuple:
    from harness.module import parse_model

    if not texts:
        raise UserError("Name a model: -m hear_byola, or -m ./my_module.py=weights.pt.")
    return tuple(parse_model(text) for text in texts)


def _tasks(names: tuple[str, ...], suite: str | None, tasks_dir: Path) -> tuple:
    from harness.task import TaskSource
    from tasks.find import find_suite, find_task

    found = [find_task(name, tasks_dir) for name in names]
    if suite:
        found += find_suite(suite, tasks_dir)
    if not found:
        raise UserError("Name tasks: -t TASK, -t DIRECTORY, or --suite demo.")
    unique = {directory: TaskSource(directory, card_suite) for directory, card_suite in found}
    return tuple(unique.values())


def _shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return (1, 1)
    first, _, count = text.partition("/")
    if not (first.isdigit() and count.isdigit() and 1 <= int(first) <= int(count)):
        raise UserError(f"--shard must be I/N with 1 <= I <= N, for instance 2/8, not '{text}'.")
    return (int(first), int(count))


@cli.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the study; what is there is not done again.  [default: runs/NAME]",
)
@click.option(
    "--audio", type=click.Path(path_type=Path), help="What to train on, instead of the study's."
)
@click.option(
    "--tasks-dir",
    type=click.Path(path_type=Path),
    default=Path("tasks"),
    show_default=True,
    help="Where task directories are looked for by name.",
)
@click.option("--jobs", type=int, help="Trainings at once.  [default: one, or one a GPU]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def ablate(
    study: Path,
    out: Path | None,
    audio: Path | None,
    tasks_dir: Path,
    jobs: int | None,
    device: str,
) -> int:
    """Train a study's arms × seeds, benchmark all, and set each against the reference arm.

    STUDY is a YAML file. Ends with a table, which OUT/table.md and table.csv keep. The same
    command after a stop goes on where it was. Exit code 1: an arm failed, the others were finished.
    """
    from harness.ablate import Trainer
    from harness.ablate import ablate as run_study
    from harness.engines import worker_devices
    from harness.progress import ConsoleListener
    from harness.study import read_study
    from hear_byola.pretraining.config import differing

    chosen = read_study(study)
    chosen = replace(chosen, audio=audio) if audio else chosen
    out = _folder(out or Path("runs") / chosen.name)
    devices = worker_devices(device, jobs)
    trainer = Trainer(_configure, differing, _pretrain_arm, "hear_byola", _untrained)
    with ConsoleListener() as listener:
        outcome = run_study(
            chosen,
            _tasks(chosen.tasks, chosen.suite, tasks_dir),
            out,
            trainer,
            # One training takes all cores; GPUs are given one each.
            training_devices=devices if jobs else list(dict.fromkeys(devices)),
            devices=devices,
            command=shlex.join(["hear-byola", *sys.argv[1:]]),
            listener=listener,
            say=listener.say,
        )
    click.echo(outcome.table, nl=False)
    click.echo(f"\n{out / 'table.md'}")
    return _report(outcome.failures)


def _configure(base: str, overrides: Mapping[str, object]) -> Mapping[str, object]:
    from hear_byola.pretraining.config import read_config
    from hear_byola.pretraining.errors import PretrainError

    try:
        return read_config(base, overrides).as_dict()
    except PretrainError as error:
        raise UserError(str(error)) from error


def _pretrain_arm(
    source: Path,
    config: Mapping[str, object],
    out: Path,
    *,
    name: str,
    device: str,
    say: Callable[[str], None],
) -> Path:
    from hear_byola.pretraining.config import make_config
    from hear_byola.pretraining.errors import PretrainError
    from hear_byola.pretraining.run import STATE, Machines, pretrain

    kind, _, index = device.partition(":")
    # "1," is the device of number 1 to Lightning, where "1" would be one device.
    machines = Machines("gpu" if kind == "cuda" else kind, f"{index}," if index else 1)
    try:
        checkpoint = pretrain(source, make_config(config), out, name, machines=machines, say=say)
    except PretrainError as error:
        raise UserError(str(error)) from error
    # What it would go on from is fifty times its size, and a study has many arms.
    (out / STATE).unlink(missing_ok=True)
    return checkpoint


def _untrained(config: Mapping[str, object]) -> Mapping[str, object]:
    return {key: config[key] for key in ("encoder", "d", "convention", "seed")}


@cli.command()
@click.argument("module")
@click.option("-m", "--model", "checkpoint", default="", help="The module's checkpoint.")
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, mps or cuda:N.")
@click.option("--quick", is_flag=True, help="Leave out the check on 20 minutes of audio.")
def validate(
    module: str, checkpoint: str, options: tuple[str, ...], device: str, quick: bool
) -> int:
    """Check a module against the HEAR API: the official validator, then stricter checks.

    Exit code 0: all passed; 1: a check failed; 3: the official validator is not installed and was
    not run.
    """
    from harness.conformance.validate import exit_code, format_report
    from harness.conformance.validate import validate as validate_module
    from harness.module import parse_model

    head = f"{module}={checkpoint}" if checkpoint else module
    spec = parse_model(",".join([head, *options]))
    report = validate_module(
        spec, device, quick=quick, progress=lambda name: click.echo(f"... {name}", err=True)
    )
    click.echo(format_report(report))
    return exit_code(report)


cli.add_command(pretrain_command)
cli.add_command(checkpoint_commands)


@cli.group()
def tasks() -> None:
    """List, show and check tasks."""


@tasks.command("list")
@click.option(
    "--tasks-dir",
    type=click.Path(path_type=Path),
    default=Path("tasks"),
    show_default=True,
    help="Where task directories are looked for.",
)
def tasks_list(tasks_dir: Path) -> None:
    """List the tasks with a card, and the task directories that are here."""
    from tasks.find import describe_all

    click.echo(describe_all(tasks_dir))


@tasks.command("show")
@click.argument("name")
def tasks_show(name: str) -> None:
    """Show a task's card."""
    from tasks.find import describe

    click.echo(describe(name))


@tasks.command("check")
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--sample-rate", type=int, help="Also ask for audio at this rate, in Hz.")
@click.option("--no-audio", is_flag=True, help="Read the tables alone, not the audio.")
def tasks_check(directories: tuple[Path, ...], sample_rate: int | None, no_audio: bool) -> int:
    """Check task directories and list every finding; exit code 1 on an error."""
    from harness.check import check_task, format_findings

    failed = False
    for directory in directories:
        findings = check_task(directory, sample_rate, audio=not no_audio)
        failed |= any(finding.severity == "error" for finding in findings)
        click.echo(format_findings(directory, findings))
    return int(failed)


@cli.group()
def results() -> None:
    """Read results."""


@results.command("table")
@click.argument("path", type=click.Path(path_type=Path), default=Path("runs"))
@click.option(
    "--format",
    "style",
    type=click.Choice(["markdown", "csv", "latex", "html"]),
    default="markdown",
    show_default=True,
)
def results_table(path: Path, style: str) -> None:
    """Print the table of models × tasks from PATH: a results.csv or a run's folder."""
    from harness.results import load
    from harness.table import format_table

    click.echo(format_table(load(path), style), nl=False)


if __name__ == "__main__":
    main()
