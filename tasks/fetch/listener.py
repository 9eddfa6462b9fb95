"""Who is told how fetching goes."""

from __future__ import annotations


class Listener:
    """Called from several threads at once; this one keeps silent."""

    def say(self, name: str, text: str) -> None:
        """Take a sentence about the task ``name``."""

    def moved(self, name: str, stage: str, done: int, total: int | None) -> None:
        """Take how far a task is.

        Args:
            name: the task's name.
            stage: ``downloading``, ``checking`` or ``unpacking``.
            done: bytes that are behind it; may fall back when a server makes it start anew.
            total: bytes of the whole stage; None when the server does not tell.
        """

    def ended(self, name: str) -> None:
        """Take that nothing more comes of a task."""
