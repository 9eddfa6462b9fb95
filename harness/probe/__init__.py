"""Probes: what may run now, one unit's training and prediction, and the choice among units.

A unit trains on a fold's train split, is judged on its validation split and predicts its test
split. Selection reads :class:`Judged` alone; test predictions are scored elsewhere.
Training, in :mod:`harness.probe.run`, is the part that needs torch: what reads finished runs does
without it.
"""

from harness.probe.classifier import Classifier
from harness.probe.protocol import (
    Protocol,
    by_shots,
    criterion,
    few_shot,
    name_and_shots,
    scored,
    supports,
    task_kind,
)
from harness.probe.registry import PROTOCOLS, check_supported, find_protocol
from harness.probe.search import next_units, number_of_units, possible_units, selected_units
from harness.probe.units import Judged, ProbeUnit, UnitResult

__all__ = [
    "PROTOCOLS",
    "Classifier",
    "Judged",
    "ProbeUnit",
    "Protocol",
    "UnitResult",
    "by_shots",
    "check_supported",
    "criterion",
    "few_shot",
    "find_protocol",
    "name_and_shots",
    "next_units",
    "number_of_units",
    "possible_units",
    "scored",
    "selected_units",
    "supports",
    "task_kind",
]
