"""Compute the cells of the table of models × tasks as numbers, one row per cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from harness.analysis.table.baseline_models import baseline_models
from harness.analysis.table.over_seeds import over_seeds
from harness.core.counts import first_of, plural
from harness.probe import name_and_shots
from harness.results import latest
from harness.results.frames import EQUAL_DIGITS, TESTED, primary
from tasks.format.task import is_synthetic

MEAN = "mean"
OTHER = "other"
_NAMED = 3  # models, or reasons, in one note
_MISSING = {"status": "missing", "n_seeds": 0, "seeds_failed": 0, "seed_sd": np.nan}
_UNSUPPORTED = _MISSING | {"status": "unsupported"}
_DOMAINS = ("speech", "music", "environment")  # in this order; others follow by name


@dataclass(frozen=True)
class Marks:
    """The models that do not differ significantly from the best of their task.

    Attributes:
        near: by (protocol, task), for each model that was compared with the best, whether it is not
            significantly different (paired test).
        rule: the test behind the mark, in words.
        unpaired: a clause on each model that could not be compared.
    """

    near: Mapping[tuple[str, str], Mapping[str, bool]] = field(default_factory=dict)
    rule: str = ""
    unpaired: Sequence[str] = ()


def headlines(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return the newest rows of primary metrics over all folds, by one protocol."""
    rows = primary(table)
    return rows[rows.protocol == protocol]


def averaged_tasks(chosen: pd.DataFrame) -> list[str]:
    """Return the tasks of a mean: maximised, not synthetic, and equal for all models."""
    maximised = chosen.groupby("task").higher_is_better.all()
    out = mixed_tasks(chosen)
    return [
        task
        for task in maximised.index
        if maximised[task] and not is_synthetic(task) and task not in out
    ]


def mixed_tasks(chosen: pd.DataFrame) -> dict[str, str]:
    """Return the tasks whose values cannot be compared, with what each model was tested on.

    An unknown number of test clips is assumed to be that of the others.
    """
    done = chosen[chosen.status == "done"]
    differ = done.groupby("task")[TESTED].nunique().gt(1)
    return {
        task: _tested(done[done.task == task], [name for name in TESTED if differ[name][task]])
        for task in differ.index[differ.any(axis=1)]
    }


def _tested(rows: pd.DataFrame, differ: Sequence[str]) -> str:
    models: dict[str, list[str]] = {}
    for row in rows.drop_duplicates(["model", *differ]).to_dict("records"):
        said = {
            "metric": row["metric"],
            "n_test": "? clips" if pd.isna(row["n_test"]) else plural(row["n_test"], "clip"),
            "task_sha256": f"version {row['task_sha256'][:8]}",
        }
        models.setdefault(", ".join(said[name] for name in differ), []).append(row["model"])
    return "; ".join(f"{', '.join(first_of(who, _NAMED))}: {test}" for test, who in models.items())


def cells(
    table: pd.DataFrame,
    protocol: str,
    *,
    domains: Mapping[str, str] | None = None,
    baselines: Collection[str] = (),
    marks: Marks | None = None,
    unsupported: Collection[str] = (),
    grouped: bool = True,
) -> pd.DataFrame:
    """Return one row per model and task of one protocol, and one per mean.

    Baselines come first. Among them and among the other models, those with the most tasks in their
    mean come first.

    Args:
        table: result rows.
        protocol: the protocol.
        domains: domain of each task directory; other tasks belong to ``other``. Tasks are sorted
            by domain, and every domain with several tasks has a mean.
        baselines: further models that are baselines
            (:func:`harness.analysis.table.baseline_models.baseline_models`).
        marks: the models that do not differ significantly from the best.
        unsupported: tasks that the protocol does not support. They get rows too, and are in no
            mean.
        grouped: whether intervals are over test groups, on tasks that have them; otherwise they are
            over clips.

    Returns:
        A frame with the columns

        - ``protocol``, ``model``, ``baseline``, ``domain``, ``metric``
        - ``task``: a task, ``mean`` or ``mean DOMAIN``
        - ``mixed``: what each model was tested on, if the values of a task cannot be compared
        - ``status``: ``done``, ``failed``, ``undefined`` on this test split, ``mixed`` between
          seeds, ``unsupported`` by the protocol, or ``missing``; of a mean ``done``, ``partial``
          (over fewer tasks than there are) or ``missing``
        - ``value``: the mean over seeds, or over tasks
        - ``ci_low``, ``ci_high``: the 95 % interval
          (:func:`harness.analysis.table.intervals.seeds_interval`)
        - ``training``: how the interval includes training noise
        - ``n_groups``, ``design_effect``: of the test set
        - ``seed_sd``: the standard deviation (ddof 1) between seeds
        - ``n_seeds``, ``seeds_failed``: numbers of seeds
        - ``n_tasks``, ``of_tasks``: numbers of tasks in a mean and in total
        - ``best``: whether it is the best of its column (of the complete means)
        - ``near``: whether it is not significantly different from the best; empty if unknown
        - ``shots``: of the protocol; empty if all training clips are used
    """
    chosen = headlines(table, protocol)
    tasks = sorted({*chosen.task, *unsupported}, key=lambda task: _place(task, domains))
    scored = over_seeds(chosen, grouped)
    described = _described(chosen, tasks, domains)
    averaged = averaged_tasks(chosen)
    on_top = baseline_models(latest(table), baselines)
    rows: list[dict] = []
    for model in _ordered(scored, averaged, on_top):
        own = [
            described[model, task]
            | scored.get((model, task), _UNSUPPORTED if task in unsupported else _MISSING)
            for task in tasks
        ]
        means = _means(own, averaged, domains is not None)
        rows += [{"model": model, "baseline": model in on_top} | row for row in own + means]
    found = pd.DataFrame(rows)
    found.insert(0, "protocol", protocol)
    found["best"] = _best(found, lowest=set(chosen.task[~chosen.higher_is_better]))
    found["near"] = _near(found, protocol, marks)
    found["shots"] = name_and_shots(protocol)[1]
    for column in ("shots", "n_tasks", "of_tasks", "n_seeds", "seeds_failed", "n_groups"):
        found[column] = found[column].astype("Int64")
    return found


