"""Engines, which run units of work: in this process, in worker processes, or on a Ray cluster.

An engine takes a function and its arguments and returns a future. It makes no decisions, so files
and results are the same on every engine.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from harness.core.errors import UserError, did_you_mean
from harness.run.engines.interface import CallLimit, Engine, Wanted
from harness.run.engines.local import (
    InlineEngine,
    LocalEngine,
    cores,
    local_engine,
    worker_devices,
)

__all__ = [
    "CallLimit",
    "Engine",
    "InlineEngine",
    "LocalEngine",
    "Wanted",
    "check_engine",
    "cores",
    "local_engine",
    "slots_of",
    "start_engine",
    "worker_devices",
]


def check_engine(name: str, address: str) -> None:
    """Check that there is an engine of that name, and that it takes the address of a cluster.

    Raises:
        UserError: there is none, or it does not.
    """
    known = [each.name for each in pkgutil.iter_modules(__path__) if each.name != "interface"]
    if name not in known:
        raise UserError(
            f"No engine '{name}'.{did_you_mean(name, known)} There are {', '.join(known)}."
        )
    if address and name == "local":
        raise UserError("--ray-address needs --engine ray: the local engine uses this machine.")


def start_engine(name: str, wanted: Wanted) -> Engine:
    """Start the engine that the module of that name in this package defines.

    Raises:
        UserError: there is no engine of that name, or it cannot be started as wanted.
    """
    return _engine(name, wanted).start(wanted)


def slots_of(name: str, wanted: Wanted) -> int:
    """Return how many units an engine would run at the same time, without starting workers.

    Raises:
        UserError: as :func:`start_engine`.
    """
    return _engine(name, wanted).slots(wanted)


def _engine(name: str, wanted: Wanted) -> ModuleType:
    check_engine(name, wanted.address)
    return importlib.import_module(f"{__name__}.{name}")
