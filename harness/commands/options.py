"""What the commands of ``hear-byola`` share: options, their YAML file, examples in the help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.core import yamltext
from harness.core.errors import UserError, did_you_mean, did_you_mean_path
from harness.core.files import expand_home

EXAMPLES = {
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
        "hear-byola embed -m hear_byola -t demo_pipe_pitch && \\\n"
        "      hear-byola probe -m hear_byola -t demo_pipe_pitch --protocol knn",
        "hear-byola probe embeddings/my_module/esc50-v2.0.0-full --protocol hear2021",
    ),
    "pretrain": (
        "hear-byola pretrain my_recordings --config byola-512-small",
        "hear-byola pretrain corpus.csv --config byola-512 --set batch_size=512 --devices 4 \\\n"
        "      --probe-task demo_sample_mix --out runs/pretrain/large",
    ),
    "ablate": (
        "hear-byola ablate results/studies/table2.yaml --out runs/table2",
        "hear-byola ablate my_study.yaml --audio my_recordings --device cuda",
    ),
    "validate": (
        "hear-byola validate hear_byola",
        "hear-byola validate ./my_module.py -m weights.pt -o layer=6",
    ),
    "checkpoint show": (
        "hear-byola checkpoint show my.safetensors",
        "hear-byola checkpoint show AudioNTT2020-BYOLA-64x96d512.pth --json",
    ),
    "checkpoint convert": (
        "hear-byola checkpoint convert AudioNTT2020-BYOLA-64x96d512.pth my.safetensors",
        "hear-byola checkpoint convert weights.pth my.safetensors --convention htk \\\n"
        "      --mean -5.4919195 --std 5.0389895 --licence Apache-2.0 --data FSD50K",
    ),
    "tasks list": (
        "hear-byola tasks list",
        "hear-byola tasks list --suite hear2021 --tasks-dir tasks",
    ),
    "tasks show": (
        "hear-byola tasks show demo_guitar_chord",
        "hear-byola tasks show fsd50k",
    ),
    "tasks fetch": (
        "hear-byola tasks fetch esc50 dcase2016_task2 --tasks-dir tasks",
        "hear-byola tasks fetch --suite hear2021 --mirror /data/hear-archives --jobs 4",
    ),
    "tasks prepare": (
        "hear-byola tasks prepare esc50 --source path/to/ESC-50-master",
        "hear-byola tasks prepare speech_commands_5h --source downloads --sample-rate 16000 \\\n"
        "      --sample-rate 48000 --jobs 8",
    ),
    "tasks make": (
        "hear-byola tasks make labels.csv my_recordings --name mine --seconds 2",
        "hear-byola tasks make --synthetic notes --clips 60 --classes 12",
    ),
    "tasks check": (
        "hear-byola tasks check path/to/task-v1-full",
        "hear-byola tasks check tasks/*-v1-full --sample-rate 16000 --pairs copies.csv",
    ),
    "results table": (
        "hear-byola results table runs",
        "hear-byola results table runs/results.csv --format latex --baseline my_first_model",
    ),
    "results board": (
        "hear-byola results board runs",
        "hear-byola results board runs/results.csv --show pairs --format csv",
    ),
    "results compare": (
        "hear-byola results compare hear_byola logmel",
        "hear-byola results compare mine theirs logmel runs/a runs/b --protocol linear \\\n"
        "      --all-pairs --format latex",
    ),
    "results power": (
        "hear-byola results power runs",
        "hear-byola results power runs -m hear_byola -m logmel --protocol linear --difference 0.02",
    ),
    "results merge": (
        "hear-byola results merge runs/node1 runs/node2 -o runs/all.csv",
        "hear-byola results merge results/demo.csv runs/demo -o runs/all.csv",
    ),
    "results report": (
        "hear-byola results report runs -o report.html",
        "hear-byola results report runs/a runs/b --model mine --title 'Mine on HEAR' --audio-mb 20",
    ),
    "results figures": (
        "hear-byola results figures runs -o figures",
        "hear-byola results figures runs --task esc50 --protocol linear --width text --format pdf",
    ),
}


class FilePath(click.Path):
    """A path of ours on a command line or in a config; ``~`` is the home folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, with its home folder."""
        return super().convert(expand_home(value), param, ctx)


class Command(click.Command):
    """A command whose help ends with examples that work."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        name = " ".join(ctx.command_path.split()[1:])
        formatter.write_paragraph()
        formatter.write("Examples:\n")
        for example in EXAMPLES[name]:
            formatter.write(f"\n  {example}\n")


