"""Reads the files of a task directory; each file that cannot be read is reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.hashing import content_sha256

METADATA = "task_metadata.json"
VOCABULARY = "labelvocabulary.csv"

Report = Callable[[str, str], None]
"""Called with (file relative to the task directory, reason) for each thing that is wrong."""


@dataclass(frozen=True)
class TaskFiles:
    """The text files of a task directory.

    Attributes:
        directory: the task directory.
        report: called for what cannot be read.
        digests: sha256 of each file that was read, by its name.
    """

    directory: Path
    report: Report
    digests: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a file's text, None if it cannot be read."""
        try:
            content = (self.directory / name).read_bytes()
            self.digests[name] = content_sha256(content)
            return content.decode("utf-8-sig")
        except FileNotFoundError:
            self.report(name, "the file is missing.")
        except OSError as error:
            self.report(name, f"the file cannot be read ({error.strerror}).")
        except UnicodeDecodeError as error:
            self.report(name, f"the file is not UTF-8 text (byte {error.start}).")
        return None

    def json(self, name: str) -> dict[str, object] | None:
        """Return the object of a JSON file, None if it has none.

        A key that occurs twice is reported, because parsers silently drop one.
        """
        text = self.text(name)
        if text is None:
            return None
        twice: list[str] = []

        def pairs_to_dict(pairs: list[tuple[str, object]]) -> dict[str, object]:
            found = dict(pairs)
            if len(found) < len(pairs):
                keys = [key for key, _ in pairs]
                twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
            return found

        try:
            content = json.loads(text, object_pairs_hook=pairs_to_dict)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            self.report(name, f"not JSON: {error.msg} at {where}.")
            return None
        except (ValueError, RecursionError) as error:  # an endless number, brackets without end
            self.report(name, f"not a task's JSON: {error}.")
            return None
        for key in twice:
            self.report(name, f"the key '{key}' stands there twice.")
        if not isinstance(content, dict):
            self.report(name, f"must hold a JSON object, not {json_kind(content)}.")
            return None
        return content


def json_kind(value: object) -> str:
    """Return what a value is called in JSON."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
