"""A HEAR-compatible evaluation harness: any HEAR-API module on any HEAR-format task.

The names below are the Python interface; docs/python.md shows them in use. :mod:`harness.encoders`
is public, too. All other modules are private and may change. A name is imported when it is first
used, so ``import harness`` is quick.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import (
        Comparison,
        Results,
        Task,
        UserError,
        compare,
        evaluate,
        format_table,
        list_metrics,
        list_protocols,
        list_tasks,
        load,
        power,
        read_task,
        table,
        write_report,
    )

__all__ = [
    "Comparison",
    "Results",
    "Task",
    "UserError",
    "compare",
    "evaluate",
    "format_table",
    "list_metrics",
    "list_protocols",
    "list_tasks",
    "load",
    "power",
    "read_task",
    "table",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module("harness.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _import_our_tasks() -> None:
    """Import the package ``tasks`` from beside this one, whatever the working directory holds.

    Raises:
        ImportError: the process uses another module of that name.
    """
    file = Path(__file__).parents[1] / "tasks" / "__init__.py"
    known = sys.modules.get("tasks")
    if known is not None:
        if Path(getattr(known, "__file__", None) or ".").resolve() != file.resolve():
            raise ImportError(
                f"harness needs its own package 'tasks', but this process has imported {known!r} "
                "under that name. Import harness first, or rename that module."
            )
        return
    spec = importlib.util.spec_from_file_location(
        "tasks", file, submodule_search_locations=[str(file.parent)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tasks"] = module
    spec.loader.exec_module(module)


_import_our_tasks()
