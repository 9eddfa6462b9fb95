"""``hear-byola tasks``: what tasks there are, and whether they are whole."""

from __future__ import annotations

from pathlib import Path

import click

from harness.options import Group


@click.group(cls=Group)
def tasks() -> None:
    """List, show and check tasks."""


@tasks.command("list")
@click.option(
    "--tasks-dir",
    type=click.Path(path_type=Path),
    default=Path("tasks"),
    show_default=True,
    help="Where task directories are looked for.",
)
def tasks_list(tasks_dir: Path) -> None:
    """List the tasks with a card, and the task directories that are here."""
    from tasks.find import describe_all

    click.echo(describe_all(tasks_dir))


@tasks.command("show")
@click.argument("name")
def tasks_show(name: str) -> None:
    """Show a task's card."""
    from tasks.find import describe

    click.echo(describe(name))


@tasks.command("check")
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--sample-rate", type=int, help="Also ask for audio at this rate, in Hz.")
@click.option("--no-audio", is_flag=True, help="Read the tables alone, not the audio.")
def tasks_check(directories: tuple[Path, ...], sample_rate: int | None, no_audio: bool) -> int:
    """Check task directories and list every finding; exit code 1 on an error."""
    from harness.check import check_task, format_findings

    failed = False
    for directory in directories:
        findings = check_task(directory, sample_rate, audio=not no_audio)
        failed |= any(finding.severity == "error" for finding in findings)
        click.echo(format_findings(directory, findings))
    return int(failed)
