"""Print messages and failures, which are not results."""

from __future__ import annotations

from collections.abc import Sequence

import click


def say(text: str) -> None:
    """Print a line on standard error."""
    click.echo(text, err=True)


def indented(text: str) -> str:
    """Return a text whose further lines are indented, as they belong to its first line."""
    return text.replace("\n", "\n    ")


def report_failures(failures: Sequence[tuple[str, str]]) -> int:
    """Print the name and error of each failure; return the exit code."""
    if failures:
        say(f"{len(failures)} failed:")
        for name, error in failures:
            say(f"  {name}: {indented(error)}")
    return int(bool(failures))
