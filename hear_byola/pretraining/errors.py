"""What the trainer raises when a user, or the machine, has to do something."""

from __future__ import annotations


class PretrainError(Exception):
    """A user's mistake or the machine's trouble: says what, where, and what to do."""