class Group(click.Group):
    """A group that suggests the nearest command for an unknown one."""

    command_class = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command, or raise a UserError."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            known = ", ".join(self.commands)
            raise UserError(
                f"No command '{args[0]}'.{did_you_mean(args[0], self.commands)} There are {known}."
            )
        return super().resolve_command(ctx, args)


Group.group_class = Group


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take a YAML file's values as the options' defaults."""
    if path is None:
        return None
    if not path.is_file():
        raise UserError(f"--config {path}: there is no such file.{did_you_mean_path(path)}")
    try:
        content = yamltext.load(path.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {error}.") from error
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
    if not all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in values):
        raise UserError(f"{path}: {option.name} must hold words or numbers, not {value!r}.")
    if option.multiple if isinstance(option, click.Option) else False:
        return [str(v) for v in values]
    if isinstance(value, list):
        raise UserError(f"{path}: {option.name} takes one value, not {value!r}.")
    return str(value)


def together(*options: Callable) -> Callable:
    """Make one decorator of several options, in the order in which the help shows them."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


tasks_dir = click.option(
    "--tasks-dir",
    type=FilePath(file_okay=False, path_type=Path),
    default=Path("tasks"),
    show_default=True,
    help="The folder that holds task directories.",
)

table_format = click.option(
    "--format",
    "style",
    type=click.Choice(["markdown", "csv", "latex", "html"]),
    default="markdown",
    show_default=True,
)

some_tasks = together(
    click.option(
        "-t", "--task", "tasks", multiple=True, metavar="TASK", help="This task alone. Repeatable."
    ),
    click.option(
        "--exclude", multiple=True, metavar="TASK", help="Leave this task out. Repeatable."
    ),
)

ungrouped = click.option(
    "--ungrouped",
    is_flag=True,
    help="Take clips as independent, also on tasks with groups. Intervals are then too narrow.",
)

compared = together(
    click.option("--protocol", help="By which results.  [default: all that the models share]"),
    some_tasks,
    ungrouped,
)

baseline = click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="MODEL",
    help="A model, as tables name it, that is a baseline and comes first, like the modules of "
    "harness.baselines and untrained hear_byola. Repeatable.",
)

run_option = click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="RUN",
    type=FilePath(path_type=Path),
    help="Another way to give a RUN. Repeatable.",
)

rates = click.option(
    "--sample-rate",
    "rates",
    type=click.IntRange(min=1),
    multiple=True,
    help="Rate of the task's audio in Hz. Repeatable.  [default: the lowest of HEAR's, from 16000 "
    "to 48000, that loses nothing]",
)

jobs = click.option(
    "--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: one a core]"
)

chosen = together(
    click.option(
        "-m",
        "--model",
        "models",
        multiple=True,
        metavar="MODULE[=CHECKPOINT][,KEY=VALUE]...",
        help="A HEAR-API module: an import name, a .py file or a package's folder, its checkpoint, "
        "and options for its load_model. The option `name` is what tables call it. Of a VALUE, "
        f"{yamltext.RULE}. Repeatable.",
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
    tasks_dir,
)

workers = together(
    click.option(
        "-o",
        "--out",
        type=FilePath(path_type=Path),
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

probes = together(
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

layout = click.option(
    "--layout",
    type=click.Choice(["native", "heareval"]),
    default="native",
    show_default=True,
    help="`heareval` also writes the original kit's embedding folders, to OUT/heareval.",
)

config = click.option(
    "--config",
    type=FilePath(path_type=Path),
    callback=_read_config,
    is_eager=True,
    expose_value=False,
    help="YAML with any of these options, e.g. `models: [hear_byola]`, `seeds: 3`.",
)
