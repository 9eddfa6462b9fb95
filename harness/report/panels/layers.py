"""The panel of a task's scores by layer, for models of which several layers were embedded."""

from __future__ import annotations

from collections import defaultdict

from harness.core.counts import plural
from harness.report.figures.layers import LayerScores, layers_figure
from harness.report.panel import Panel, PanelTable, TaskPanel, TaskScope
from harness.report.texts import number


def _make(scope: TaskScope) -> Panel | tuple[()]:
    """Draw the scores of each model's layers; nothing if no model has two layers here."""
    layers = _layers(scope)
    found = scope.material.cells(scope.protocol)
    found = found[(found.task == scope.task) & (found.status == "done")]
    scores = defaultdict(list)
    for row in found.itertuples():
        if row.model in layers:
            base, layer = layers[row.model]
            scores[base].append((layer, float(row.value), float(row.ci_low), float(row.ci_high)))
    models = [
        LayerScores(base, *zip(*sorted(own), strict=True))
        for base, own in sorted(scores.items())
        if len(own) > 1
    ]
    if not models:
        return ()
    metric = str(found.metric.iloc[0])
    rows = tuple(
        (model.model, str(layer), *(number(each, 4) for each in values))
        for model in models
        for layer, *values in zip(model.layers, model.values, model.low, model.high, strict=True)
    )
    header = ("model", "layer", metric, "95 % from", "to")
    return Panel(
        f"{metric} by layer; bars are 95 % confidence intervals. All layers are tested on the same "
        "clips, so the difference of two layers is more precise than their intervals suggest. "
        "Selecting a layer by its test score biases that score upwards.",
        draw=lambda width: layers_figure(models, metric, width),
        alt=f"Scores by layer of {plural(len(models), 'model')} on {scope.task}.",
        table=PanelTable(LAYERS.title, header, rows, frozenset({1, 2, 3, 4})),
    )


LAYERS = TaskPanel("layers", "Scores by layer", _make, order=15)


def _layers(scope: TaskScope) -> dict[str, tuple[str, int]]:
    """Return the name of the whole model and the number of the layer, by model."""
    rows = scope.material.headlines(scope.protocol)
    rows = rows[rows.layer.notna()].drop_duplicates("model")
    return {row.model: _parts(row.model, int(row.layer)) for row in rows.itertuples()}


def _parts(model: str, layer: int) -> tuple[str, int]:
    # A table adds @FINGERPRINT to models that share a name.
    whole, _, mark = model.rpartition(f"@{layer}")
    return whole + mark, layer
