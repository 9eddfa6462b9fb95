"""Options and groups of options that commands share, and the classes of commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.commands.examples import EXAMPLES
from harness.core import yamltext
from harness.core.errors import UserError, did_you_mean
from harness.core.files import expand_home

Options = TypeVar("Options")


class FilePath(click.Path):
    """A path of ours on a command line or in a config; ``~`` is the home folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, with its home folder."""
        return super().convert(expand_home(value), param, ctx)


class CommaList(click.ParamType):
    """A list of words, separated by commas on a command line; in a config also a list of YAML.

    Args:
        read: returns the option's value of the text; raises UserError.
    """

    name = "list"

    def __init__(self, read: Callable[[str], object]) -> None:
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the option's value; click also converts what is converted already."""
        return self._read(value) if isinstance(value, str) else value


class Command(click.Command):
    """A command whose help ends with examples that work, below the protocols that it takes."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options and the protocols."""
        super().format_options(ctx, formatter)
        if any(option.name == "protocols" for option in self.params):
            from harness.probe import PROTOCOLS

            with formatter.section("Protocols"):
                formatter.write_dl(
                    [
                        (each.name, f"{each.description} ({', '.join(each.kinds)})")
                        for each in PROTOCOLS.values()
                    ]
                )

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


def together(*options: Callable) -> Callable:
    """Make one decorator of several options, in the order in which the help shows them."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def settings(kind: Callable[..., Options]) -> Callable[[Callable[[Options], int | None]], Any]:
    """Make a command of a function that takes all options as one object.

    Args:
        kind: a dataclass with a field for each option of the command, by its name.
    """

    def decorate(function: Callable[[Options], int | None]) -> Callable[..., int | None]:
        @wraps(function)
        def command(**options: Any) -> int | None:
            return function(kind(**options))

        return command

    return decorate


def out_option(*, help: str, **attributes: Any) -> Callable:
    """Make the option ``-o``, ``--out``; attributes are those of :func:`click.option`."""
    return click.option("-o", "--out", help=help, **{"type": FilePath(path_type=Path)} | attributes)


tasks_dir = click.option(
    "--tasks-dir",
    type=FilePath(file_okay=False, path_type=Path),
    default=Path("tasks"),
    show_default=True,
    help="Folder that contains task directories.",
)

table_format = click.option(
    "--format",
    "style",
    type=click.Choice(["markdown", "csv", "latex", "html"]),
    default="markdown",
    show_default=True,
    help="Format of the tables.",
)

some_tasks = together(
    click.option(
        "-t", "--task", "tasks", multiple=True, metavar="TASK", help="Only this task. Repeatable."
    ),
    click.option(
        "--exclude", multiple=True, metavar="TASK", help="Leave out this task. Repeatable."
    ),
)

ungrouped = click.option(
    "--ungrouped",
    is_flag=True,
    help="Treat clips as independent, also on tasks with groups. Intervals are then too narrow.",
)

compared = together(
    click.option(
        "--protocol", help="Protocol of the results.  [default: all that the models share]"
    ),
    some_tasks,
    ungrouped,
)

baseline = click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="MODEL",
    help="Name of a model that is a baseline, which tables list first. Repeatable. Modules of "
    "harness.baselines and untrained hear_byola are baselines without this option.",
)

runs_argument = click.argument("paths", nargs=-1, metavar="[RUN]...", type=FilePath(path_type=Path))

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


def _or_all_cores(_: click.Context, __: click.Parameter, value: int | None) -> int:
    from harness.run.engines import cores

    return value or len(cores())


jobs = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    callback=_or_all_cores,
    help="Worker processes.  [default: one per core]",
)

chosen = together(
    click.option(
        "-m",
        "--model",
        "models",
        multiple=True,
        metavar="MODULE[=CHECKPOINT][,KEY=VALUE]...",
        help="A HEAR-API module: an import name, a .py file or a package's folder, its checkpoint, "
        "and options for its load_model. Built in: hear_byola, logmel, random, "
        "transformers=NAME_OR_FOLDER, torchaudio=PIPELINE (docs/models.md). The option `name` is "
        "its name in tables; `layer=all` evaluates all layers. In a VALUE, "
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
    click.option("--suite", help="All tasks of a suite, for example `demo`."),
    tasks_dir,
)