def _ordered(
    scored: Mapping[tuple[str, str], dict], averaged: Collection[str], on_top: Collection[str]
) -> list[str]:
    """Return the models, baselines first; then those with the most tasks in their mean."""
    n_scored = Counter(
        model
        for (model, task), cell in scored.items()
        if task in averaged and cell["status"] == "done"
    )
    models = {model for model, _ in scored}
    return sorted(models, key=lambda model: (model not in on_top, -n_scored[model], model))


def _described(
    chosen: pd.DataFrame, tasks: Sequence[str], domains: Mapping[str, str] | None
) -> dict[tuple[str, str], dict]:
    """Return domain, metric and comparability of each model and task.

    If a task is mixed, each model has its own metrics; otherwise the task has one.
    """
    mixed = mixed_tasks(chosen)
    metrics = chosen.sort_values("status").groupby("task").metric.first()  # done before failed
    own_metrics = chosen.groupby(["model", "task"]).metric.unique().map("/".join)
    return {
        (model, task): {
            "task": task,
            "domain": _domain(task, domains),
            "metric": (
                own_metrics.get((model, task), "") if task in mixed else metrics.get(task, "")
            ),
            "mixed": mixed.get(task, ""),
        }
        for model in set(chosen.model)
        for task in tasks
    }


def _domain(task: str, domains: Mapping[str, str] | None) -> str:
    return "" if domains is None else domains.get(task, OTHER)


def _place(task: str, domains: Mapping[str, str] | None) -> tuple[int, str, str]:
    domain = _domain(task, domains)
    known = _DOMAINS.index(domain) if domain in _DOMAINS else len(_DOMAINS) + (domain == OTHER)
    return known, domain, task


def _means(own: Sequence[dict], averaged: Collection[str], by_domain: bool) -> list[dict]:
    """Return the means of a model: over each domain of several tasks, and over all tasks."""
    counted = [row for row in own if row["task"] in averaged]
    groups: dict[str, list[dict]] = {}
    for row in counted:
        groups.setdefault(row["domain"], []).append(row)
    named = {f"{MEAN} {name}": rows for name, rows in groups.items() if len(rows) > 1}
    if not by_domain or len(groups) < 2:
        named = {}
    means = []
    for name, rows in (named | {MEAN: counted}).items():
        values = [row["value"] for row in rows if row["status"] == "done"]
        means.append(
            {
                "task": name,
                "domain": rows[0]["domain"] if name in named else "",
                "metric": "",
                "mixed": "",
                "status": _extent(len(values), len(rows)),
                "value": float(np.mean(values)) if values else np.nan,
                "n_tasks": len(values),
                "of_tasks": len(rows),
            }
        )
    return means


def _extent(n_tasks: int, of_tasks: int) -> str:
    if not n_tasks:
        return "missing"
    return "done" if n_tasks == of_tasks else "partial"


def _best(found: pd.DataFrame, lowest: Collection[str]) -> pd.Series:
    """Return which values are the best of their task or mean, ``lowest`` naming minimised tasks.

    A task that fewer than two models have a value of, and a mixed one, has no best value.
    """
    best = pd.Series(False, found.index)
    for task, column in found[found.mixed == ""].groupby("task"):
        whole = column.n_tasks.isna() | (column.n_tasks == column.of_tasks)
        values = column.value.where(whole).round(EQUAL_DIGITS)
        if values.notna().sum() > 1:
            best[column.index] = values == (values.min() if task in lowest else values.max())
    return best


def is_mean(column: str) -> bool:
    """Return whether ``task`` of :func:`cells` is a mean."""
    return column == MEAN or column.startswith(f"{MEAN} ")


def _near(found: pd.DataFrame, protocol: str, marks: Marks | None) -> pd.Series:
    known = marks.near if marks else {}
    near = [
        None if best or mixed else known.get((protocol, task), {}).get(model)
        for model, task, best, mixed in zip(found.model, found.task, found.best, found.mixed)
    ]
    return pd.Series(near, found.index, dtype="boolean")
