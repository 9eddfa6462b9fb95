"""What fetching reports while it works: the methods that a display overrides."""

from __future__ import annotations


class FetchListener:
    """Receives the events of downloads, from several threads at once; this one ignores them."""

    def say(self, name: str, text: str) -> None:
        """Receive a sentence about the task ``name``."""

    def moved(self, name: str, stage: str, done: int, total: int | None) -> None:
        """Receive how far a task is.

        Args:
            name: the task's name.
            stage: ``downloading``, ``checking`` or ``unpacking``.
            done: bytes that are done; fewer than before if a server makes the download restart.
            total: bytes of the whole stage; None if the server does not report it.
        """

    def ended(self, name: str) -> None:
        """Receive the name of a task that is over."""
