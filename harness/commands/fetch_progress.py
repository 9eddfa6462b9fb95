"""Show the progress of downloads: a bar for each task on a terminal, lines in a log file."""

from __future__ import annotations

import threading

from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from harness.commands.display import Display
from harness.core.progress import Pace, duration
from tasks.fetch import FetchListener

_LINE_EVERY = 10.0
"""Seconds between two lines about a task if no bars are drawn."""


class FetchDisplay(Display, FetchListener):
    """Shows the events of downloads."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
        )
        self._bars: dict[str, tuple[str, TaskID]] = {}
        self._paces: dict[str, Pace] = {}
        self._lock = threading.Lock()

    def say(self, name: str, text: str) -> None:
        """Print a line above the bars."""
        self.line(f"{name}: {text}")

    def moved(self, name: str, stage: str, done: int, total: int | None) -> None:
        """Move the task's bar. Each stage has a new bar, so that its rate is correct."""
        with self._lock:
            last, bar = self._bars.get(name, ("", None))
            if bar is None or last != stage:
                if bar is not None:
                    self.bars.remove_task(bar)
                title = f"{stage} {escape(name)}"
                bar = self.bars.add_task(title, completed=done, total=total)
                self._bars[name] = stage, bar
                self._paces[name] = Pace(_LINE_EVERY)
            self.bars.update(bar, completed=done, total=total)
            if not self.has_bars and self._paces[name].due():
                self.say(name, f"{stage}, {self._plain(bar)}")

    def ended(self, name: str) -> None:
        """Remove the task's bar."""
        with self._lock:
            _, bar = self._bars.pop(name, ("", None))
            if bar is not None:
                self.bars.remove_task(bar)

    def _plain(self, bar: TaskID) -> str:
        task = next(task for task in self.bars.tasks if task.id == bar)
        words = [decimal(int(task.completed))]
        if task.total:
            words[0] += f" of {decimal(int(task.total))} ({task.percentage:.0f} %)"
        if task.speed:
            words.append(f"{decimal(int(task.speed))}/s")
        if task.time_remaining:
            words.append(f"{duration(task.time_remaining)} left")
        return ", ".join(words)
