"""Submit the unfinished jobs of a plan to an engine until none is left.

The finished jobs are read from the disk, so a stopped run can be resumed, and several processes can
work in one folder.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from harness.core.calls import WorkerDied, WorkerStuck
from harness.core.errors import Damaged, UserError, disk_fault, going_on, printable, text_of
from harness.core.files import write_file
from harness.core.hashing import sha256_of
from harness.core.lease import claim_on, is_held
from harness.run import jobs
from harness.run.engines import Engine
from harness.run.folder import clean, refuse_unwritable, remove_damaged
from harness.run.forecast import forecast
from harness.run.order import longest_first
from harness.run.planned import announced, describe
from harness.run.printed import printed_by
from harness.run.progress import Job, Progress, Run
from harness.run.units import Evaluation

_POLL = 1.0
"""Seconds before a job that another process has claimed is looked at again."""

_QUIET_POLLS = 3
"""Number of idle polls before reporting that another process holds a job."""

_MAX_DEATHS = 2
"""A job fails if its worker dies this often. If the first death can be caused by other jobs' use of
memory, the second attempt runs alone."""


class Scheduler:
    """Does the jobs of a plan."""

    def __init__(self, plan: Sequence[Evaluation], engine: Engine, run: Run) -> None:
        self._failures: dict[Path, tuple[str, str]] = {}
        self._in_plan = [evaluation.directory for evaluation in plan]
        self._engine = engine
        self._run = run
        self._evaluations = [Progress(evaluation, run) for evaluation in plan]
        self._errors: dict[Path, str] = {}
        self._in_flight: dict[Future, Job] = {}
        self._elsewhere: dict[Path, float] = {}
        self._idle_polls: Counter[Path] = Counter()
        self._deaths: Counter[Path] = Counter()
        self._alone: list[Job] = []
        self._redone: set[tuple[Path, Path]] = set()
        self._left, self._estimate_again = "", 0.0

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(Name, error) of each evaluation that failed, in the order of the plan."""
        return [self._failures[each] for each in self._in_plan if each in self._failures]

    def work(self) -> None:
        """Do everything that can be done.

        Raises:
            UnwritableError: the run's folder cannot be written.
        """
        unfinished = [each.evaluation for each in self._evaluations if not each.over]
        embeddings = {unit.directory for e in unfinished for unit in e.embeddings.missing()}
        if self._run.embed_only:
            unfinished = []
        self._run.listener.planned(len(embeddings), len(unfinished))
        if not embeddings and not unfinished:
            return
        refuse_unwritable(self._run.out)
        clean(self._run.out)
        out, slots = self._run.out, self._engine.slots
        planned = describe(
            [each.evaluation for each in self._evaluations],
            out,
            self._run.info.command,
            embed_only=self._run.embed_only,
        )
        splits = [split for split in planned.splits if out / split.folder in embeddings]
        evaluations = () if self._run.embed_only else planned.evaluations
        self._estimate = forecast(splits, evaluations, out, slots)
        ordered = longest_first(planned, self._estimate, out)
        places = {out / each.folder: place for place, each in enumerate(ordered)}
        self._evaluations.sort(key=lambda each: places[each.evaluation.directory])
        self._last_unit = time.monotonic()
        with announced(planned, out, slots):
            self._work()

    def _work(self) -> None:
        while True:
            waiting = self._submit()
            if self._in_flight:
                self._report_work()
                self._settle(wait(self._in_flight, return_when=FIRST_COMPLETED).done)
            elif waiting and not self._idle_too_long():
                self._report_holders(waiting)
                time.sleep(_POLL)
            else:
                return

    def _idle_too_long(self) -> bool:
        """Return whether other processes have held all units for too long; say so."""
        limit = self._run.idle_limit
        if limit is None or time.monotonic() - self._last_unit < limit:
            return False
        self._run.listener.say("other processes do what is left")
        return True

    def _submit(self) -> list[Job]:
        """Fill the engine; return the jobs that other processes have claimed."""
        if self._alone:
            if not self._in_flight:
                self._start(self._alone.pop(0))
            return []
        taken = self._in_flight_keys()
        waiting = []
        for job in self._ready():
            if len(self._in_flight) >= self._engine.window:
                break
            if job.key in taken:
                continue
            if self._is_elsewhere(job):
                waiting.append(job)
                continue
            taken.add(job.key)
            self._start(job)
        return waiting

    def _is_elsewhere(self, job: Job) -> bool:
        """Return whether another process holds a job; look every second.

        A worker would also find out, but before that it could load another model for the job.
        """
        now = time.monotonic()
        if now >= self._elsewhere.get(job.key, 0.0) and is_held(job.key):
            self._elsewhere[job.key] = now + _POLL
        return now < self._elsewhere.get(job.key, 0.0)

    def _start(self, job: Job) -> None:
        self._report_work(job)
        future = self._engine.submit(
            jobs.timed,
            job.function,
            *job.arguments,
            isolate=job.model,
            limit=self._run.limit if job.model else None,
        )
        self._in_flight[future] = job

    def _ready(self) -> Iterator[Job]:
        """Yield the jobs that can be done now; give up evaluations with a failed job."""
        for progress in list(self._evaluations):
            if progress.over:
                self._evaluations.remove(progress)  # and all that it has read
                continue
            try:
                ready = self._next_jobs(progress)
            except UserError as error:
                self._give_up(progress, str(error))
                continue
            failed = [place for place, job in enumerate(ready) if job.key in self._errors]
            if not failed:
                yield from ready
            # Of failed jobs that ran at the same time the first is reported, whichever ended first.
            elif self._in_flight_keys().isdisjoint(job.key for job in ready[: failed[0]]):
                self._give_up(progress, self._errors[ready[failed[0]].key])

    def _in_flight_keys(self) -> set[Path]:
        return {job.key for job in self._in_flight.values()}

    def _next_jobs(self, progress: Progress) -> list[Job]:
        while True:
            try:
                return progress.next_jobs()
            except Damaged as error:
                if not self._redoes(error, progress.evaluation.directory):
                    raise

    def _redoes(self, error: Damaged, unit: Path) -> bool:
        """Remove a damaged folder of the run, so that it is made again; not twice for one unit."""
        if self._run.out not in error.folder.parents or (unit, error.folder) in self._redone:
            return False
        if remove_damaged(error):
            self._run.listener.say(f"{error.folder} is damaged ({error.reason}): it is made again")
        self._redone.add((unit, error.folder))
        return True

    def _give_up(self, progress: Progress, error: str) -> None:
        name = progress.give_up(error)
        self._failures[progress.evaluation.directory] = (name, error)
        self._run.listener.failed(name, error)

    def _settle(self, finished: Iterable[Future]) -> None:
        """Record the outcome of finished jobs."""
        for future in finished:
            job = self._in_flight.pop(future)
            error = future.exception()
            if isinstance(error, WorkerDied):
                if job.key.is_dir():  # it died after it had stored its unit
                    self._finish(job)
                else:
                    self._count_death(job, error)
                continue
            self._deaths.pop(job.key, None)
            if isinstance(error, Damaged) and self._redoes(error, job.key):
                continue
            if error is not None:
                self._fail(job, self._explain(job, error))
                continue
            outcome, seconds = future.result()
            if outcome == jobs.Outcome.OPEN:
                self._elsewhere[job.key] = time.monotonic() + _POLL
                continue
            if outcome == jobs.Outcome.DONE:
                self._finish(job, seconds)
            else:
                self._count_finished(job)

    def _finish(self, job: Job, seconds: float | None = None) -> None:
        """Count and report a job that a worker of this run has done."""
        self._count_finished(job, seconds)
        job.finished()

    def _count_finished(self, job: Job, seconds: float | None = None) -> None:
        self._last_unit = time.monotonic()
        self._estimate.took(job.part, seconds, whole=job.key == job.part, share=job.share)

    def _count_death(self, job: Job, error: WorkerDied) -> None:
        self._deaths[job.key] += 1
        if self._deaths[job.key] < _MAX_DEATHS:
            if error.memory_was_shared:
                self._alone.append(job)
            again = "once more, alone" if error.memory_was_shared else "once more"
            self._run.listener.say(
                f"{job.name}: its worker process {error}; the unit is tried {again}"
            )
            return
        del self._deaths[job.key]
        text = f"its worker process died {_MAX_DEATHS} times; the last one {error}."
        self._fail(job, job.error(f"{text} {error.advice}".rstrip()))

    def _fail(self, job: Job, text: str) -> None:
        printed = printed_by(job.key)
        self._errors[job.key] = f"{text}\nWhat it printed is in {printed}." if printed else text

    def _explain(self, job: Job, error: BaseException) -> str:
        """Return an error in words; write the traceback of an unexpected error to a file."""
        if isinstance(error, UserError):
            return printable(str(error))
        if isinstance(error, WorkerStuck):
            return job.error(f"{error}. If the model needs more time, use --unit-timeout.")
        if isinstance(error, OSError) and (fault := disk_fault(error)):
            return job.error(fault)
        trace = self._run.out / "errors" / f"{sha256_of(str(job.key))[:16]}.txt"
        text = job.error(text_of(error))
        with going_on(self._run.listener.say):
            write_file(trace, "".join(traceback.format_exception(error)))
            text += f" (traceback in {trace})"
        return text

    def _report_work(self, *further: Job) -> None:
        # Workers take jobs in the order in which they were submitted.
        running = [job for future, job in self._in_flight.items() if not future.done()]
        now = [*running, *further][: self._engine.slots]
        began = time.monotonic()
        if began >= self._estimate_again:  # it reads all parts, and gets a twentieth of the time
            self._left = self._estimate.left()
            ended = time.monotonic()
            self._estimate_again = ended + 20 * (ended - began)
        self._run.listener.working([(job.part_name, job.key) for job in now], self._left)

    def _report_holders(self, waiting: Iterable[Job]) -> None:
        for job in waiting:
            self._idle_polls[job.key] += 1
            claim = claim_on(job.key) if self._idle_polls[job.key] == _QUIET_POLLS else ""
            if claim:
                self._run.listener.say(f"waiting for {job.name}, {claim}")
