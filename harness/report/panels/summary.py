"""The panel of all tasks: scores of all models in one figure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.table.cells import MEAN, cells
from harness.core.counts import plural
from harness.metrics.registry import METRICS
from harness.report.choice import coloured_models, left_out, ranked_models
from harness.report.figures.summary import ModelScores, summary_figure
from harness.report.panel import Panel, ProtocolScope, SummaryPanel
from tasks.format.task import short_names


def _make(scope: ProtocolScope) -> Panel | tuple[()]:
    """Draw the scores of a protocol's models on all tasks; nothing for fewer than two tasks.

    Tasks on which models were tested differently are left out.
    """
    material, protocol = scope.material, scope.protocol
    domains = {task: fact.domain for task, fact in material.facts.items() if fact.domain}
    found = cells(material.rows, protocol, domains=domains, baselines=material.baselines)
    names = dict(zip(every := material.tasks(protocol), short_names(every), strict=True))
    done = found[found.n_tasks.isna() & (found.status == "done") & (found.mixed == "")]
    metrics = done.groupby("task").metric.first()
    tasks = [task for task in dict.fromkeys(found.task) if task in metrics]
    if len(tasks) < 2:
        return ()
    tasks.sort(key=lambda task: _scale(metrics[task]) != _UNIT)
    means = found[found.task == MEAN].set_index("model")
    coloured = coloured_models(material, protocol)
    order = list(dict.fromkeys([*coloured, *ranked_models(material, protocol)]))
    models = []
    for number, model in enumerate(order):
        own = done[done.model == model].set_index("task").reindex(tasks)
        mean = means.loc[model]
        whole = mean.n_tasks == mean.of_tasks
        models.append(
            ModelScores(
                model,
                values=own.value.to_numpy(float),
                low=own.ci_low.to_numpy(float),
                high=own.ci_high.to_numpy(float),
                mean=float(mean.value) if whole else float("nan"),
                lacking="" if whole else f"{mean.n_tasks} of {mean.of_tasks}",
                baseline=bool(mean.baseline),
                series=number if model in coloured else None,
            )
        )
    labels = [names[task] for task in tasks]
    scales = [_scale(metrics[task]) for task in tasks]
    mixed = [names[task] for task in dict.fromkeys(found.task[found.mixed != ""])]
    return Panel(
        " ".join(filter(None, [*_notes(models, mixed), left_out("Colours mark", coloured, order)])),
        draw=lambda width: summary_figure(models, labels, scales, width),
        alt=f"Scores of {plural(len(models), 'model')} on {plural(len(tasks), 'task')}, with "
        "intervals and means.",
    )


SUMMARY = SummaryPanel("summary", "All tasks", _make)

_UNIT = "score"


def _scale(metric: str) -> str:
    """Return the axis of a metric; maximised metrics from 0 to 1 share one."""
    known = METRICS.get(metric)
    if known is None:
        return metric
    if not known.higher_is_better:
        return f"{metric} (lower is better)"
    return _UNIT if known.range == (0.0, 1.0) else metric


def _notes(models: Sequence[ModelScores], mixed: Sequence[str]) -> list[str]:
    notes = [
        "The primary metric of each task; higher is better, unless the label of the axis differs.",
        "Lines are 95 % intervals of single scores. Overlapping lines do not show that two models "
        "are equal: the comparison tests that clip by clip.",
    ]
    if any(model.baseline for model in models):
        notes.append("Hollow markers are baselines.")
    if any(model.lacking for model in models):
        notes.append(
            "In brackets: number of tasks of models with missing tasks, which have no mean here."
        )
    if mixed:
        notes.append(f"Left out, because models were tested differently: {', '.join(mixed)}.")
    return notes
