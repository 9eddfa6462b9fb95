"""All protocols by name, found in the modules of :mod:`harness.probe.protocols`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.core.counts import plural
from harness.core.discovery import defined_in
from harness.core.errors import UserError, did_you_mean
from harness.core.kinds import PredictionType
from harness.probe import protocols
from harness.probe.grid import check_task_grid
from harness.probe.protocol import EVENT, Protocol, supports, task_kind
from tasks.format.task import Task

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(defined_in(protocols, Protocol))


def find_protocol(name: str) -> Protocol:
    """Return the protocol of this name.

    Raises:
        UserError: there is none.
    """
    if name not in PROTOCOLS:
        raise UserError(
            f"Unknown protocol '{name}'.{did_you_mean(name, PROTOCOLS)} "
            f"There are {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]


def check_supported(protocol: Protocol, task: Task) -> None:
    """Refuse a task that the protocol cannot probe; reads no audio and no embeddings.

    Raises:
        UserError: naming the task, the protocol and the protocols that can, or the key of the
            task's own grid that cannot be used.
    """
    kind = task_kind(task)
    if kind == EVENT and task.prediction_type != PredictionType.MULTILABEL:
        raise UserError(
            f"{task.name}: an event task must have prediction_type 'multilabel', not "
            f"'{task.prediction_type}': no protocol supports it."
        )
    if not supports(protocol, task):
        able = [other.name for other in PROTOCOLS.values() if kind in other.kinds]
        raise UserError(
            f"{task.name}: protocol '{protocol.name}' does not support {kind} tasks. "
            f"These do: {', '.join(able)}."
        )
    if len(task.folds) > 1 and not task.folds[0].train:
        raise UserError(
            f"{task.name}: {plural(len(task.splits), 'fold leaves', 'folds leave')} none to train "
            "on, since one tests and one validates. Cross-validation needs 3 folds or more."
        )
    check_task_grid(protocol, task)
