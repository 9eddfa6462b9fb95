"""What ``hear-byola tasks make --synthetic KIND`` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.core.errors import UserError

# What else the command takes is of recordings that a user has.
_OPTIONS = {
    "synthetic",
    "name",
    "clips",
    "classes",
    "seconds",
    "folds",
    "seed",
    "rates",
    "tasks_dir",
    "jobs",
}


def synthesize(
    kind: str, tasks_dir: Path, jobs: int, options: dict[str, Any], say: Callable[[str], None]
) -> Path:
    """Write the synthetic task that the command's options ask for, and return its directory.

    Raises:
        UserError: an option of other tasks, or as :func:`tasks.synthetic.make_synthetic`.
    """
    from tasks.synthetic import make_synthetic

    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        if given and parameter.name not in _OPTIONS:
            option = isinstance(parameter, click.Option)
            called = parameter.opts[0] if option else parameter.human_readable_name
            raise UserError(f"{called} has no meaning for a synthetic task: leave it out.")
    sizes = {name: options[name] for name in ("name", "clips", "classes", "seconds", "folds")}
    chosen = {"rates": options["rates"]} if options["rates"] else {}
    return make_synthetic(
        kind,
        tasks_dir,
        **sizes,
        **chosen,
        seed=options["seed"],
        jobs=jobs,
        say=say,
    )
