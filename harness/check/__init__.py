"""Check a task directory before work starts: all findings at once, none raised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.check.audio import check_audio, check_names
from harness.check.finding import Finding
from harness.check.labels import check_labels
from harness.layout import read_contents
from harness.memory import FileMemory

__all__ = ["Finding", "check_task", "format_findings"]


def check_task(
    directory: Path,
    sample_rate: int | None = None,
    *,
    audio: bool = True,
    memory: FileMemory | None = None,
) -> list[Finding]:
    """Everything wrong with a task directory, errors first.

    Args:
        directory: the task directory.
        sample_rate: judge only the audio that serves a model of this rate; every rate's without.
        audio: decode every clip, in threads; else judge the tables alone.
        memory: where clips found good are remembered, so that they are decoded once; the caller
            saves it.
    """
    findings: list[Finding] = []

    def report(file: str, reason: str) -> None:
        findings.append(Finding("error", file, reason))

    try:
        contents = read_contents(directory, report)
        if contents.metadata:
            findings.extend(check_labels(directory, contents))
            findings.extend(check_names(directory, contents))
            if audio:
                findings.extend(check_audio(directory, contents, sample_rate, memory))
    except OSError as fault:  # a folder that may not be listed
        report(str(fault.filename or ""), f"cannot be read ({fault.strerror}).")
    return sorted(findings, key=lambda finding: finding.severity)  # stable: "error" < "warning"


def format_findings(directory: Path, findings: Sequence[Finding]) -> str:
    """The findings as lines for people, with their count."""
    if not findings:
        return f"{directory}: no findings"
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    lines = [f"{directory}: {_count(errors, 'error')}, {_count(warnings, 'warning')}"]
    for finding in findings:
        where = f"{finding.file}: " if finding.file else ""
        lines.append(f"  {finding.severity}: {where}{finding.reason}")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
