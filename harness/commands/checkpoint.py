"""``hear-byola checkpoint``: show checkpoints, and convert other files to our format."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.commands.arguments import as_user_errors, existing
from harness.commands.options import FilePath, Group
from harness.commands.output import say


@click.group(cls=Group)
def checkpoint() -> None:
    """Show and convert checkpoints of BYOL-A."""


@checkpoint.command("show")
@click.argument("path", type=FilePath(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(path: Path, as_json: bool) -> None:
    """Print what a checkpoint contains, with its recorded origin.

    PATH is a file in our format, or any other file with the weights of a BYOL-A encoder. In JSON,
    null is a value that the file does not record.
    """
    path = existing(path)
    from hear_byola.checkpoint_report import describe, format_description

    with as_user_errors():
        description = describe(path)
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
    help="Mean of the log-mel; needs --std.  [default: -9.660292 for slaney, -5.4919195 for htk]",
)
@click.option(
    "--std",
    type=float,
    help="Standard deviation of the log-mel; needs --mean.  [default: 4.7219563 for slaney, "
    "5.0389895 for htk]",
)
@click.option("--licence", default="", help="Licence of the weights, for the new file.")
@click.option("--data", default="", help="Training data, for the new file.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
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
    """Convert a checkpoint to our format.

    The weights of IN, for example a published .pth file, are written to OUT, a .safetensors file. A
    file in our format records the mel filterbank and the statistics of its weights. IN does not,
    so the options give them. Values that are assumed without an option are printed.
    """
    source = existing(source)
    from hear_byola.conversion import convert as convert_file

    with as_user_errors():
        notes = convert_file(
            source,
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
