"""Check a task as ``hear-byola tasks check`` does: with its card and stored results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UserError
from harness.core.files import cache_folder
from harness.core.hashing import content_sha256
from harness.core.memory import FileMemory
from harness.core.progress import Pace
from tasks.cards.card import CARD
from tasks.cards.cardfile import misplaced
from tasks.check import check_task
from tasks.check.against_card import card_for, compare
from tasks.check.finding import Finding, error, warning
from tasks.check.groups import count_groups
from tasks.check.sound import Progress
from tasks.fetch.installed import unlike_published
from tasks.find import group_pattern
from tasks.format.directory import Contents

_SAVE_EVERY = 60.0
"""Seconds between two saves of results; a killed process loses the results since the last."""


@dataclass(frozen=True)
class Checked:
    """The findings in a task directory, and a note on its card and groups."""

    findings: Sequence[Finding]
    note: str

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return any(finding.severity == "error" for finding in self.findings)


def check_thoroughly(
    directory: Path,
    sample_rate: int | None = None,
    *,
    audio: bool = True,
    verify: bool = False,
    progress: Progress = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> Checked:
    """Check a task directory, its card, its groups and copies among its clips.

    Args:
        directory: the task directory.
        sample_rate: check only the audio for a model of this rate; otherwise all audio.
        audio: decode every clip; otherwise only the tables are checked.
        verify: decode all audio again, instead of using the results of earlier checks.
        progress: receives the numbers of clips decoded and compared.
        say: receives a sentence if results cannot be stored.
    """
    place = directory.resolve()
    name = f"{place.name}-{content_sha256(str(place))[:16]}.json"
    memory = FileMemory(cache_folder() / "checked" / name, verify)
    pace = Pace(_SAVE_EVERY)

    def save() -> None:
        try:
            memory.save()
        except OSError as error:
            say(f"The results cannot be stored: {error}")

    def heard(what: str, done: int, total: int) -> None:
        progress(what, done, total)
        if pace.due():
            save()

    comparison = _CardComparison(directory)
    try:
        findings = check_task(
            directory,
            sample_rate,
            audio=audio,
            closely=True,
            group_pattern=comparison.group_pattern,
            memory=memory,
            compare=comparison,
            progress=heard,
        )
    finally:
        save()
    return Checked(findings, comparison.note)


class _CardComparison:
    """Compares a directory with its card, and keeps the name of the card."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid card is a finding
            self.group_pattern = group_pattern(directory)
        self.note = ""

    def __call__(self, contents: Contents, seconds: Mapping[int, float]) -> Iterator[Finding]:
        for table in unlike_published(self._directory):
            yield warning(table, "differs from the published and fetched one.")
        try:
            card = card_for(self._directory)
        except UserError as fault:
            yield error(CARD, str(fault))
            return
        groups = count_groups(contents)
        named = f"card: {card.name if card else 'none'}"
        self.note = f" ({named}; groups: {groups})" if groups else f" ({named})"
        if card is not None and (sentence := misplaced(card, self._directory)):
            yield warning(CARD, sentence)
        if card is not None:
            yield from compare(card, self._directory, contents, seconds)
