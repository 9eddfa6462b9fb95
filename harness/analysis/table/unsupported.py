"""Find the tasks of a results table that its protocols do not support."""

from __future__ import annotations

import pandas as pd

from harness.probe import PROTOCOLS, by_shots, name_and_shots


def unsupported_tasks(table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the tasks of a results frame that each of its protocols does not support.

    Rows of schema version 1 do not record the kind of their task. A task that has no newer rows is
    left out.
    """
    kinds = table[table.task_kind != ""].groupby("task").task_kind.first()
    found = {
        name: tuple(kinds.index[~kinds.isin(PROTOCOLS[base].kinds)])
        for name in sorted(set(table.protocol), key=by_shots)
        if (base := name_and_shots(name)[0]) in PROTOCOLS
    }
    return {name: tasks for name, tasks in found.items() if tasks}
