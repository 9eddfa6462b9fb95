"""``hear-byola checkpoint``: what checkpoint files hold, and foreign ones in our format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from harness.commands.arguments import existing
from harness.commands.options import FilePath, Group
from harness.commands.output import say
from harness.core.errors import UserError


@click.group(cls=Group)
def checkpoint() -> None:
    """Show and convert checkpoints of BYOL-A."""


@checkpoint.command("show")
@click.argument("path", type=FilePath(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(path: Path, as_json: bool) -> None:
    """Print what a checkpoint holds, and what it says of its origin.

    PATH is a file in our format, or any other with the weights of a BYOL-A encoder: what such a
    file does not say is null in JSON.
    """
    from hear_byola.checkpoint_report import describe, format_description

    with _told():
        description = describe(existing(path))
    click.echo(json.dumps(description, indent=2) if as_json else format_description(description))


@checkpoint.command("convert")
@click.argument("source", metavar="IN", type=FilePath(path_type=Path))
@click.argument("target", metavar="OUT", type=FilePath(path_type=Path))
@click.option(
    "--convention",
    type=click.Choice(["slaney", "htk"]),
    help="Mel filterbank that the weights were trained with.  [default: slaney]",
)
@click.option(
    "--mean",
    type=float,
    help="Of the log-mel; with --std.  [default: -9.660292 for slaney, -5.4919195 for htk]",
)
@click.option(
    "--std",
    type=float,
    help="Of the log-mel; with --mean.  [default: 4.7219563 for slaney, 5.0389895 for htk]",
)
@click.option("--licence", default="", help="Of the weights, to be written into the file.")
@click.option("--data", default="", help="What they were trained on, to be written into the file.")
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
def convert(
    source: Path,
    target: Path,
    convention: str | None,
    mean: float | None,
    std: float | None,
    licence: str,
    data: str,
    force: bool,
) -> None:
    """Write the weights of IN, a published .pth file for instance, as OUT, a .safetensors file.

    A file in our format says which mel filterbank and statistics its weights need; IN does not,
    so the options do. What is assumed for want of one is printed.
    """
    from hear_byola.conversion import convert as convert_file

    with _told():
        notes = convert_file(
            existing(source),
            target,
            convention=convention,
            mean=mean,
            std=std,
            licence=licence,
            data=data,
            force=force,
        )
    for note in notes:
        say(f"Note: {note}")
    click.echo(f"wrote {target}")


@contextmanager
def _told() -> Iterator[None]:
    """Tell what hear_byola raises for a user's mistake as one."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
