"""How fetching goes, told on the terminal: a bar a task, or plain lines where there is no bar."""

from __future__ import annotations

import threading
import time

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from tasks.fetch.listener import Listener

_LINE_EVERY = 10.0
"""Seconds between a task's plain lines."""


class FetchProgress(Listener):
    """Draws progress on standard error; a context manager, so that the bars end cleanly."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._bars: dict[str, tuple[str, TaskID]] = {}
        self._next_line: dict[str, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> FetchProgress:
        """Start the bars."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the bars."""
        self._progress.stop()

    def say(self, name: str, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(escape(f"{name}: {text}"))

    def moved(self, name: str, stage: str, done: int, total: int | None) -> None:
        """Move the task's bar; a stage begins a new one, so that its rate is its own."""
        with self._lock:
            last, bar = self._bars.get(name, ("", None))
            if bar is None or last != stage:
                if bar is not None:
                    self._progress.remove_task(bar)
                title = f"{stage} {escape(name)}"
                bar = self._progress.add_task(title, completed=done, total=total)
                self._bars[name] = stage, bar
                self._next_line[name] = time.monotonic() + _LINE_EVERY
            self._progress.update(bar, completed=done, total=total)
            if self._progress.disable and time.monotonic() >= self._next_line[name]:
                self._next_line[name] = time.monotonic() + _LINE_EVERY
                self.say(name, f"{stage}, {self._plain(bar)}")

    def ended(self, name: str) -> None:
        """Remove the task's bar."""
        with self._lock:
            _, bar = self._bars.pop(name, ("", None))
            if bar is not None:
                self._progress.remove_task(bar)

    def _plain(self, bar: TaskID) -> str:
        task = next(task for task in self._progress.tasks if task.id == bar)
        words = [decimal(int(task.completed))]
        if task.total:
            words[0] += f" of {decimal(int(task.total))} ({task.percentage:.0f} %)"
        if task.speed:
            words.append(f"{decimal(int(task.speed))}/s")
        if task.time_remaining:
            minutes, seconds = divmod(round(task.time_remaining), 60)
            words.append(f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left")
        return ", ".join(words)
