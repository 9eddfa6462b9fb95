"""Read single files of a task directory and report each file that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.hashing import content_sha256

METADATA = "task_metadata.json"
VOCABULARY = "labelvocabulary.csv"

Report = Callable[[str, str], None]
"""Called with (file relative to the task directory, reason) for each fault."""


@dataclass(frozen=True)
class TaskFiles:
    """The text files of a task directory.

    Attributes:
        directory: the task directory.
        report: called for each file that cannot be read.
        digests: SHA-256 of each file that was read, by its name.
    """

    directory: Path
    report: Report
    digests: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return the text of a file, or None if it cannot be read."""
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
        """Return the object in a JSON file, or None if the file has none."""
        text = self.text(name)
        return None if text is None else self.parse(name, text)

    def parse(self, name: str, text: str) -> dict[str, object] | None:
        """Return the object in the text of a JSON file, or None if it has none.

        A repeated key is reported, because parsers silently drop one of its values.
        """
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
        except (ValueError, RecursionError) as error:  # a number or a nesting that is too long
            self.report(name, f"not a task's JSON: {error}.")
            return None
        for key in twice:
            self.report(name, f"the key '{key}' occurs twice.")
        if not isinstance(content, dict):
            self.report(name, f"must contain a JSON object, not {json_kind(content)}.")
            return None
        return content


def json_kind(value: object) -> str:
    """Return the JSON name of a value's type, with its article."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
