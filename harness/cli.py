"""The command line ``hear-byola``: options, and which function each command calls.

Heavy packages are imported by the commands that need them, so that help is quick.
"""

from __future__ import annotations

import shlex
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from harness.errors import UserError, did_you_mean

INTERRUPTED = 130

_EXAMPLES = {
    "run": (
        "hear-byola run -m hear_byola -m harness.baselines.logmel --suite demo --protocol linear",
        "hear-byola run -m hear_byola=my.safetensors -m ./my_module.py=w.pt,layer=6 \\\n"
        "      --tasks-dir tasks -t esc50 -t dcase2016_task2 --seeds 3",
    ),
    "embed": (
        "hear-byola embed -m hear_byola --suite demo",
        "hear-byola embed -m hear_byola -t path/to/task-v1-full --layout heareval",
    ),
    "probe": (
        "hear-byola probe -m hear_byola -t demo_pipe_pitch --protocol knn",
        "hear-byola probe embeddings/my_module/esc50-v2.0.0-full --protocol hear2021",
    ),
    "validate": (
        "hear-byola validate hear_byola",
        "hear-byola validate ./my_module.py -m weights.pt -o layer=6",
    ),
    "tasks list": (
        "hear-byola tasks list",
        "hear-byola tasks list --tasks-dir tasks",
    ),
    "tasks show": (
        "hear-byola tasks show demo_guitar_chord",
        "hear-byola tasks show demo_sample_mix",
    ),
    "tasks check": (
        "hear-byola tasks check path/to/task-v1-full",
        "hear-byola tasks check path/to/task-v1-full --sample-rate 16000",
    ),
    "results table": (
        "hear-byola results table runs",
        "hear-byola results table runs/results.csv --format latex",
    ),
}


class _Command(click.Command):
    """A command whose help ends with examples that work."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        name = " ".join(ctx.command_path.split()[1:])
        formatter.write_paragraph()
        formatter.write("Examples:\n")
        for example in _EXAMPLES[name]:
            formatter.write(f"\n  {example}\n")


class _Group(click.Group):
    """A group that suggests the nearest command for an unknown one."""

    command_class = _Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            known = ", ".join(self.commands)
            raise UserError(
                f"No command '{args[0]}'.{did_you_mean(args[0], self.commands)} There are {known}."
            )
        return super().resolve_command(ctx, args)


_Group.group_class = _Group


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


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hear-byola")
def cli() -> None:
    """Evaluate audio representations on HEAR-format tasks."""


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take a YAML file's values as the options' defaults."""
    if path is None:
        return None
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold options and their values, like `seeds: 3`.")
    options = {p.name: p for p in ctx.command.params if p.name and p.name != "directories"}
    for key, value in content.items():
        if key not in options:
            raise UserError(
                f"{path}: no option '{key}'.{did_you_mean(str(key), options)} "
                f"There are {', '.join(sorted(options))}."
            )
        content[key] = _config_value(path, options[key], value)
    ctx.default_map = content
    return path


def _config_value(path: Path, option: click.Parameter, value: object) -> object:
    """Return a YAML value as the command line would give it."""
    if getattr(option, "is_flag", False):
        if isinstance(value, bool):
            return value
        raise UserError(f"{path}: {option.name} must be true or false, not {value!r}.")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(v, str | int | float) for v in values):
        raise UserError(f"{path}: {option.name} must hold words or numbers, not {value!r}.")
    if option.multiple if isinstance(option, click.Option) else False:
        return [str(v) for v in values]
    if isinstance(value, list):
        raise UserError(f"{path}: {option.name} takes one value, not {value!r}.")
    return str(value)


def _options(*options: Callable) -> Callable:
    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_chosen = _options(
    click.option(
        "-m",
        "--model",
        "models",
        multiple=True,
        metavar="MODULE[=CHECKPOINT][,KEY=VALUE]...",
        help="A HEAR-API module: an import name or a .py file, its checkpoint, and options for "
        "its load_model. The option `name` is what tables call it. Repeatable.",
    ),
    click.option(
        "-t",
        "--task",
        "tasks",
        multiple=True,
        metavar="TASK|DIR",
        help="A task directory, the name of one in --tasks-dir, or a built-in task. Repeatable.",
    ),
    click.option("--suite", help="All tasks of a suite, for instance `demo`."),
    click.option(
        "--tasks-dir",
        type=click.Path(path_type=Path),
        default=Path("tasks"),
        show_default=True,
        help="Where task directories are looked for by name.",
    ),
)

_workers = _options(
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("runs"),
        show_default=True,
        help="Where embeddings, predictions and results.csv go; what is there is not done again.",
    ),
    click.option("--jobs", type=int, help="Worker processes.  [default: one a core, or one a GPU]"),
    click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, mps, cuda or cuda:N."
    ),
    click.option("--skip-bad", is_flag=True, help="Leave clips out whose audio is bad."),
    click.option(
        "--task-statistics",
        is_flag=True,
        help="Fit a model's input statistics to each task's training split, as the BYOL-A paper "
        "does; for modules that have `task_options`, and tasks with a training split.",
    ),
    click.option("--verify", is_flag=True, help="Hash all audio again, trusting no memory of it."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float16"]),
        default="float32",
        show_default=True,
        help="How embeddings are stored.",
    ),
    click.option(
        "--shard",
        metavar="I/N",
        help="Do the I-th of N parts of the model × task pairs, from 1: for job arrays.",
    ),
)

_probes = _options(
    click.option(
        "--protocol",
        "protocols",
        multiple=True,
        default=("hear2021",),
        show_default=True,
        help="hear2021, byola, linear, mlp or knn. Repeatable.",
    ),
    click.option(
        "--seeds",
        type=int,
        default=1,
        show_default=True,
        help="Repeat every probe with this many seeds; grids and splits stay.",
    ),
)

_layout = click.option(
    "--layout",
    type=click.Choice(["native", "heareval"]),
    default="native",
    show_default=True,
    help="`heareval` also writes the original kit's embedding folders, to OUT/heareval.",
)

_config = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_read_config,
    is_eager=True,
    expose_value=False,
    help="YAML with any of these options, e.g. `models: [hear_byola]`, `seeds: 3`.",
)


@cli.command()
@_chosen
@_probes
@_workers
@_layout
@_config
def run(**options: Any) -> int:
    """Embed, probe and score models on tasks; end with a table and results.csv.

    Every unit of work is saved as it finishes: the same command after a stop or a crash goes on
    where it was. Exit code 0: all done; 1: something failed, the rest was finished; 2: wrong use.
    """
    return _execute(options)


@cli.command()
@_chosen
@_workers
@_layout
@_config
def embed(**options: Any) -> int:
    """Embed tasks with models, and stop there."""
    # Embeddings do not depend on the protocol; this one takes every kind of task.
    return _execute(options | {"protocols": ("linear",), "seeds": 1}, embed_only=True)


@cli.command()
@click.argument("directories", nargs=-1, type=click.Path(path_type=Path))
@_chosen
@_probes
@_workers
@_config
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

    out: Path = options["out"]
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder.")
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
    if summary.failures:
        click.echo(f"{len(summary.failures)} failed:", err=True)
        for name, error in summary.failures:
            click.echo(f"  {name}: {error}", err=True)
    return int(bool(summary.failures))


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
