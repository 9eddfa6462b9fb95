"""Names that the other functions take: protocols, metrics and tasks, each with what it is."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.api.wording import naming_arguments
from harness.core.files import expand_home


def list_protocols() -> pd.DataFrame:
    """Return the protocols.

    Returns:
        One row a protocol: ``protocol``, ``description``, and ``tasks``, the kinds of task that it
        supports.
    """
    from harness.probe import PROTOCOLS

    rows = [(each.name, each.description, ", ".join(each.kinds)) for each in PROTOCOLS.values()]
    return pd.DataFrame(rows, columns=["protocol", "description", "tasks"])


def list_metrics() -> pd.DataFrame:
    """Return the metrics.

    Returns:
        One row a metric: ``metric``, ``embedding_type`` and ``prediction_types`` of its tasks, and
        ``higher_is_better``.
    """
    from harness.metrics.registry import METRICS

    rows = [
        {
            "metric": each.name,
            "embedding_type": each.embedding_type,
            "prediction_types": ", ".join(each.prediction_types),
            "higher_is_better": each.higher_is_better,
        }
        for each in METRICS.values()
    ]
    return pd.DataFrame(rows)


@naming_arguments
def list_tasks(tasks_dir: Path | str = "tasks", suite: str | None = None) -> pd.DataFrame:
    """Return the tasks that have a card.

    Args:
        tasks_dir: the folder of task directories.
        suite: only this suite.

    Returns:
        One row per task: ``task`` (its name for :func:`harness.evaluate`), ``suite``, ``title``,
        ``embedding_type``, ``prediction_type``, ``metric`` (the primary one), ``clips`` and
        ``here``: whether the task is in ``tasks_dir`` or comes with the package.

    Raises:
        UserError: no such suite.
    """
    from tasks.find import place_of
    from tasks.listing import known_tasks
    from tasks.ways import is_built_in

    folder = Path(expand_home(str(tasks_dir)))
    rows = [
        {
            "task": each.name,
            "suite": each.suite,
            "title": each.title,
            "embedding_type": str(each.embedding_type),
            "prediction_type": str(each.prediction_type),
            "metric": each.metrics[0],
            "clips": each.clips,
            "here": is_built_in(each) or place_of(each, folder) is not None,
        }
        for each in known_tasks(folder, suite)
    ]
    return pd.DataFrame(rows).astype({"clips": "Int64"})
