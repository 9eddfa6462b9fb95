"""Probes: what may run now, one unit's training and prediction, and the choice among units.

A unit trains on a fold's train split, is judged on its validation split and predicts its test
split. Selection reads ``UnitResult.valid_score`` alone; test predictions are scored elsewhere.
Training, in :mod:`harness.probe.run`, is the part that needs torch: what reads finished runs does
without it.
"""

from harness.probe.protocol import (
    PROTOCOLS,
    Protocol,
    check_supported,
    criterion,
    supports,
    task_kind,
)
from harness.probe.search import next_units, selected_units
from harness.probe.units import ProbeUnit, UnitResult

__all__ = [
    "PROTOCOLS",
    "ProbeUnit",
    "Protocol",
    "UnitResult",
    "check_supported",
    "criterion",
    "next_units",
    "selected_units",
    "supports",
    "task_kind",
]
