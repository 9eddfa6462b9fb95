"""All protocols by name, found in the modules of :mod:`harness.probe.protocols`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.core.discovery import defined_in
from harness.core.errors import UserError, did_you_mean
from harness.probe import protocols
from harness.probe.grid import check_task_grid
from harness.probe.protocol import Protocol, supports, task_kind
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
    if not supports(protocol, task):
        kind = task_kind(task)
        able = [other.name for other in PROTOCOLS.values() if kind in other.kinds]
        raise UserError(
            f"{task.name}: protocol '{protocol.name}' does not support {kind} tasks. "
            f"These do: {', '.join(able)}."
        )
    check_task_grid(protocol, task)
