"""Check a task directory and return all faults as findings, without raising."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.core.counts import plural
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

Compare = Callable[[Contents, Mapping[int, float]], Iterable[Finding]]
"""Compares a task with its card. It takes the contents of the directory and, by decoded sample
rate, the total length of the valid clips in seconds."""


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
    """Return all findings on a task directory, errors first.

    Args:
        directory: the task directory.
        sample_rate: check only the audio that a model of this rate in Hz uses; None for all rates.
        audio: decode every clip, in threads; False checks only the tables.
        closely: also check for faults that do not stop a run: few groups, groups in several
            splits, the best reachable score of an event task, copies within a split, and changed
            copies across splits (these need a fingerprint of each sound).
        group_pattern: the one of the task's card; derives groups if there is no ``groups.csv``.
        memory: stores which clips are valid, so that they are decoded once; the caller saves it.
        compare: compares the task, for example with its card.
        progress: called for every clip decoded and compared.
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
                # A finding that is the same at every rate is reported once.
                findings.extend(
                    dict.fromkeys(_copies(directory, contents, heard, closely, progress))
                )
            findings.extend(check_unit(contents, _lengths(heard)))
            seconds = {
                rate: sum(sound.frames for split in sounds.values() for sound in split.values())
                / rate
                for rate, sounds in heard.items()
            }
            findings.extend(compare(contents, seconds))
    except OSError as fault:  # for example a folder without read permission
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


def format_findings(directory: Path, findings: Sequence[Finding], note: str = "") -> str:
    """Return findings as text, with their count; ``note`` ends the first line."""
    if not findings:
        return f"{directory}: no findings{note}"
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    lines = [f"{directory}: {plural(errors, 'error')}, {plural(warnings, 'warning')}{note}"]
    for finding in findings:
        where = f"{finding.file}: " if finding.file else ""
        lines.append(f"  {finding.severity}: {where}{finding.reason}")
    return "\n".join(lines)
