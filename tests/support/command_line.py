"""Run a command of ``hear-byola`` in this process, as a user types it."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple

from harness.cli import call


class Done(NamedTuple):
    """The exit code and what was printed."""

    returncode: int
    stdout: str
    stderr: str


def hear_byola(*words: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = call(list(map(str, words)))
    return Done(code, out.getvalue(), err.getvalue())
