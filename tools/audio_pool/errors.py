"""The error of the audio pool."""


class PoolError(Exception):
    """A package, tool or file cannot be used; the text says which, why, and what to do."""
