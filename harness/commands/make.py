"""``hear-byola tasks make``: a table of labels and a folder of recordings to a task directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands import options
from harness.commands.arguments import existing
from harness.commands.synthesize import synthesize
from harness.core.errors import UserError
from harness.core.kinds import PredictionType

if TYPE_CHECKING:
    from tasks.format.newtask import NewTask


@click.command("make", cls=options.Command)
@click.argument("labels", type=options.FilePath(path_type=Path), required=False)
@click.argument("audio_dir", type=options.FilePath(path_type=Path), required=False)
@click.option("--name", help="What the task is called.  [default with --synthetic: its kind]")
@click.option(
    "--synthetic",
    metavar="KIND",
    help="Make up a task whose answers are known, instead: multiclass, multilabel, pitch, kfold, "
    "presplit, events or notes.",
)
@click.option("--clips", type=click.IntRange(min=1), help="Of a synthetic task: in all splits.")
@click.option("--classes", type=click.IntRange(min=1), help="Of a synthetic task.")
@click.option("--version", default="v1", show_default=True, help="The task's version.")
@click.option(
    "--seconds",
    type=float,
    help="Cut or zero-pad every clip at its end to this.  [default: leave lengths alone]",
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
    help="Of the choice of splits.",
)
@click.option(
    "--prediction-type",
    type=click.Choice([each.value for each in PredictionType]),
    callback=lambda _, __, value: value and PredictionType(value),
    help="[default: multilabel where a file has several labels]",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Repeatable; the first is the score.  [default: HEAR's for such tasks]",
)
@options.rates
@click.option("--title", help="The task's name for people, on its card.")
@click.option("--domain", help="On its card: speech, music.  [default: other]")
@click.option("--licence", help="SPDX name of the recordings' licence, on its card.")
@options.tasks_dir
@options.jobs
@click.option(
    "--skip-bad", is_flag=True, help="Leave recordings out that are missing or cannot be read."
)
def make(
    labels: Path | None,
    audio_dir: Path | None,
    synthetic: str | None,
    clips: int | None,
    classes: int | None,
    tasks_dir: Path,
    jobs: int | None,
    **wishes: Any,
) -> None:
    """Make a task of the recordings in AUDIO_DIR that the table LABELS names.

    LABELS is a CSV file with the columns file and label; for events also onset and offset, in
    seconds. Several labels of a file stand on rows of their own, or between semicolons. It may
    give each file's split (train, valid, test) or fold, and its group (a speaker, a recording).
    A group is kept in one split, and confidence intervals are computed over groups. Stopped at any
    moment, the same command goes on.
    """
    from harness.run.engines import cores
    from tasks.make.finish import finish
    from tasks.make.plan import Wishes, plan_task

    jobs = jobs or len(cores())
    if synthetic is not None:
        sizes = {"clips": clips, "classes": classes}
        click.echo(synthesize(synthetic, tasks_dir, jobs, wishes | sizes, _say))
        return
    if clips or classes:
        raise UserError("--clips and --classes are sizes of a task that --synthetic makes up.")
    if not (labels and audio_dir and wishes["name"]):
        raise UserError(
            "Give a table LABELS, a folder AUDIO_DIR and a --name; or --synthetic KIND."
        )
    plan = plan_task(existing(labels), existing(audio_dir), Wishes(**wishes), _say)
    _say(plan.description)
    _check(plan.task, tasks_dir)
    click.echo(finish(plan, tasks_dir, jobs=jobs, say=_say))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _check(task: NewTask, tasks_dir: Path) -> None:
    """Say or raise what `tasks check` would find in the tables, before any audio is written."""
    from tasks.check.groups import check_groups
    from tasks.check.labels import check_labels
    from tasks.check.reachable import check_overlaps, check_reachable
    from tasks.format.directory import Contents
    from tasks.format.tables import Clip

    contents = Contents(
        fields=dict(task),
        labels=task.labels,
        clips={
            split: tuple(
                Clip(clip.name, clip.labels, clip.events, clip.group)
                for clip in task.clips
                if clip.split == split
            )
            for split in task.splits
        },
    )
    findings = [
        *check_labels(tasks_dir / task.name, contents),
        *check_groups(contents),
        *check_overlaps(contents),
        *check_reachable(contents),
    ]
    for finding in findings:
        _say(f"{finding.severity}: {finding.file}: {finding.reason}")
    errors = [finding.reason for finding in findings if finding.severity == "error"]
    if errors:
        raise UserError(f"{task.name} would be no sound task: {errors[0]}")
