"""Check a task directory before work starts: all findings at once, none raised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.core.memory import FileMemory
from tasks.check.audio import check_audio, check_names, rates_to_hear
from tasks.check.duplicates import check_copies, check_copies_within, check_near_copies
from tasks.check.finding import AlikeClips, Finding
from tasks.check.groups import check_groups
from tasks.check.labels import check_labels, check_spellings, check_unit
from tasks.check.reachable import check_overlaps, check_reachable
from tasks.check.sound import Ear, Progress, Sounds, hear
from tasks.format.directory import Contents, read_contents

__all__ = ["AlikeClips", "Finding", "check_task", "format_findings"]

Compare = Callable[[Contents, Mapping[int, float]], Iterable[tuple[str, str, str]]]
"""Holds a task against what is known of it: told what was read, and the seconds of good sound at
each rate that was heard, it gives severity, file and reason of each difference."""


def check_task(
    directory: Path,
    sample_rate: int | None = None,
    *,
    audio: bool = True,
    closely: bool = False,
    group_pattern: str = "",
    memory: FileMemory | None = None,
    compare: Compare = lambda *_: (),
    progress: Progress = lambda *_: None,
) -> list[Finding]:
    """Everything wrong with a task directory, errors first.

    Args:
        directory: the task directory.
        sample_rate: judge only the audio that serves a model of this rate; every rate's without.
        audio: decode every clip, in threads; else judge the tables alone.
        closely: look also for what hampers no run: few groups and groups in several splits, the
            best reachable score of an event task, copies within a split, and copies across splits
            that are not the same to the sample, which takes each sound's fingerprint.
        group_pattern: of the task's card, derives groups where there is no ``groups.csv``.
        memory: where clips found good are remembered, so that they are decoded once; the caller
            saves it.
        compare: holds the task against its card, say.
        progress: told of every clip heard and compared.
    """
    findings: list[Finding] = []

    def report(file: str, reason: str) -> None:
        findings.append(Finding("error", file, reason))

    try:
        contents = read_contents(directory, report, group_pattern)
        if contents.metadata:
            findings.extend(check_labels(directory, contents))
            findings.extend(check_spellings(contents))
            findings.extend(check_overlaps(contents))
            if closely:
                findings.extend(check_reachable(contents))
            findings.extend(check_names(directory, contents))
            if closely:
                findings.extend(check_groups(contents))
            heard = {}
            if audio:
                rates = rates_to_hear(directory, sample_rate)
                heard = hear(directory, contents.clips, rates, Ear(memory, closely, progress))
                findings.extend(check_audio(directory, contents, sample_rate, heard))
                # What holds at every rate is said once.
                findings.extend(
                    dict.fromkeys(_copies(directory, contents, heard, closely, progress))
                )
            findings.extend(check_unit(contents, _lengths(heard)))
            seconds = {rate: _seconds(rate, sounds) for rate, sounds in heard.items()}
            findings.extend(Finding(*found) for found in compare(contents, seconds))
    except OSError as fault:  # a folder that may not be listed
        report(str(fault.filename or ""), f"cannot be read ({fault.strerror}).")
    return sorted(findings, key=lambda finding: finding.severity)  # stable: "error" < "warning"


def _copies(
    directory: Path,
    contents: Contents,
    heard: Mapping[int, Sounds],
    closely: bool,
    progress: Progress,
) -> Iterator[Finding]:
    for sounds in heard.values():
        yield from check_copies(contents.clips, sounds)
    if closely and heard:
        rate, sounds = next(iter(heard.items()))
        yield from check_near_copies(directory, rate, contents.clips, sounds, progress)
        yield from check_copies_within(contents.clips, sounds)


def _lengths(heard: Mapping[int, Sounds]) -> dict[str, dict[str, float]]:
    lengths: dict[str, dict[str, float]] = {}
    for rate, sounds in heard.items():
        for split, of_split in sounds.items():
            good = {name: s.frames / rate for name, s in of_split.items() if not s.fault}
            lengths.setdefault(split, {}).update(good)
    return lengths


def _seconds(rate: int, sounds: Sounds) -> float:
    return sum(sound.frames for split in sounds.values() for sound in split.values()) / rate


def format_findings(directory: Path, findings: Sequence[Finding], note: str = "") -> str:
    """The findings as lines for people, with their count; ``note`` ends the first line."""
    if not findings:
        return f"{directory}: no findings{note}"
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    lines = [f"{directory}: {_count(errors, 'error')}, {_count(warnings, 'warning')}{note}"]
    for finding in findings:
        where = f"{finding.file}: " if finding.file else ""
        lines.append(f"  {finding.severity}: {where}{finding.reason}")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
