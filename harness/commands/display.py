"""Progress on standard error: bars on a terminal, lines in a log file."""

from __future__ import annotations

from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from harness.core.progress import Pace

_LINE_EVERY = 10.0
"""Seconds between two lines about a count if no bars are drawn."""

_Self = TypeVar("_Self", bound="Display")


class Display:
    """Draws bars and prints lines above them; a context manager, so that the bars end cleanly.

    Args:
        columns: of the bars.
        transient: remove the bars at the end.

    Attributes:
        bars: the bars, which a log file does not get.
    """

    def __init__(self, *columns: ProgressColumn, transient: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.bars = Progress(
            *columns,
            console=self._console,
            transient=transient,
            disable=not self._console.is_terminal,
        )

    @property
    def has_bars(self) -> bool:
        """Whether bars are drawn; otherwise lines report the progress."""
        return not self.bars.disable

    def __enter__(self: _Self) -> _Self:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def line(self, text: str, head: str = "") -> None:
        """Print a line above the bars; ``head`` comes before it and may have rich's markup."""
        self._console.print(head + escape(text))


class CountDisplay(Display):
    """One bar that counts items, or a line every 10 s.

    Args:
        name: what the items are of; begins the lines.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            transient=True,
        )
        self._name = name
        self._bar = self.bars.add_task("", visible=False)
        self._pace = Pace(_LINE_EVERY)

    def count(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` items are done; ``what`` describes the work."""
        self.bars.update(self._bar, description=what, completed=done, total=total, visible=True)
        if not self.has_bars and self._pace.due():
            self.line(f"{self._name}: {what}, {done:,} of {total:,}")
