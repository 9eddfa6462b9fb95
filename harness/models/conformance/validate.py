"""Run the official hear-validator and the stricter checks, and make one report of them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from harness.core.progress import rough_duration
from harness.models.conformance.checks import LONG_AUDIO, STANDS_ON, checks_of
from harness.models.conformance.long_audio import SHORT_SECONDS, check_long_audio, embedded_seconds
from harness.models.conformance.official import INSTALL, VERSION, Verdict, run_official
from harness.models.conformance.pace import measure_pace
from harness.models.conformance.subject import Doubt, Failure, Unmeasured, load_subject, said
from harness.models.guest import exits_refused
from harness.models.imports import guest_of
from harness.models.spec import ModelSpec
from tasks.audio import MAX_SECONDS

OFFICIAL = "hear-validator"

_AUDIO_SECONDS = 300.0
"""Seconds of audio that all other checks embed, including the official validator's."""

_STARTS = 15.0
"""Seconds that the child processes take to start."""

_WHOLE_WITHIN = 60.0
"""Modules that embed 20 minutes of audio within this many seconds are checked on all of it."""

_STATUSES = {"PASS": "passed", "WARN": "warned", "FAIL": "failed", "NOT RUN": "not run"}


@dataclass(frozen=True)
class CheckResult:
    """One line of the report; status is PASS, WARN, FAIL or NOT RUN."""

    name: str
    status: str
    detail: str


@dataclass(frozen=True)
class Report:
    """The results of all checks of a module.

    Attributes:
        model: the module's label.
        device: the device that was asked for.
        checks: the official validator's line, then those of the stricter checks.
        transcript: the output of the official validator.
    """

    model: str
    device: str
    checks: tuple[CheckResult, ...]
    transcript: str = ""


def validate(
    spec: ModelSpec,
    device: str = "auto",
    *,
    quick: bool = False,
    whole: bool = False,
    progress: Callable[[str], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Report:
    """Check a module against the HEAR API.

    Args:
        spec: the module, its checkpoint and options.
        device: ``"auto"``, or a torch device.
        quick: leave out the check on long audio.
        whole: make that check on 20 minutes of audio, however long it takes. Otherwise a slow
            module is checked on a shorter clip.
        progress: receives the name of each check before it runs.
        say: receives an estimate of the time that the checks take.

    Raises:
        UserError: the module, checkpoint, option or device does not exist. All other faults are
            lines of the report.
    """
    announce = progress or (lambda name: None)
    ours = stricter_checks(spec, device, quick=quick, whole=whole, announce=announce, say=say)
    announce(OFFICIAL)
    verdict = run_official(spec, device)
    return Report(spec.label, device, (_official_line(verdict), *ours), verdict.transcript)


def stricter_checks(
    spec: ModelSpec,
    device: str,
    *,
    quick: bool,
    announce: Callable[[str], None],
    whole: bool = False,
    say: Callable[[str], None] | None = None,
) -> list[CheckResult]:
    """Make the stricter checks; arguments and errors as for :func:`validate`."""
    announce("loading")
    try:
        subject = load_subject(spec, device)
    except Failure as failure:
        return [CheckResult("load", "FAIL", str(failure))]
    with guest_of(subject.api).called():
        pace = measure_pace(subject)
    seconds = MAX_SECONDS if whole or _is_fast(pace) else SHORT_SECONDS
    if say and pace is not None:
        audio = _AUDIO_SECONDS + (0 if quick else embedded_seconds(seconds))
        say(f"this takes about {rough_duration(_STARTS + pace * audio)}")
    checks: list[CheckResult] = []
    for name, check in checks_of(subject.api).items():
        announce(name)
        with guest_of(subject.api).called():
            checks.append(_judged(name, partial(check, subject), checks))
    # The child that embeds the long clip loads the model again; free the memory of this one.
    del subject
    if quick:
        return [*checks, CheckResult(LONG_AUDIO, "NOT RUN", "left out by --quick")]
    announce(LONG_AUDIO)
    long_audio = partial(check_long_audio, spec, device, seconds)
    return [*checks, _judged(LONG_AUDIO, long_audio, checks)]


def _is_fast(pace: float | None) -> bool:
    return pace is not None and pace * embedded_seconds(MAX_SECONDS) <= _WHOLE_WITHIN


def _judged(name: str, check: Callable[[], str], made: Sequence[CheckResult]) -> CheckResult:
    failed = {other.name for other in made if other.status == "FAIL"}
    for other in STANDS_ON.get(name, ()):
        if other in failed:
            return CheckResult(
                name, "NOT RUN", f"not made, because '{other}' failed: correct that first"
            )
    try:
        with exits_refused():
            return CheckResult(name, "PASS", check())
    except Failure as failure:
        return CheckResult(name, "FAIL", str(failure))
    except Doubt as doubt:
        return CheckResult(name, "WARN", str(doubt))
    except Unmeasured as reason:
        return CheckResult(name, "NOT RUN", f"cannot be measured: {reason}")
    except Exception as error:  # a module can raise any exception
        return CheckResult(name, "FAIL", f"the module raises {said(error)}")


def _official_line(verdict: Verdict) -> CheckResult:
    if verdict.outcome == "absent":
        found = f"hearvalidator {verdict.message}" if verdict.message else "no hearvalidator"
        return CheckResult(
            OFFICIAL,
            "NOT RUN",
            f"{found} is installed, but {VERSION} is needed; pip refuses it on current Python "
            f"versions, so install it with: {INSTALL}",
        )
    if verdict.tensorflow:
        terms = [f"hearvalidator {VERSION} with TensorFlow {verdict.tensorflow}"]
    else:
        terms = [
            f"hearvalidator {VERSION}; TensorFlow is not installed, so an empty class replaced "
            "tf.Module, in that process only"
        ]
    if verdict.shim:
        terms.append("it imports by name and has no options, so it was given a wrapper module")
    setting = "; ".join(terms)
    if verdict.outcome == "passed":
        if verdict.warnings:
            return CheckResult(OFFICIAL, "WARN", f"{' / '.join(verdict.warnings)} ({setting})")
        return CheckResult(OFFICIAL, "PASS", f"looks good ({setting})")
    word = (
        "refuses the module"
        if verdict.outcome == "refused"
        else "was stopped by an error in the module"
    )
    return CheckResult(OFFICIAL, "FAIL", f"{word}: {verdict.message} ({setting})")


def format_report(report: Report) -> str:
    """Return the report as text: a line per check; after a failure the validator's transcript."""
    name_width = max(len(check.name) for check in report.checks)
    indent = " " * (name_width + 13)
    lines = [f"{report.model} (device: {report.device})", ""]
    for check in report.checks:
        head = f"  {check.status:<7}  {check.name:<{name_width}}  "
        lines += textwrap.wrap(
            check.detail,
            width=110,
            initial_indent=head,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    if report.checks[0].status == "FAIL":
        lines += ["", f"What {OFFICIAL} printed:"]
        lines += [f"  | {line}" for line in report.transcript.splitlines()]
    counts = (
        f"{sum(check.status == status for check in report.checks)} {word}"
        for status, word in _STATUSES.items()
    )
    return "\n".join([*lines, "", ", ".join(counts)])


def exit_code(report: Report) -> int:
    """Return 1 if a check failed, 3 if the official validator was not run, and 0 otherwise."""
    if any(check.status == "FAIL" for check in report.checks):
        return 1
    official_ran = all(c.status != "NOT RUN" for c in report.checks if c.name == OFFICIAL)
    return 0 if official_ran else 3
