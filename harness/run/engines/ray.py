"""The engine that runs units on a Ray cluster.

Only the names of units and the outcomes pass through Ray; embeddings, probes and results are files
in the run's folder, which all nodes share.
"""

from __future__ import annotations

from contextlib import closing

from harness.core.errors import UserError
from harness.core.ray.cluster import Capacity, Cluster, import_ray
from harness.core.ray.pool import RayPool
from harness.run.engines.interface import Wanted
from harness.run.engines.local import cores


def slots(wanted: Wanted) -> int:
    """Return the number of units that would run at the same time.

    It connects to a running cluster, and starts none.

    Raises:
        UserError: see :func:`start`.
    """
    _check(wanted)
    if wanted.address:
        with closing(_cluster(wanted)) as cluster:
            capacity = cluster.capacity()
    else:
        import torch

        import_ray()
        cpus = _cpus(wanted)
        capacity = Capacity(nodes=1, cpus=cpus, gpus=torch.cuda.device_count(), smallest=cpus)
    return capacity.slots(gpu=_uses_gpus(wanted, capacity), jobs=wanted.jobs)


def start(wanted: Wanted) -> RayPool:
    """Connect to a Ray cluster, or start one on this machine.

    Raises:
        UserError: Ray is not installed, there is no such cluster, its nodes cannot be used, or it
            does not have the device.
    """
    _check(wanted)
    cluster = _cluster(wanted)
    try:
        gpu = _uses_gpus(wanted, cluster.capacity())
        return RayPool(
            cluster, gpu=gpu, jobs=wanted.jobs, imports="harness.run.jobs", say=wanted.say
        )
    except BaseException:  # also an interrupt must end the cluster
        cluster.close()
        raise


def _check(wanted: Wanted) -> None:
    if wanted.device not in ("auto", "cpu", "cuda"):
        raise UserError(
            f"--engine ray takes --device auto, cpu or cuda, not '{wanted.device}': Ray assigns "
            "the GPUs."
        )
    if wanted.jobs is not None and wanted.jobs < 1:
        raise UserError(f"--jobs must be 1 or more, not {wanted.jobs}.")


def _cluster(wanted: Wanted) -> Cluster:
    return Cluster(wanted.out, wanted.address, _cpus(wanted))


def _cpus(wanted: Wanted) -> int:
    """Return the number of CPUs of a cluster that is started here."""
    return max(len(cores()), wanted.jobs or 0)


def _uses_gpus(wanted: Wanted, capacity: Capacity) -> bool:
    gpu = wanted.device == "cuda" or (wanted.device == "auto" and capacity.gpus > 0)
    if lacking := capacity.lacks(gpu=gpu):
        raise UserError(
            f"--device {wanted.device}: the Ray cluster has no {lacking}. It has {capacity}."
        )
    return gpu
