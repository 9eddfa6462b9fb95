"""``hear-byola results report`` and ``results figures``: results as a page, and for papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.options import Command, FilePath, baseline, tasks_dir, together
from harness.core.counts import plural
from harness.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from harness.report.material import Material

_about = together(
    click.argument("paths", type=FilePath(path_type=Path), nargs=-1),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="MODEL",
        help="A model, as tables name it, that has panels on every task and is compared. "
        "Repeatable: the others are compared with the one that is named first, and those that are "
        "named come first. Without it they are compared with the best. Up to eight models are all "
        "shown; of more, those named, the best and baselines.",
    ),
    click.option(
        "--protocol",
        "protocols",
        multiple=True,
        help="Rows of this protocol alone. Repeatable.",
    ),
    baseline,
    tasks_dir,
)


@click.command("report", cls=Command)
@_about
@click.option(
    "-o",
    "--out",
    type=FilePath(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page.",
)
@click.option("--title", default="Results", show_default=True, help="Its heading.")
@click.option(
    "--audio-mb",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    help="Embed recordings up to this size in all. Others are linked from where the page is, and "
    "play only while it and the tasks stay there.",
)
@click.option(
    "--marks/--no-marks",
    default=True,
    help="Whether the table marks models that are not significantly different from the best of a "
    "task. Needs predictions.",
)
def report(
    paths: tuple[Path, ...],
    out: Path,
    title: str,
    models: tuple[str, ...],
    protocols: tuple[str, ...],
    baselines: tuple[str, ...],
    audio_mb: float,
    marks: bool,
    tasks_dir: Path,
) -> None:
    """Write one HTML page about PATHS: run folders, or results CSVs.

    It is opened from disk, without a network, and holds the table, a figure of all scores, panels
    for each task, the comparison of models, the worst mistakes with players, and the provenance of
    every row.
    """
    from harness.api.reading import write_report

    write_report(
        paths or (Path("runs"),),
        out,
        title=title,
        models=models,
        protocols=protocols,
        baselines=baselines,
        audio_mb=audio_mb,
        marks=marks,
        tasks_dir=tasks_dir,
        say=lambda line: click.echo(line, err=True),
    )


@click.command("figures", cls=Command)
@_about
@click.option(
    "-o",
    "--out",
    type=FilePath(file_okay=False, path_type=Path),
    default=Path("figures"),
    show_default=True,
    help="The folder.",
)
@click.option(
    "--width",
    type=click.Choice(["column", "text"]),
    default="column",
    show_default=True,
    help="One column of a two-column paper (3.5 inches), or both (7.16).",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["pdf", "png", "svg"]),
    multiple=True,
    default=("pdf", "png"),
    show_default=True,
    help="Repeatable.",
)
@click.option("-t", "--task", "tasks", multiple=True, help="Of this task alone. Repeatable.")
def figures(
    paths: tuple[Path, ...],
    out: Path,
    width: str,
    formats: tuple[str, ...],
    tasks: tuple[str, ...],
    models: tuple[str, ...],
    protocols: tuple[str, ...],
    baselines: tuple[str, ...],
    tasks_dir: Path,
) -> None:
    """Write the figures of the report about PATHS for a paper, and captions.md beside them."""
    from harness.api.reading import need_report_packages

    need_report_packages()
    from harness.report.figures.style import COLUMN_INCHES, TEXT_INCHES
    from harness.report.material import gather, with_cards
    from harness.report.papers import write_figures

    material = gather(paths or (Path("runs"),), protocols, models, baselines)
    material = with_cards(material, tasks_dir)
    written = write_figures(
        material,
        out,
        width=COLUMN_INCHES if width == "column" else TEXT_INCHES,
        formats=formats,
        tasks=_whole_names(material, tasks),
        say=lambda line: click.echo(line, err=True),
    )
    click.echo(f"{plural(len(written), 'file')} in {out}; captions.md says what the figures show")


def _whole_names(material: Material, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """Task directories for names of tasks."""
    known = sorted(set(material.rows.task))
    found = []
    for name in tasks:
        matches = [task for task in known if task == name or task.startswith(f"{name}-")]
        if not matches:
            raise UserError(
                f"No row is of a task '{name}'.{did_you_mean(name, known)} "
                f"There are {', '.join(known)}."
            )
        found += matches
    return tuple(found)
