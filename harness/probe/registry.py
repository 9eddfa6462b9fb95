"""All protocols by name, found in the modules of :mod:`harness.probe.protocols`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.core.counts import plural
from harness.core.discovery import defined_in
from harness.core.errors import UserError, did_you_mean
from harness.probe import protocols
from harness.probe.grid import check_task_grid
from harness.probe.protocol import Protocol, few_shot, name_and_shots, supports, task_kind
from tasks.format.task import Task

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(defined_in(protocols, Protocol))


def find_protocol(name: str) -> Protocol:
    """Return the protocol of this name, also a few-shot one.

    Raises:
        UserError: there is none.
    """
    base, shots = name_and_shots(name)
    if base not in PROTOCOLS:
        raise UserError(
            f"Unknown protocol '{name}'.{did_you_mean(base, PROTOCOLS)} "
            f"There are {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[base] if shots is None else few_shot(PROTOCOLS[base], shots)


def check_supported(protocol: Protocol, task: Task) -> None:
    """Refuse a task that the protocol cannot probe; reads no audio and no embeddings.

    Raises:
        UserError: naming the task, the protocol and the protocols that can, or the key of the
            task's own grid that cannot be used.
    """
    kind = task_kind(task)
    if kind not in protocol.kinds:
        able = [other.name for other in PROTOCOLS.values() if kind in other.kinds]
        raise UserError(
            f"{task.name}: protocol '{protocol.name}' does not support {kind} tasks. "
            f"These do: {', '.join(able)}."
        )
    if not supports(protocol, task):
        raise UserError(
            f"{task.name}: {plural(protocol.shots or 0, 'shot')} of each label are the whole "
            "training split, so there is nothing to draw. Use fewer shots, or `all`."
        )
    check_task_grid(protocol, task)
