"""Run the trainings of a study as tasks of a Ray cluster, one at a time on each device.

A task runs a training as a study on its machine does (:mod:`harness.ablation.trainings`), in a
process of its own, with its claim, its log and its record in the training's folder.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from harness.ablation.trainings import Pretrain, Say, Training, train
from harness.core.calls import returned
from harness.core.errors import text_of
from harness.core.ray import remote
from harness.core.ray.pool import RayPool

_STARTS = 3
"""Most starts of a training whose node or worker died; the same command resumes it, too."""

_LOOK_EVERY = 1.0  # seconds


def train_on_ray(
    trainings: Sequence[Training],
    pretrain: Pretrain,
    say: Say,
    engine: RayPool,
    jobs: int | None,
) -> dict[Training, str]:
    """Run all trainings; return the errors of those that failed.

    A failed training does not stop the others. A training whose node or worker dies resumes on
    another one.

    Args:
        trainings: the trainings.
        pretrain: trains on a device; nodes must be able to import it.
        say: gets lines on the progress.
        engine: the cluster's engine, which runs nothing else at the same time.
        jobs: number of trainings at a time; None for one per GPU, or without GPUs one per node.
    """
    ray = engine.cluster.ray
    at_once, needs = _shares(engine, jobs)
    waiting = deque(trainings)
    running: dict[Any, Training] = {}
    starts: Counter[Training] = Counter()
    failures: dict[Training, str] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            training = waiting.popleft()
            starts[training] += 1
            running[_start(training, pretrain, engine, needs)] = training
        ready, _ = ray.wait([*running], num_returns=1, timeout=_LOOK_EVERY)
        for lines in ready:
            training = running[lines]
            try:
                line, outcome = ray.get(next(lines))
                if not outcome:
                    say(line)
                    continue
                error = returned(outcome)
            except Exception as fault:  # one failed training must not stop the others
                error = text_of(fault).splitlines()[0]
                if isinstance(fault, ray.exceptions.RayError) and starts[training] < _STARTS:
                    say(f"{training.name}: its worker was lost ({error}); it is started again")
                    waiting.append(training)
                    error = ""
                else:
                    say(f"FAILED    {training.name}: {error}")
            del running[lines]
            if error:
                failures[training] = error
    return failures


def train_here(training: Training, pretrain: Pretrain, device: str, *, say: Say) -> str:
    """Run a training on this machine; return its error, empty if it has none."""
    (error,) = train([training], pretrain, say, [device]).values() or ("",)
    return error


def _shares(engine: RayPool, jobs: int | None) -> tuple[int, dict[str, int]]:
    """Return the number of trainings at a time, and what each needs of its node."""
    capacity = engine.cluster.capacity()
    if engine.gpu:
        return min(jobs or capacity.gpus, capacity.gpus), {"num_gpus": 1, "num_cpus": 1}
    at_once = jobs or capacity.nodes
    return at_once, {"num_cpus": max(1, min(capacity.cpus // at_once, capacity.smallest))}


def _start(training: Training, pretrain: Pretrain, engine: RayPool, needs: dict[str, int]) -> Any:
    device = "cuda:0" if engine.gpu else "cpu"
    call = pickle.dumps((train_here, (training, pretrain, device)))
    task = engine.cluster.task(remote.run_aloud, num_returns="streaming", **needs)
    return task.remote(engine.cluster.place, call)
