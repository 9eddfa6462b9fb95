"""``hear-byola tasks check``: the findings of a check of task directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.options import Command, FilePath, tasks_dir
from harness.commands.output import say

if TYPE_CHECKING:
    from tasks.check import Finding


@click.command("check", cls=Command)
@click.argument("names", nargs=-1, required=True)
@tasks_dir
@click.option(
    "--sample-rate", type=click.IntRange(min=1), help="Also require audio at this rate, in Hz."
)
@click.option("--no-audio", is_flag=True, help="Check only the tables, not the audio.")
@click.option(
    "--pairs",
    type=FilePath(dir_okay=False, path_type=Path),
    help="CSV file for every pair of copies that is found; replaces an earlier such file.",
)
@click.option(
    "--against",
    type=FilePath(path_type=Path),
    metavar="CORPUS",
    help="Also search this audio for test clips: the corpus.json of a pretraining, a folder, a "
    "list or a tar file.",
)
@click.option(
    "--strict", is_flag=True, help="Exit code 1 on a warning too, for example with --against."
)
@click.option("--verify", is_flag=True, help="Check all audio again, and ignore stored results.")
def check(
    names: tuple[str, ...],
    tasks_dir: Path,
    sample_rate: int | None,
    no_audio: bool,
    pairs: Path | None,
    against: Path | None,
    strict: bool,
    verify: bool,
) -> int:
    """Check tasks and list every finding; exit code 1 on an error.

    NAMES are task directories, or tasks as `hear-byola run -t` names them. With --strict a warning
    is an error.

    Compares a directory with its card, decodes every clip, and searches for recordings that are in
    two splits. All copies with the same samples are found. The search for copies that were made
    quieter, padded, coded again or made noisier is approximate; docs/tasks.md gives the measured
    recall. Results for each file are kept, so a second check is quick.
    """
    from harness.commands.arguments import existing
    from harness.commands.display import CountDisplay
    from tasks.check import format_findings
    from tasks.check.pairs import begin_pairs, write_pairs
    from tasks.check.thorough import check_thoroughly
    from tasks.find import directory_to_check

    failed = False
    found = []
    if pairs is not None:
        begin_pairs(pairs)  # a file that cannot be written is reported before work starts
    directories = [directory_to_check(name, tasks_dir) for name in names]
    contained: Mapping[Path, Sequence[Finding]] = {}
    if against is not None:
        from harness.commands.contamination import findings_against

        with CountDisplay(str(against)) as display:
            contained = findings_against(directories, existing(against), display.count, say)
    for directory in directories:
        with CountDisplay(directory.resolve().name) as display:
            checked = check_thoroughly(
                directory,
                sample_rate,
                audio=not no_audio,
                verify=verify,
                progress=display.count,
                say=say,
            )
        findings = [*checked.findings, *contained.get(directory, ())]
        failed |= checked.failed or (strict and bool(findings))
        found += [(directory, pair) for finding in findings for pair in finding.pairs]
        click.echo(format_findings(directory, findings, checked.note))
    if pairs is not None:
        write_pairs(pairs, found)
    return int(failed)
