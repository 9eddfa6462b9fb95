"""Score a checkpoint on a few tasks during training, to see whether training makes progress."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch

from harness.core.errors import UserError
from harness.models.process_state import restored_random_states
from harness.models.spec import ModelSpec
from harness.run.engines import InlineEngine, worker_devices
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource, is_synthetic

_MODULE = "hear_byola"


class TrainingProbe:
    """Scores checkpoints on tasks, in the calling process and without changing its state.

    Random states, gradient mode and torch's number of threads are restored. The files of the probes
    are deleted after each checkpoint; the results of the audio checks are kept.

    Args:
        tasks: task directories.
        out: a folder for the probes alone; it is made if it does not exist.
        protocol: ``linear``, or ``knn``, which is faster and supports only scene tasks.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        say: receives messages about failed tasks and slow steps.

    Raises:
        UserError: there are no tasks, or a run would refuse them or the protocol (unknown protocol,
            wrong tables, bad audio). These errors are raised before training starts.
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
            raise UserError("Probing during training needs at least one task directory.")
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
        # A synthetic task keeps its whole name, which marks it as synthetic.
        short = [task.name if is_synthetic(task.name) else task.task_name for task in read]
        self._sources = {
            name if short.count(name) == 1 else task.name: source
            for name, task, source in zip(short, read, sources)
        }

    def __call__(self, checkpoint: Path) -> dict[str, float]:
        """Return each task's primary metric, by the task's name, without tasks that failed.

        A failure is reported and does not stop training.
        """
        scores = {}
        with _unchanged_process(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown before training
            for name, source in self._sources.items():
                try:
                    scores[name] = self._score(checkpoint, source)
                except Exception as error:  # no failure of a probe may stop a training
                    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                    self._say(f"the probe on {name} failed: {kind}{error}")
        return scores

    def _score(self, checkpoint: Path, source: TaskSource) -> float:
        spec = ModelSpec(_MODULE, str(checkpoint), name="probe")
        try:
            plan = make_plan(self._settings(spec, [source]))
            summary = execute(plan, InlineEngine(self._device), self._out)
        finally:
            for kind in ("embeddings", "models", "plans", "probes", "results"):
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
        # The caller may have disabled gradients, which probes need.
        with restored_random_states(), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)
