"""The progress of one evaluation, read from the disk, and the jobs that can be done next."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness import probe
from harness.core.errors import Damaged, UserError, going_on
from harness.core.files import write_file
from harness.probe import Judged, ProbeUnit, UnitResult
from harness.results import check_evaluation, write_result
from harness.results.row import RunInfo
from harness.run import jobs
from harness.run.engines import CallLimit
from harness.run.folder import failure_of, remove_damaged
from harness.run.listener import Listener
from harness.run.rows import failure_row
from harness.run.units import EmbeddingUnit, Evaluation
from tasks.format.task import Task


@dataclass(frozen=True)
class Run:
    """The parts that all evaluations of :func:`harness.run.execute.execute` share.

    Attributes:
        out: the run's folder.
        info: the fields of the run in its result rows.
        listener: receives the run's events.
        embed_only: stop when the embeddings are made.
        unit_timeout: seconds that a model may take without finishing a call; None: see
            :class:`CallLimit`.
        idle_limit: seconds for which other processes may hold all unfinished units before the run
            ends; None waits until all is done.
    """

    out: Path
    info: RunInfo
    listener: Listener
    embed_only: bool = False
    unit_timeout: float | None = None
    idle_limit: float | None = None

    @property
    def limit(self) -> CallLimit:
        """The longest time of a call of a model."""
        return CallLimit(self.unit_timeout)


@dataclass(frozen=True)
class Job:
    """A unit of work for a worker.

    Attributes:
        key: the directory that exists when the job is done.
        name: for messages.
        subject: what its errors are about, below the name of an evaluation that needs it; empty if
            it is that evaluation.
        function: of :mod:`harness.run.jobs`.
        arguments: of the function, without the device.
        finished: to be called when a worker of this run has done the job.
        part: directory of the part of the run that the job belongs to: a split or an evaluation.
        part_name: for the display.
        share: amount of the part's work (:meth:`harness.run.estimate.Estimate.took`).
        model: fingerprint of the model whose code the job calls; empty if it calls none.
    """

    key: Path
    name: str
    subject: str
    function: Callable[..., jobs.Outcome]
    arguments: tuple
    finished: Callable[[], None]
    part: Path
    part_name: str
    share: float = 0.0
    model: str = ""

    def error(self, text: str) -> str:
        """Return the error of an evaluation that needs the job."""
        return f"{self.subject}: {text}" if self.subject else text


class Progress:
    """The progress of one evaluation of a run.

    Attributes:
        evaluation: the evaluation.
        failed: whether it failed in this run.
    """

    def __init__(self, evaluation: Evaluation, run: Run) -> None:
        self.evaluation = evaluation
        self.failed = False
        self._run = run
        self._protocol = probe.find_protocol(evaluation.protocol)
        self._task: Task | None = None
        self._done: dict[ProbeUnit, Judged] = {}
        if evaluation.directory.is_dir():
            self._redo_if_damaged()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        if self.evaluation.directory.is_dir():
            # Another process has finished an evaluation that failed in an earlier run.
            shutil.rmtree(self.evaluation.failure, ignore_errors=True)
            return True
        return self.failed

    def _redo_if_damaged(self) -> None:
        try:
            check_evaluation(self.evaluation.directory)
        except Damaged as error:
            if remove_damaged(error):
                self._run.listener.say(
                    f"{error.folder} is damaged ({error.reason}): it is made again"
                )

    def next_jobs(self) -> list[Job]:
        """Return the jobs that can be done now, the longest first.

        Raises:
            Damaged: the files of a finished probe are damaged.
        """
        missing = self.evaluation.embeddings.missing()
        if missing:
            ready = [job for unit in missing for job in self._embedding_jobs(unit)]
            return sorted(ready, key=lambda job: job.share, reverse=True)
        if self._run.embed_only:
            return []
        units = self._next_probes()
        return [self._probe_job(unit) for unit in units] if units else [self._score_job()]

    def give_up(self, error: str) -> str:
        """Write the error as the evaluation's result, or beside its splits; return its name."""
        self.failed = True
        evaluation, run = self.evaluation, self._run
        if run.embed_only:
            with going_on(run.listener.say):
                for unit in evaluation.embeddings.missing():
                    write_file(failure_of(unit.directory), error)
            return f"{evaluation.model.label} · {evaluation.task_name}"
        # The table lacks the row if it cannot be written, or if the task itself has become invalid.
        with going_on(run.listener.say), contextlib.suppress(UserError):
            row = failure_row(evaluation, run.info, self._read_task(), error)
            write_result(evaluation.failure, [row])
        return evaluation.name

    def _read_task(self) -> Task:
        if self._task is None:
            self._task = self.evaluation.embeddings.task()
        return self._task

    def _next_probes(self) -> list[ProbeUnit]:
        """Return the probes that can be trained now; none if all are done."""
        evaluation = self.evaluation
        while True:
            units = probe.next_units(self._protocol, self._read_task(), self._done)
            fresh = [u for u in units if evaluation.probe_directory(u).is_dir()]
            if not fresh:
                return units
            for unit in fresh:
                # The rest is not kept: a run can have many thousands of probes.
                self._done[unit] = UnitResult.from_files(evaluation.probe_directory(unit)).judged

    def _embedding_jobs(self, unit: EmbeddingUnit) -> list[Job]:
        """Return the missing chunks of a split; the split itself once they are done."""
        name = f"{unit.spec.label} · {unit.source.directory.name} · embedding of {unit.split}"
        whole = Job(
            key=unit.directory,
            name=name,
            subject=name,
            function=jobs.embed,
            arguments=(self._run.out, unit),
            finished=partial(self._run.listener.embedded, unit),
            part=unit.directory,
            part_name=name,
            share=0.0 if unit.chunks else unit.seconds,
            model=unit.model_fingerprint,
        )
        alone = replace(unit, chunks=())
        parts = [
            replace(
                whole,
                key=chunk.directory,
                function=jobs.embed_part,
                arguments=(self._run.out, alone, chunk),
                finished=lambda: None,
                share=chunk.seconds,
            )
            for chunk in unit.chunks
            if not chunk.directory.is_dir()
        ]
        return parts or [whole]

    def _probe_job(self, unit: ProbeUnit) -> Job:
        evaluation = self.evaluation
        subject = f"probe of fold {unit.fold} {dict(unit.point)}"
        return Job(
            key=evaluation.probe_directory(unit),
            name=f"{evaluation.name} · {subject}",
            subject=subject,
            function=jobs.run_probe,
            arguments=(evaluation, unit),
            finished=partial(self._run.listener.probed, evaluation),
            part=evaluation.directory,
            part_name=evaluation.name,
            share=1.0,
        )

    def _score_job(self) -> Job:
        evaluation = self.evaluation
        selected = probe.selected_units(self._protocol, self._read_task(), self._done)
        return Job(
            key=evaluation.directory,
            name=evaluation.name,
            subject="",
            function=jobs.score,
            arguments=(evaluation, selected, self._run.info),
            finished=partial(self._run.listener.scored, evaluation),
            part=evaluation.directory,
            part_name=evaluation.name,
        )
