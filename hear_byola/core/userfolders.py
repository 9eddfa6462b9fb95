"""The user's folders: home, and the folder of files that are kept between commands."""

from __future__ import annotations

import os
from pathlib import Path

from hear_byola.core.errors import UserError


def expand_home(path: str | Path) -> str:
    """Return a path with a leading ``~`` or ``~user`` replaced by the home folder.

    A shell does this only at the beginning of a word, and not at all in a config file.

    Raises:
        UserError: there is no such user, or the path contains a NUL character.
    """
    if "\0" in str(path):
        raise UserError(f"The path {str(path)[:80]!r} contains a NUL character: remove it.")
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise UserError(
            f"{path}: there is no home folder {expanded.partition('/')[0]}. Write ./{path} for a "
            "file or folder of this name."
        )
    return expanded


def cache_folder() -> Path:
    """Return the folder of files that can be made again and are kept between commands.

    ``$HEAR_BYOLA_CACHE``, else ``$XDG_CACHE_HOME/hear-byola``, else ``~/.cache/hear-byola``.
    """
    if named := os.environ.get("HEAR_BYOLA_CACHE"):
        return Path(expand_home(named))
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hear-byola"
