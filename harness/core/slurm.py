"""Write job scripts for Slurm and submit them by ``sbatch``."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UserError

_STOP_BEFORE = 120
"""Seconds before the time limit at which a job is stopped. A run ends within 5 s."""

_MOST_RESTARTS = 100
"""Number of times that a job is queued again, for work that makes no progress within the limit."""

_SCRIPT = """\
#!/bin/bash
{options}

# Two minutes before its time limit the job is stopped and queued again. It resumes.
out_of_time=
child=
stop() {{
    out_of_time=yes
    [ -z "$child" ] || kill -TERM "$child"
}}
trap stop USR1

resumable() {{
    "$@" &
    child=$!
    [ -z "$out_of_time" ] || kill -TERM "$child"
    wait "$child"
    code=$?
    [ -n "$out_of_time" ] || return $code
    wait "$child"
    if [ "${{SLURM_RESTART_COUNT:-0}}" -ge {restarts} ]; then
        echo "The time limit was reached {restarts} times: not queued again." >&2
        exit 1
    fi
    echo "The time limit is near: queued again." >&2
    scontrol requeue "${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_}}\
${{SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}}"
    exit
}}

{body}
"""


# sbatch(1), option --time.
_TIME_LIMIT = r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|unlimited|infinite"


@dataclass(frozen=True)
class JobScript:
    """A job script.

    Attributes:
        path: where it is written.
        text: its content.
    """

    path: Path
    text: str

    def submit(self, *options: str) -> str:
        """Write the script and submit it; return the number of the job.

        Args:
            options: of ``sbatch``, besides those in the script.

        Raises:
            UserError: there is no ``sbatch``, or it refuses the job; with its message.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.text)
        command = ["sbatch", "--parsable", *options, str(self.path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        except FileNotFoundError as error:
            raise UserError(
                "This machine has no `sbatch`. Call this command where Slurm jobs are submitted, "
                f"or submit {self.path} there."
            ) from error
        if done.returncode:
            words = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
            raise UserError(f"`{shlex.join(command)}` failed: {words}")
        return done.stdout.strip().partition(";")[0]  # NUMBER, or NUMBER;CLUSTER


def job_script(path: Path, options: Mapping[str, object], body: Sequence[str]) -> JobScript:
    """Return a script whose job resumes after preemption and after its time limit.

    Args:
        path: where it is to be written.
        options: of ``sbatch``; those that are None or empty are left out.
        body: lines of the script. A command after the word ``resumable`` is stopped by SIGTERM
            before the time limit, and the job is queued again.

    Raises:
        UserError: an option contains a line break, or the time limit has no form that Slurm reads.
    """
    limit = str(options.get("time") or "0")
    if not re.fullmatch(_TIME_LIMIT, limit, re.ASCII | re.IGNORECASE):
        raise UserError(
            f"--time '{limit}' is not a time limit of Slurm. Allowed are MINUTES, MM:SS, HH:MM:SS, "
            "DAYS-HH, DAYS-HH:MM, DAYS-HH:MM:SS and UNLIMITED: 08:00:00 is eight hours."
        )
    fixed = {
        "requeue": True,
        "open-mode": "append",
        "signal": f"B:USR1@{_STOP_BEFORE}",
    }
    lines = []
    for name, value in {**fixed, **options}.items():
        if value is None or value == "" or value is False:
            continue
        line = f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={_quoted(str(value))}"
        if not line.isprintable():
            raise UserError(f"The sbatch option {name}={value!r} must be printable.")
        lines.append(line)
    text = _SCRIPT.format(options="\n".join(lines), restarts=_MOST_RESTARTS, body="\n".join(body))
    return JobScript(path, text)


def _quoted(value: str) -> str:
    """Return a value as sbatch reads it in a script: in quotes if it contains spaces."""
    if not re.search(r"[\s\"'\\#]", value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
