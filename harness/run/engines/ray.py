"""The engine that runs units on a Ray cluster.

Only the names of units and the outcomes pass through Ray; embeddings, probes and results are files
in the run's folder, which all nodes share.
"""

from __future__ import annotations

from harness.core.errors import UserError
from harness.core.ray.cluster import Cluster
from harness.core.ray.pool import RayPool
from harness.run.engines.interface import Wanted
from harness.run.engines.local import cores


def start(wanted: Wanted) -> RayPool:
    """Connect to a Ray cluster, or start one on this machine.

    Raises:
        UserError: Ray is not installed, there is no such cluster, its nodes cannot be used, or it
            does not have the device.
    """
    if wanted.device not in ("auto", "cpu", "cuda"):
        raise UserError(
            f"--engine ray takes --device auto, cpu or cuda, not '{wanted.device}': Ray assigns "
            "the GPUs."
        )
    if wanted.jobs is not None and wanted.jobs < 1:
        raise UserError(f"--jobs must be 1 or more, not {wanted.jobs}.")
    cluster = Cluster(wanted.out, wanted.address, max(len(cores()), wanted.jobs or 0))
    try:
        capacity = cluster.capacity()
        gpu = wanted.device == "cuda" or (wanted.device == "auto" and capacity.gpus > 0)
        if lacking := capacity.lacks(gpu=gpu):
            raise UserError(
                f"--device {wanted.device}: the Ray cluster has no {lacking}. It has {capacity}."
            )
        return RayPool(cluster, gpu=gpu, jobs=wanted.jobs, imports="harness.run.jobs")
    except BaseException:  # also an interrupt must end the cluster
        cluster.close()
        raise
