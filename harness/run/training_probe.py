"""Quick probes of a checkpoint from inside a training run: is it worth its electricity?"""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch

from harness.core.errors import UserError
from harness.models.module import ModelSpec
from harness.models.process_state import restored_random_states
from harness.run.engines import InlineEngine, worker_devices
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource, is_synthetic

_MODULE = "hear_byola"


class TrainingProbe:
    """Scores a checkpoint on tasks, in the process that calls it, and leaves no trace there.

    Random states, gradient mode and torch's threads are as they were afterwards. What the probes
    write is deleted after each checkpoint; what is known of the tasks' audio stays.

    Args:
        tasks: task directories.
        out: a folder of its own, made if need be.
        protocol: `linear`, or `knn`, which is quicker and takes scene tasks alone.
        device: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`.
        say: told of tasks that fail, and what takes its time.

    Raises:
        UserError: no tasks, or what a run with the tasks and the protocol would refuse: unknown
            protocol, wrong tables, bad audio. So it is known before training starts.
    """

    def __init__(
        self,
        tasks: Sequence[Path],
        out: Path,
        *,
        protocol: str = "linear",
        device: str = "auto",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        if not tasks:
            raise UserError("A probe while training needs a task directory.")
        self._out = out
        self._protocol = protocol
        self._device = worker_devices(device, 1)[0]
        self._say = say
        sources = [TaskSource(directory) for directory in tasks]
        with _unchanged_process():
            plan = make_plan(self._settings(ModelSpec(_MODULE, options={"seed": 0}), sources), say)
        if left_out := plan.unsupported.get(protocol):
            raise UserError(
                f"The protocol {protocol} does not support {', '.join(left_out)}. Choose another "
                "protocol for the probes, or leave the task out."
            )
        read = [source.read() for source in sources]
        # A synthetic task keeps its whole name, which says that it is.
        short = [task.name if is_synthetic(task.name) else task.task_name for task in read]
        self._sources = {
            name if short.count(name) == 1 else task.name: source
            for name, task, source in zip(short, read, sources)
        }

    def __call__(self, checkpoint: Path) -> dict[str, float]:
        """Return each task's primary metric, by the task's name, less those of tasks that failed.

        A failure is told and kills nothing: it is training that matters.
        """
        scores = {}
        with _unchanged_process(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown before training
            for name, source in self._sources.items():
                try:
                    scores[name] = self._score(checkpoint, source)
                except Exception as error:
                    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                    self._say(f"the probe on {name} failed: {kind}{error}")
        return scores

    def _score(self, checkpoint: Path, source: TaskSource) -> float:
        spec = ModelSpec(_MODULE, str(checkpoint), name="probe")
        try:
            plan = make_plan(self._settings(spec, [source]))
            summary = execute(plan, InlineEngine(self._device), self._out)
        finally:
            for kind in ("embeddings", "models", "probes", "results"):
                shutil.rmtree(self._out / kind, ignore_errors=True)
        for _, error in summary.failures:
            raise UserError(error)
        table = summary.table
        value = table[table.is_primary & (table.split == "all")].value.item()
        if pd.isna(value):
            raise UserError("its metric is undefined on the test split.")
        return float(value)

    def _settings(self, spec: ModelSpec, sources: Sequence[TaskSource]) -> Settings:
        return Settings((spec,), tuple(sources), (self._protocol,), out=self._out)


@contextlib.contextmanager
def _unchanged_process() -> Iterator[None]:
    threads = torch.get_num_threads()
    try:
        # Whoever calls may be in a mode in which no probe can be trained.
        with restored_random_states(), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)
