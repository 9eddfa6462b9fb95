"""``hear-byola tasks make``: make a task from a table of labels and a folder of recordings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from harness.commands import options
from harness.commands.arguments import existing
from harness.commands.output import say
from harness.core.errors import UserError
from harness.core.kinds import PredictionType

if TYPE_CHECKING:
    from tasks.make.wishes import Wishes

_OF_SYNTHETIC = (
    "synthetic", "name", "clips", "classes", "seconds", "folds", "seed", "rates", "tasks_dir",
    "jobs",
)  # fmt: skip
"""Options of synthetic tasks; the others apply to a user's recordings."""


@dataclass(frozen=True)
class MakeOptions:
    """The command's arguments and options."""

    labels: Path | None
    audio_dir: Path | None
    synthetic: str | None
    name: str | None
    version: str
    clips: int | None
    classes: int | None
    seconds: float | None
    folds: int | None
    seed: int
    prediction_type: PredictionType | None
    metrics: tuple[str, ...]
    rates: tuple[int, ...]
    title: str | None
    domain: str | None
    licence: str | None
    skip_bad: bool
    tasks_dir: Path
    jobs: int

    def wishes(self, name: str) -> Wishes:
        """Return what is asked of a task of recordings."""
        from tasks.make.wishes import Wishes

        given = {option.name: getattr(self, option.name) for option in fields(Wishes)}
        return Wishes(**given | {"name": name})


@click.command("make", cls=options.Command)
@click.argument("labels", type=options.FilePath(path_type=Path), required=False)
@click.argument("audio_dir", type=options.FilePath(path_type=Path), required=False)
@click.option("--name", help="Name of the task.  [default with --synthetic: its kind]")
@click.option(
    "--synthetic",
    metavar="KIND",
    help="Make a task of generated sounds with known answers instead: multiclass, multilabel, "
    "pitch, kfold, presplit, events or notes.",
)
@click.option("--clips", type=click.IntRange(min=1), help="Clips of a synthetic task in all.")
@click.option("--classes", type=click.IntRange(min=1), help="Classes of a synthetic task.")
@click.option("--version", default="v1", show_default=True, help="Version of the task.")
@click.option(
    "--seconds",
    type=float,
    help="Cut or zero-pad every clip at its end to this length.  [default: keep each length]",
)
@click.option(
    "--folds",
    type=click.IntRange(min=3),
    help="Make this many folds.  [default: train, valid and test, 60, 20 and 20 %]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Random seed of the splits.",
)
@click.option(
    "--prediction-type",
    type=click.Choice([each.value for each in PredictionType]),
    callback=lambda _, __, value: value and PredictionType(value),
    help="Whether a clip has one label or several.  [default: multilabel if a file has several "
    "labels]",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Metric; the first is the task's score. Repeatable.  [default: HEAR's for such tasks]",
)
@options.rates
@click.option("--title", help="Title of the task, on its card.")
@click.option("--domain", help="Domain on its card, for example speech.  [default: other]")
@click.option("--licence", help="SPDX name of the recordings' licence, on its card.")
@options.tasks_dir
@options.jobs
@click.option(
    "--skip-bad", is_flag=True, help="Leave out recordings that are missing or cannot be read."
)
@options.settings(MakeOptions)
def make(chosen: MakeOptions) -> None:
    """Make a task of your own recordings.

    LABELS is a CSV file that names recordings in AUDIO_DIR. It has the columns file and label; for
    events also onset and offset, in seconds. Several labels of a file are on separate rows, or in
    one cell with semicolons between. The table may give each file's split (train, valid, test) or
    fold, and its group (a speaker, a recording). A group is kept in one split, and confidence
    intervals are computed over groups. After a stop, the same command resumes.
    """
    if chosen.synthetic is not None:
        click.echo(_make_synthetic(chosen, chosen.synthetic))
        return
    from tasks.make.findings import check_planned
    from tasks.make.finish import finish
    from tasks.make.plan import plan_task

    if chosen.clips or chosen.classes:
        raise UserError("--clips and --classes need --synthetic.")
    if not (chosen.labels and chosen.audio_dir and chosen.name):
        raise UserError(
            "Give a table LABELS, a folder AUDIO_DIR and a --name; or --synthetic KIND."
        )
    wishes = chosen.wishes(chosen.name)
    plan = plan_task(existing(chosen.labels), existing(chosen.audio_dir), wishes, say)
    say(plan.description)
    check_planned(plan.task, chosen.tasks_dir, say)
    click.echo(finish(plan, chosen.tasks_dir, jobs=chosen.jobs, say=say))


def _make_synthetic(chosen: MakeOptions, kind: str) -> Path:
    from tasks.synthetic import make_synthetic

    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        if given and parameter.name not in _OF_SYNTHETIC:
            option = isinstance(parameter, click.Option)
            called = parameter.opts[0] if option else parameter.human_readable_name
            raise UserError(f"{called} does not apply to synthetic tasks: leave it out.")
    return make_synthetic(
        kind,
        chosen.tasks_dir,
        rates=chosen.rates,
        jobs=chosen.jobs,
        say=say,
        name=chosen.name,
        clips=chosen.clips,
        classes=chosen.classes,
        seconds=chosen.seconds,
        folds=chosen.folds,
        seed=chosen.seed,
    )
