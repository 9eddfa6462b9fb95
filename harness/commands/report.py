"""``hear-byola results report`` and ``results figures``: write a page, and figures for papers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from harness.commands import options
from harness.commands.arguments import chosen_runs
from harness.commands.options import Command, FilePath, baseline, settings, tasks_dir, together
from harness.commands.output import say
from harness.core.counts import plural

_about = together(
    options.runs_argument,
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="MODEL",
        help="Name of a model that has panels on every task. Repeatable. The others are compared "
        "with the first of them, by default with the best model. Up to eight models are all shown; "
        "of more, those named, the best model of a task and the baselines.",
    ),
    click.option(
        "--protocol",
        "protocols",
        multiple=True,
        help="Only results of this protocol. Repeatable.",
    ),
    baseline,
    tasks_dir,
)


@dataclass(frozen=True)
class _About:
    """The options of both commands."""

    paths: tuple[Path, ...]
    models: tuple[str, ...]
    protocols: tuple[str, ...]
    baselines: tuple[str, ...]
    tasks_dir: Path
    out: Path


@dataclass(frozen=True)
class ReportOptions(_About):
    """The options of ``results report``."""

    title: str
    audio_mb: float
    marks: bool


@dataclass(frozen=True)
class FigureOptions(_About):
    """The options of ``results figures``."""

    width: str
    formats: tuple[str, ...]
    tasks: tuple[str, ...]


@click.command("report", cls=Command)
@_about
@options.out_option(
    type=FilePath(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="File of the page.",
)
@click.option("--title", default="Results", show_default=True, help="Heading of the page.")
@click.option(
    "--audio-mb",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    help="Embed recordings up to this total size in MB. Others are linked, and play only while the "
    "page and the tasks stay in their folders.",
)
@click.option(
    "--marks/--no-marks",
    default=True,
    help="Mark models that are not significantly different from the best of a task. Needs "
    "predictions.",
)
@settings(ReportOptions)
def report(chosen: ReportOptions) -> None:
    """Write one HTML page about the results of runs.

    RUN is a run's folder or a results.csv. Without RUN: the folder runs. The page opens from disk,
    without a network. It contains the table, a figure of all scores, panels for each task, the
    comparison of models, the worst mistakes with players, and the provenance of every row.
    """
    from harness.api.reading import write_report

    write_report(
        chosen_runs(*chosen.paths),
        chosen.out,
        title=chosen.title,
        models=chosen.models,
        protocols=chosen.protocols,
        baselines=chosen.baselines,
        audio_mb=chosen.audio_mb,
        marks=chosen.marks,
        tasks_dir=chosen.tasks_dir,
        say=say,
    )


@click.command("figures", cls=Command)
@_about
@options.out_option(
    type=FilePath(file_okay=False, path_type=Path),
    default=Path("figures"),
    show_default=True,
    help="Folder of the figures.",
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
    help="Format of the files. Repeatable.",
)
@click.option("-t", "--task", "tasks", multiple=True, help="Only figures of this task. Repeatable.")
@settings(FigureOptions)
def figures(chosen: FigureOptions) -> None:
    """Write the figures of the report as files for a paper.

    RUN is a run's folder or a results.csv. Without RUN: the folder runs. The file captions.md has a
    caption for each figure.
    """
    from harness.api.reading import need_report_packages

    need_report_packages()
    from harness.report.figures.style import COLUMN_INCHES, TEXT_INCHES
    from harness.report.material import gather, with_cards
    from harness.report.papers import write_figures

    material = gather(chosen_runs(*chosen.paths), chosen.protocols, chosen.models, chosen.baselines)
    written = write_figures(
        with_cards(material, chosen.tasks_dir),
        chosen.out,
        width=COLUMN_INCHES if chosen.width == "column" else TEXT_INCHES,
        formats=chosen.formats,
        tasks=chosen.tasks,
        say=say,
    )
    files = plural(len(written), "file")
    click.echo(f"{files} in {chosen.out}; captions.md describes the figures")
