"""The panel of the weights that probes on several layers have learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.core.counts import plural
from harness.probe import PROTOCOLS, name_and_shots
from harness.report.figures.layers import LayerScores, layers_figure
from harness.report.panel import Panel, PanelTable, TaskPanel, TaskScope
from harness.report.texts import number
from harness.results.record import Record


def _make(scope: TaskScope) -> Panel | tuple[()]:
    """Draw the weights of each model's layers; nothing if the protocol learns none."""
    protocol = PROTOCOLS.get(name_and_shots(scope.protocol)[0])
    if protocol is None or not protocol.needs_layers:
        return ()
    found = {model: _weights(records) for model, records in scope.records.items()}
    probes = {model: weights for model, weights in found.items() if weights}
    if not probes:
        return ()
    models = []
    for model, weights in probes.items():
        values = np.array([[own[layer] for layer in weights[0]] for own in weights])
        models.append(
            LayerScores(
                model,
                tuple(map(int, weights[0])),
                tuple(values.mean(axis=0)),
                tuple(values.min(axis=0)),
                tuple(values.max(axis=0)),
            )
        )
    most = max(map(len, probes.values()))
    of_several = (
        f" A dot is the mean of {most} probes (folds and seeds), a bar their range."
        if most > 1
        else ""
    )
    rows = tuple(
        (model.model, str(layer), *(number(each, 4) for each in values))
        for model in models
        for layer, *values in zip(model.layers, model.values, model.low, model.high, strict=True)
    )
    return Panel(
        "Weights of the layers in the sum that the probe is trained on. They are learned on "
        "train and add up to 1. Layers are standardised first, so weights do not depend on scales."
        + of_several,
        draw=lambda width: layers_figure(models, "weight", width),
        alt=f"Weights by layer of {plural(len(models), 'model')} on {scope.task}.",
        table=PanelTable(
            WEIGHTS.title,
            ("model", "layer", "weight", "lowest", "highest"),
            rows,
            frozenset({1, 2, 3, 4}),
        ),
    )


WEIGHTS = TaskPanel("layer-weights", "Learned weights of layers", _make, order=17)


def _weights(records: Sequence[Record]) -> list[dict[str, float]]:
    """Return the weights by layer of every selected probe that has some."""
    units = [
        unit for record in records for fold in record.folds for unit in record.read_probes(fold)
    ]
    return [unit.params["layer_weights"] for unit in units if "layer_weights" in unit.params]
