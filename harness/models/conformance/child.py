"""Call a function in a new Python process.

It is used for calls that must not affect this process: they replace a library, limit the memory, or
may crash. The child gets this process's ``sys.path``, so that both find the same modules and a
user's ``harness.py`` in the working directory is not imported instead of this package.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BOOT = (
    "import json, sys; call = json.load(sys.stdin); sys.path[:] = call['sys_path']; "
    "import harness.models.conformance.child as child; child.answer(call)"
)


@dataclass(frozen=True)
class ChildAnswer:
    """The function's value (None if the process ended before) and its output."""

    value: dict[str, Any] | None
    returncode: int
    stdout: str
    stderr: str

    @property
    def death(self) -> str:
        """Description of the end of a process without a value."""
        if self.returncode == -9:
            return "the process was killed, as the system does when memory runs out"
        if self.returncode < 0:
            return f"the process died of signal {-self.returncode}"
        last = self.stderr.strip().splitlines()[-1:] or ["no output"]
        return f"the process ended with code {self.returncode}: {last[0]}"


def call_in_child(module: str, function: str, request: Mapping[str, Any]) -> ChildAnswer:
    """Call ``module.function(request)``, which returns a dict, in a new Python process.

    Request and value are passed as JSON, separate from standard output and error.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "value.json")
        call = {
            "sys_path": sys.path,
            "module": module,
            "function": function,
            "request": dict(request),
            "value_path": str(path),
        }
        done = subprocess.run(
            [sys.executable, "-c", _BOOT],
            input=json.dumps(call),
            capture_output=True,
            text=True,
            errors="replace",
        )
        value = json.loads(path.read_text("utf-8")) if path.exists() else None
    return ChildAnswer(value, done.returncode, done.stdout, done.stderr)


def answer(call: Mapping[str, Any]) -> None:
    """Answer one call; runs in the child."""
    function = getattr(importlib.import_module(call["module"]), call["function"])
    value = function(call["request"])
    Path(call["value_path"]).write_text(json.dumps(value), "utf-8")
