"""Connect to a Ray cluster, or start one on this machine, and check that its nodes can be used."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.counts import plural
from harness.core.errors import UserError, text_of
from harness.core.ray import remote
from harness.core.ray.versions import versions
from hear_byola.core.owner import temporary_beside

_STORE = 100_000_000
"""Bytes of the object store of a cluster that is started here; the smallest is 75 MB. Only
identifiers pass through it."""

_CONNECT_WITHIN = 10.0  # seconds

_ANSWER_WITHIN = 60.0
"""Seconds that a node has to answer, in which it starts a process."""


@dataclass(frozen=True)
class Capacity:
    """What a cluster has: nodes with a CPU, their CPUs and GPUs, the CPUs of the smallest node."""

    nodes: int
    cpus: int
    gpus: int
    smallest: int

    def lacks(self, *, gpu: bool) -> str:
        """Return the kind of device that is needed and is not there; empty if all are there."""
        if not self.cpus:
            return "CPU"
        return "GPU" if gpu and not self.gpus else ""

    def actors(self, *, gpu: bool, jobs: int | None) -> int:
        """Return how many models run at the same time; ``jobs`` is the most that is wanted."""
        most = self.gpus if gpu else self.cpus
        return min(jobs or most, most) or 1

    def tasks(self, *, gpu: bool, jobs: int | None) -> int:
        """Return how many plain calls run at the same time; ``jobs`` is the most that is wanted."""
        actors = self.actors(gpu=gpu, jobs=jobs)
        if not gpu:
            return actors
        most = max(1, self.cpus - actors)
        return min(jobs or most, most)

    def slots(self, *, gpu: bool, jobs: int | None) -> int:
        """Return how many calls of one kind run at the same time."""
        return max(self.actors(gpu=gpu, jobs=jobs), self.tasks(gpu=gpu, jobs=jobs))

    def __str__(self) -> str:
        return ", ".join(
            [plural(self.nodes, "node"), plural(self.cpus, "CPU"), plural(self.gpus, "GPU")]
        )


class Cluster:
    """The connection of this process to a Ray cluster.

    Args:
        out: the run's folder, which all nodes must see. It is made.
        address: of a running cluster as ``ray.init`` takes it, for example ``auto``; empty to start
            a cluster on this machine, which :meth:`close` ends.
        cpus: number of CPUs of a cluster that is started here.

    Attributes:
        place: where calls run on the nodes.

    Raises:
        UserError: Ray is not installed, there is no such cluster, or some of its nodes lack the
            folder or have other versions.
    """

    def __init__(self, out: Path, address: str, cpus: int) -> None:
        self.ray = import_ray()
        self._made = [each for each in (out, *out.parents) if not each.is_dir()]
        out.mkdir(parents=True, exist_ok=True)
        self._marker = temporary_beside(out.resolve() / "ray")
        self._marker.touch()
        self.place: remote.Place = {
            "directory": os.getcwd(),
            "path": [entry for entry in sys.path if isinstance(entry, str)],
            "marker": str(self._marker),
        }
        try:
            self._connect(address, cpus)
            if address:
                self._check_nodes()
        except BaseException:  # also an interrupt must end the connection
            self.close()
            raise

    def close(self) -> None:
        """End the connection, with it all calls, and the cluster if it was started here."""
        with _signals_kept():
            self.ray.shutdown()
        with contextlib.suppress(OSError):
            self._marker.unlink(missing_ok=True)
            for folder in self._made:  # if nothing was written to them
                folder.rmdir()

    def capacity(self) -> Capacity:
        """Return what the cluster has now."""
        nodes = [node["Resources"] for node in self._nodes()]
        cpus = [int(node["CPU"]) for node in nodes]
        gpus = sum(int(node.get("GPU", 0)) for node in nodes)
        return Capacity(len(cpus), sum(cpus), gpus, min(cpus, default=0))

    def free(self) -> str:
        """Return in words what nobody uses now."""
        free = self.ray.available_resources()
        cpus, gpus = int(free.get("CPU", 0)), int(free.get("GPU", 0))
        return f"{plural(cpus, 'CPU')} and {plural(gpus, 'GPU')}"

    def last_start(self) -> int:
        """Return the time of the last start of a call, by the clock of its node; 0 if unknown."""
        # Opening the file makes network file systems look at it again.
        with contextlib.suppress(OSError), self._marker.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
        return 0

    def task(self, function: Callable, **options: object) -> Any:
        """Return a function of :mod:`harness.core.ray.remote` as a Ray task that is not retried."""
        return self.ray.remote(function).options(max_retries=0, **options)

    def actor(self, kind: type, **options: object) -> Any:
        """Return a class of :mod:`harness.core.ray.remote` as a Ray actor that is not restarted."""
        return self.ray.remote(kind).options(max_restarts=0, max_task_retries=0, **options)

    def _connect(self, address: str, cpus: int) -> None:
        if "://" in address:
            raise UserError(
                f"--ray-address {address}: Ray's clients are not supported. Start the command on a "
                "machine of the cluster, with --ray-address auto or HOST:PORT."
            )
        host, _, port = address.rpartition(":")
        if host and port.isdigit():  # Ray itself waits for minutes
            try:
                socket.create_connection((host, int(port)), _CONNECT_WITHIN).close()
            except OSError as error:
                raise UserError(
                    f"--ray-address {address}: nothing answers there ({error}). Name the address "
                    "that `ray start --head` printed, or auto."
                ) from error
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        started = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE}
        try:
            with _signals_kept():
                self.ray.init(address or "local", **quiet, **({} if address else started))
        except Exception as error:  # Ray raises errors of many kinds
            if not address:
                raise UserError(f"Ray could not be started: {text_of(error)}") from error
            raise UserError(
                f"--ray-address {address}: {text_of(error)}\nStart the command on a machine of the "
                "cluster, where `ray start` ran."
            ) from error
        self.ray.cloudpickle.register_pickle_by_value(remote)

    def _nodes(self) -> list[Mapping[str, Any]]:
        """Return the nodes on which calls can run."""
        return [node for node in self.ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]

    def _check_nodes(self) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        answers = {}
        for node in self._nodes():
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = self.task(remote.report, num_cpus=0, scheduling_strategy=there)
            answers[task.remote(self.place)] = node["NodeManagerHostname"]
        _, late = self.ray.wait([*answers], num_returns=len(answers), timeout=_ANSWER_WITHIN)
        ours, faults = versions(), []
        for answer, host in answers.items():
            fault = f"it did not answer in {_ANSWER_WITHIN:.0f} s"
            if answer not in late:
                try:
                    fault = _fault(self.ray.get(answer), ours)
                except Exception as error:  # of a node that fails in any way
                    fault = text_of(error)
            if fault:
                faults.append(f"  {host}: {fault}")
        if faults:
            raise UserError(
                "\n".join(["Nodes of the Ray cluster cannot be used:", *sorted(set(faults))])
                + "\nAll nodes must see the same folders, and have the same installation."
            )


def _fault(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    if fault := theirs.get("fault"):
        return fault
    return "; ".join(
        f"it has {name} {theirs[name]}, and the driver {ours[name]}"
        for name in ours
        if theirs[name] != ours[name]
    )


def import_ray() -> Any:
    """Import Ray, and keep its messages off the terminal.

    Raises:
        UserError: it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_worker_niceness", "0")  # as our workers; Ray's default is 15
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning without GPUs
    try:
        import ray
    except ImportError as error:
        raise UserError("--engine ray needs Ray: pip install 'hear-byola[ray]'.") from error
    # Ray prints the death of each worker to standard output; we report it in our own words.
    with contextlib.suppress(ImportError):  # private: another version can lack it
        import ray._private.worker

        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    return ray


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the handlers of signals that Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
