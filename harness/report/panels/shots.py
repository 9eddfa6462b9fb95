"""The panel of a task's scores by the number of training clips, for few-shot protocols."""

from __future__ import annotations

from collections import defaultdict

from harness.core.counts import in_range, plural
from harness.probe import name_and_shots
from harness.report.choice import coloured_models
from harness.report.figures.shots import ShotScores, shots_figure
from harness.report.panel import Panel, PanelTable, TaskPanel, TaskScope
from harness.report.texts import number


def _make(scope: TaskScope) -> Panel | tuple[()]:
    """Draw the scores of each model; nothing if there are no few-shot scores of the task."""
    material, scores, metric, draws = scope.material, defaultdict(list), "", set[int]()
    for protocol in material.family(scope.protocol):
        shots = name_and_shots(protocol)[1]
        found = material.cells(protocol)
        found = found[(found.task == scope.task) & (found.status == "done")]
        for row in found.itertuples():
            scores[row.model].append((shots, row.value, row.ci_low, row.ci_high, row.n_seeds))
            metric = str(row.metric)
            draws |= set() if shots is None else {int(row.n_seeds)}
    if not draws:
        return ()
    models = [
        ShotScores(model, *zip(*(row[:4] for row in scores[model]), strict=True))
        for model in coloured_models(material, scope.protocol)
        if model in scores
    ]
    rows = tuple(
        (model, "all" if shots is None else str(shots), *(number(x, 4) for x in values), str(n))
        for model, own in scores.items()
        for shots, *values, n in own
    )
    header = ("model", "shots", metric, "95 % from", "to", "draws")
    return Panel(
        f"{metric} by training clips of each label, the mean over {in_range(draws, 'draw')} of "
        "the clips; bars are 95 % intervals over the test set and the draws. A draw has the same "
        "clips for all models: `results compare` compares models of the same draws draw by draw, "
        "which is more exact than their intervals suggest.",
        draw=lambda width: shots_figure(models, metric, width),
        alt=f"Scores by shots of {plural(len(models), 'model')} on {scope.task}.",
        table=PanelTable(SHOTS.title, header, rows, frozenset({1, 2, 3, 4, 5})),
    )


SHOTS = TaskPanel("shots", "Scores by shots", _make, order=16)
