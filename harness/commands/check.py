"""``hear-byola tasks check``: whether task directories are whole, sound, and what they claim."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.options import Command, FilePath, tasks_dir

if TYPE_CHECKING:
    from harness.core.memory import FileMemory
    from tasks.check import AlikeClips
    from tasks.format.directory import Contents

_SAVE_EVERY = 60.0
"""Seconds between two savings of what was heard: what a kill can cost."""

_LINE_EVERY = 10.0
"""Seconds between two lines that tell how far it is, where no bar can be drawn."""


@click.command("check", cls=Command)
@click.argument("names", nargs=-1, required=True)
@tasks_dir
@click.option(
    "--sample-rate", type=click.IntRange(min=1), help="Also ask for audio at this rate, in Hz."
)
@click.option("--no-audio", is_flag=True, help="Read the tables alone, not the audio.")
@click.option(
    "--pairs",
    type=FilePath(dir_okay=False, path_type=Path),
    help="Write every pair of copies that is found to this CSV file, in place of an earlier such "
    "table.",
)
@click.option("--verify", is_flag=True, help="Hear all audio again, trusting no memory of it.")
def check(
    names: tuple[str, ...],
    tasks_dir: Path,
    sample_rate: int | None,
    no_audio: bool,
    pairs: Path | None,
    verify: bool,
) -> int:
    """Check tasks and list every finding; exit code 1 on an error.

    NAMES are task directories, or tasks as `hear-byola run -t` names them.

    Compares a directory with its card, decodes every clip, and searches for recordings that are in
    two splits. Copies with the same samples are all found. Copies that were made quieter, padded,
    coded again or made noisier are searched for approximately; docs/tasks.md gives the measured
    recall. Results for each file are kept, so a second check is quick.
    """
    from tasks.check import check_task, format_findings

    failed = False
    found: list[tuple[Path, AlikeClips]] = []
    if pairs is not None:
        _refuse_another(pairs)
        _write_pairs(pairs, found)  # a place that cannot be written is named before work starts
    for directory in [_directory(name, tasks_dir) for name in names]:
        comparison = _Comparison(directory)
        with _Hearing(directory, verify) as hearing:
            findings = check_task(
                directory,
                sample_rate,
                audio=not no_audio,
                closely=True,
                group_pattern=comparison.group_pattern,
                memory=hearing.memory,
                compare=comparison,
                progress=hearing.progress,
            )
        failed |= any(finding.severity == "error" for finding in findings)
        found += [(directory, pair) for finding in findings for pair in finding.pairs]
        click.echo(format_findings(directory, findings, comparison.note))
    if pairs is not None:
        _write_pairs(pairs, found)
    return int(failed)


def _directory(name: str, tasks_dir: Path) -> Path:
    from tasks.find import directory_of, find_task

    found = directory_of(name, tasks_dir)
    if found is None and Path(name).exists():
        return Path(name)  # no task: the findings say what it lacks
    return found or find_task(name, tasks_dir)[0]


class _Comparison:
    """Holds a directory against its card, and notes which card that was."""

    def __init__(self, directory: Path) -> None:
        from tasks.find import group_pattern

        self._directory = directory
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wrong card is a finding
            self.group_pattern = group_pattern(directory)
        self.note = ""

    def __call__(
        self, contents: Contents, seconds: Mapping[int, float]
    ) -> Iterator[tuple[str, str, str]]:
        from harness.core.errors import UserError
        from tasks.cards.card import CARD
        from tasks.cards.cardfile import misplaced
        from tasks.check.against_card import card_for, compare
        from tasks.check.groups import count_groups
        from tasks.fetch.installed import unlike_published

        for table in unlike_published(self._directory):
            yield "warning", table, "is not as it was published and fetched."
        try:
            card = card_for(self._directory)
        except UserError as error:
            yield "error", CARD, str(error)
            return
        groups = count_groups(contents)
        named = f"card: {card.name if card else 'none'}"
        self.note = f" ({named}; groups: {groups})" if groups else f" ({named})"
        if card is not None and (fault := misplaced(card, self._directory)):
            yield "warning", CARD, fault
        if card is not None:
            yield from compare(card, self._directory, contents, seconds)


class _Hearing:
    """Remembers what was heard of a directory, and draws on standard error how far it is."""

    def __init__(self, directory: Path, verify: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        from harness.core.files import cache_folder
        from harness.core.hashing import content_sha256
        from harness.core.memory import FileMemory

        place = directory.resolve()
        self._name = place.name
        name = f"{place.name}-{content_sha256(str(place))[:16]}.json"
        self.memory: FileMemory = FileMemory(cache_folder() / "checked" / name, verify)
        console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("", visible=False)
        self._saved = self._told = time.monotonic()

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the bar, or print a line; now and then, save."""
        self._progress.update(
            self._bar, description=what, completed=done, total=total, visible=True
        )
        now = time.monotonic()
        if self._progress.disable and now - self._told > _LINE_EVERY:
            self._told = now
            click.echo(f"{self._name}: {what}, {done:,} of {total:,}", err=True)
        if now - self._saved > _SAVE_EVERY:
            self._save()

    def __enter__(self) -> _Hearing:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._save()

    def _save(self) -> None:
        try:
            self.memory.save()
        except OSError as error:
            click.echo(f"What was heard cannot be remembered: {error}", err=True)
        self._saved = time.monotonic()


def _columns() -> list[str]:
    from tasks.check import AlikeClips

    return ["task", *(field.name for field in dataclasses.fields(AlikeClips))]


def _refuse_another(path: Path) -> None:
    from harness.core.errors import UserError

    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        if file.readline().rstrip("\r\n") not in ("", ",".join(_columns())):
            raise UserError(f"--pairs {path} is there, and no table of pairs: name another file.")


def _write_pairs(path: Path, found: Iterable[tuple[Path, AlikeClips]]) -> None:
    from harness.core.errors import UserError
    from harness.core.files import write_file

    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_columns())
    for directory, pair in found:
        table.writerow((directory.resolve().name, *dataclasses.astuple(pair)))
    try:
        write_file(path, text.getvalue())
    except OSError as error:
        raise UserError(f"--pairs {path} cannot be written ({error.strerror}).") from error
