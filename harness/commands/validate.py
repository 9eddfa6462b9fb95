"""``hear-byola validate``: check a module against the HEAR API."""

from __future__ import annotations

import click

from harness.commands.options import Command
from harness.commands.output import say
from harness.core.errors import UserError


@click.command(cls=Command)
@click.argument("module")
@click.option("-m", "--model", "checkpoint", default="", help="The module's checkpoint.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="As with `hear-byola run -m`. Repeatable.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, mps or cuda:N.")
@click.option("--quick", is_flag=True, help="Leave out the check on long audio.")
@click.option(
    "--long",
    "whole",
    is_flag=True,
    help="Check 20 minutes of audio, HEAR's longest clip, however long it takes.  [default: 100 s "
    "where 20 minutes take more than a minute]",
)
def validate(
    module: str,
    checkpoint: str,
    options: tuple[str, ...],
    device: str,
    quick: bool,
    whole: bool,
) -> int:
    """Check a module against the HEAR API.

    MODULE is as for `hear-byola run -m`. The official validator runs first, then stricter checks.
    Exit code 0: all passed; 1: a check failed; 2: the module or its checkpoint does not exist, and
    nothing was checked; 3: the official validator is not installed and was not run.
    """
    if quick and whole:
        raise UserError("--quick leaves out the check that --long extends: give one of them.")
    from harness.models.conformance.validate import exit_code, format_report
    from harness.models.conformance.validate import validate as validate_module
    from harness.models.spec import parse_model

    head = f"{module}={checkpoint}" if checkpoint else module
    spec = parse_model(",".join([head, *options]))
    report = validate_module(
        spec,
        device,
        quick=quick,
        whole=whole,
        progress=lambda name: say(f"... {name}"),
        say=say,
    )
    click.echo(format_report(report))
    return exit_code(report)
