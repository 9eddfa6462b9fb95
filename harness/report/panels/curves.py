"""The panel of a probe's validation scores over epochs or searched values."""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.probe.units import UnitResult
from harness.report.figures.curves import Curve, curves_figure
from harness.report.panel import ModelPanel, ModelScope, Panel, PanelTable
from harness.report.texts import number
from harness.results.record import Record

_AXES = {"k": "neighbours k", "l2": "L2 strength", "": "epoch"}
"""Labels of the axes of searched keys; other keys are their own label."""


def _make(scope: ModelScope) -> Panel:
    """Draw the curves of the selected probes of all folds and seeds."""
    records, metric = scope.records, scope.metric
    units = [
        (seed, fold.name, unit)
        for seed, record in enumerate(records)
        for fold in record.folds
        for unit in record.read_probes(fold)
    ]
    if not units or not all(unit.curve for _, _, unit in units):
        raise UserError("no validation curve was stored.")
    key = _searched(units[0][2])
    x_name = _AXES.get(key, key)
    curves = [_curve(unit, key) for _, _, unit in units]
    log = bool(key)
    note = (
        f"Validation {metric} of the searched values. The dot marks the chosen value."
        if key
        else f"Validation {metric} and loss of the selected probes. The dot marks the chosen epoch."
    )
    if len(curves) > 1:
        note += f" {len(curves)} lines, one per probe: {_probes(records, len(curves))}."
    rows = tuple(
        (
            fold,
            str(seed),
            _spell(curve.chosen),
            number(unit.valid_score, 4),
            "–" if unit.valid_loss is None else number(unit.valid_loss, 4),
            json.dumps(unit.params, sort_keys=True),
        )
        for (seed, fold, unit), curve in zip(units, curves, strict=True)
    )
    header = ("fold", "seed", f"selected {key or 'epoch'}", metric, "loss", "probe")
    return Panel(
        note,
        draw=lambda width: curves_figure(curves, x_name, metric, width, log),
        alt=f"Validation {metric} over {x_name} of the probes of {scope.model}.",
        table=PanelTable("The selected probes", header, rows, frozenset({2, 3, 4})),
    )


CURVES = ModelPanel("curve", "Validation of the selected probe", _make, order=20)


def _probes(records: Sequence[Record], n: int) -> str:
    """Return the number of folds, seeds and runs behind a number of probes."""
    folds, seeds = len(records[0].folds), len(records)
    of = ((folds, "fold"), (seeds, "seed"), (n // (folds * seeds), "run"))
    return " × ".join(plural(count, noun) for count, noun in of if count > 1)


def _searched(unit: UnitResult) -> str:
    """Return the searched key on the horizontal axis of a curve; "" for epochs."""
    length = len(unit.curve[0])
    if length == 4:
        return ""
    if length not in (2, 3):
        raise UserError(f"the validation curve has {length} columns, but only 2 to 4 can be drawn.")
    tried = [row[0] for row in unit.curve]
    return next((key for key, value in unit.params.items() if value in tried), "value")


def _curve(unit: UnitResult, key: str) -> Curve:
    columns = [tuple(column) for column in zip(*sorted(unit.curve), strict=True)]
    if len(columns) == 2:
        return Curve(columns[0], columns[1], chosen=unit.params.get(key))
    if len(columns) == 3:
        return Curve(columns[0], columns[2], columns[1], chosen=unit.params.get(key))
    chosen = None if unit.epoch is None else float(unit.epoch)
    return Curve(columns[0], columns[3], columns[2], columns[1], chosen)


def _spell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
