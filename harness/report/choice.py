"""Which models a report shows in panels, compares, and draws in colour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from harness.analysis.table.cells import averaged_tasks
from harness.core.counts import plural
from harness.report.material import Material

MOST_MODELS = 8
"""Largest number of models that are all shown: the number of colours and markers."""
_ON_TASKS = 3
_COMPARED = 4
"""Number of models shown on a task and compared, if there are more models and fewer are named."""


def ranked_models(material: Material, protocol: str) -> list[str]:
    """Return the models with scores by a protocol, sorted by number of tasks, then by mean."""
    found = material.cells(protocol)
    averaged = found[found.task.isin(averaged_tasks(material.headlines(protocol)))]
    means = averaged.groupby("model").value.mean()
    counts = found[found.status == "done"].groupby("model").task.nunique()
    return sorted(counts.index, key=lambda m: (-counts[m], -means.get(m, float("-inf")), str(m)))


def coloured_models(material: Material, protocol: str, most: int = MOST_MODELS) -> list[str]:
    """Return the models that are drawn in colour: named ones, the best, baselines, then others.

    The named models come first, in the order in which they were named. The others follow in the
    order of :func:`ranked_models`. Named models are returned even if there are more than ``most``.
    """
    order = ranked_models(material, protocol)
    named = [model for model in dict.fromkeys(material.named) if model in order]
    others = [model for model in order if model not in named]
    others.sort(key=lambda model: (model != order[0], model not in material.baselines))
    return named + sorted(others[: max(most - len(named), 0)], key=order.index)


def compared_models(material: Material, protocol: str) -> list[str]:
    """Return the models to compare: all of up to ``MOST_MODELS``, otherwise the first ones."""
    few = len(ranked_models(material, protocol)) <= MOST_MODELS
    return coloured_models(material, protocol, MOST_MODELS if few else _COMPARED)


def task_models(material: Material, protocol: str, task: str) -> tuple[tuple[str, ...], str]:
    """Return the models with panels on a task, and a note on those left out.

    If there are more than ``MOST_MODELS``, they are the named models, the best, baselines, and
    others by score. Baselines come last.
    """
    found = material.cells(protocol)
    found = found[(found.task == task) & (found.status == "done")]
    rows = material.headlines(protocol)
    lower = not rows.higher_is_better[rows.task == task].all()
    order = list(found.sort_values("value", ascending=lower, kind="stable").model)
    most = MOST_MODELS if len(order) <= MOST_MODELS else _ON_TASKS
    wanted = [model for model in dict.fromkeys((*material.named, *order[:1])) if model in order]
    others = [model for model in order if model not in wanted]
    others.sort(key=lambda model: model not in material.baselines)
    wanted += others[: max(most - len(wanted), 0)]
    shown = sorted(wanted, key=lambda model: (model in material.baselines, order.index(model)))
    return tuple(shown), left_out("The panels below the scores show", shown, order)


def left_out(what: str, shown: Sequence[str], models: Sequence[str]) -> str:
    """Return a note on the models left out and how to include them; empty if there are none.

    Args:
        what: the beginning of the note, for example "The comparison shows".
        shown: models that are shown.
        models: all models.
    """
    others = [model for model in models if model not in shown]
    if not others:
        return ""
    return (
        f"{what} {len(shown)} of {plural(len(models), 'model')}. Left out: {', '.join(others)}. "
        "To include a model, make the report with `--model NAME` (repeatable)."
    )


def series(material: Material, protocol: str, models: Sequence[str]) -> tuple[int, ...]:
    """Return a number for the colour and marker of each model, all different.

    A model of :func:`coloured_models` has the same number in every figure of a protocol.
    """
    order = coloured_models(material, protocol)
    known = {model: order.index(model) for model in models if model in order}
    free = (number for number in count() if number not in known.values())
    return tuple(known[model] if model in known else next(free) for model in models)
