"""What commands print besides their results."""

from __future__ import annotations

from collections.abc import Sequence

import click


def say(text: str) -> None:
    """Print a line on standard error."""
    click.echo(text, err=True)


def report_failures(failures: Sequence[tuple[str, str]]) -> int:
    """Print (name, error) of what failed; return the exit code."""
    if failures:
        say(f"{len(failures)} failed:")
        for name, error in failures:
            say(f"  {name}: {error}")
    return int(bool(failures))
