"""The scheduler: gives an engine what a plan still lacks, until nothing is left.

It keeps no state of its own that matters: what is done is read off the disk, so a run that was
stopped goes on where it was, and several runs may share a folder.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from harness import probe
from harness.core.errors import UserError, disk_fault, going_on
from harness.core.files import write_file
from harness.core.hashing import sha256_of
from harness.core.lease import claim_on
from harness.embeddings.heareval import write_layout
from harness.models.module import folder_name
from harness.probe import ProbeUnit, UnitResult
from harness.results import find_evaluations, read_results, write_csv, write_result
from harness.run import jobs
from harness.run.engines import Engine
from harness.run.estimate import Estimate
from harness.run.folder import refuse_unwritable
from harness.run.plan import EmbeddingUnit, Evaluation
from harness.run.rows import Origin, failure_row
from tasks.format.task import Task

# How long to leave a unit alone that another process is working on, in seconds.
_POLL = 1.0

# What others do in a moment is not worth a word: this many polls with nothing else to do are.
_QUIET_POLLS = 3

# A worker's death may be its neighbour's fault (memory); the second one, alone, is its own.
_MAX_DEATHS = 2


class Listener:
    """Told how a run goes; this one says nothing."""

    def say(self, text: str) -> None:
        """Something that the user should know, in words."""

    def planned(self, embeddings: int, evaluations: int) -> None:
        """How many units are not done yet, before work starts."""

    def working(self, units: Sequence[tuple[str, Path]], left: str) -> None:
        """What is being worked on now: names and :func:`harness.run.pulse.pulse_of` keys.

        ``left`` is the time left in words, empty where it is not known.
        """

    def embedded(self, unit: EmbeddingUnit) -> None:
        """A split was embedded."""

    def probed(self, evaluation: Evaluation) -> None:
        """A probe was trained."""

    def scored(self, evaluation: Evaluation) -> None:
        """An evaluation was scored."""

    def failed(self, name: str, error: str) -> None:
        """A unit failed; the others go on."""


@dataclass(frozen=True)
class Summary:
    """How a run ended: the rows of its own evaluations, and (name, error) of what failed."""

    table: pd.DataFrame
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Job:
    key: Path
    name: str
    function: Callable[..., bool]
    arguments: tuple
    finished: Callable[[], None]
    part: Path
    part_name: str
    share: float = 0.0


def execute(
    plan: Sequence[Evaluation],
    engine: Engine,
    out: Path,
    command: str = "",
    listener: Listener | None = None,
    *,
    embed_only: bool = False,
) -> Summary:
    """Do all that a plan lacks and rebuild ``results.csv`` from every result in ``out``.

    A unit that fails stops what stands on it and nothing else. With ``embed_only`` nothing is
    probed and the CSV is left alone.
    """
    listener = listener or Listener()
    scheduler = _Scheduler(plan, engine, out, command, listener, embed_only)
    finished = False
    try:
        scheduler.work()
        finished = True
    finally:
        engine.close(kill=not finished)
        if not embed_only:
            # An unfinished run ends with the error that stopped it.
            with going_on(listener.say) if finished else contextlib.suppress(OSError):
                _write_table(out)
    ours = [place for e in plan for place in (e.directory, e.failure) if place.is_dir()]
    return Summary(read_results(ours), tuple(scheduler.failures))


def _write_table(out: Path) -> None:
    """Write ``results.csv``, again where another process finished something meanwhile.

    Of two that end at once one would else write over the other's last rows.
    """
    written = None
    while (found := find_evaluations(out)) != written:
        write_csv(read_results(found), out / "results.csv")
        written = found


class _Progress:
    """How far one evaluation is, read off the disk."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.protocol = probe.PROTOCOLS[evaluation.protocol]
        self.failed = False
        self._task: Task | None = None
        self._done: dict[ProbeUnit, UnitResult] = {}

    @property
    def task(self) -> Task:
        if self._task is None:
            self._task = self.evaluation.embeddings.task()
        return self._task

    @property
    def over(self) -> bool:
        if self.evaluation.directory.is_dir():
            # What another run could not do, a third may have done.
            shutil.rmtree(self.evaluation.failure, ignore_errors=True)
            return True
        return self.failed

    def next_probes(self) -> list[ProbeUnit]:
        """Return the probes that may be trained now; none when all are done."""
        while True:
            units = probe.next_units(self.protocol, self.task, self._done)
            fresh = [u for u in units if self.evaluation.probe_directory(u).is_dir()]
            if not fresh:
                return units
            for unit in fresh:
                result = UnitResult.from_files(self.evaluation.probe_directory(unit))
                # What comes next depends on validation scores alone.
                self._done[unit] = replace(result, probabilities=np.empty((0, 0), np.float32))

    def selected(self) -> list[list[ProbeUnit]]:
        return probe.selected_units(self.protocol, self.task, self._done)


class _Scheduler:
    def __init__(
        self,
        plan: Sequence[Evaluation],
        engine: Engine,
        out: Path,
        command: str,
        listener: Listener,
        embed_only: bool,
    ) -> None:
        self.failures: list[tuple[str, str]] = []
        self._engine = engine
        self._out = out
        self._origin = Origin.now(command)
        self._listener = listener
        self._embed_only = embed_only
        self._evaluations = [_Progress(evaluation) for evaluation in plan]
        self._errors: dict[Path, str] = {}
        self._in_flight: dict[Future, _Job] = {}
        self._elsewhere: dict[Path, float] = {}
        self._idle_polls: Counter[Path] = Counter()
        self._deaths: Counter[Path] = Counter()

    def work(self) -> None:
        embeddings = {
            unit.directory: unit
            for progress in self._evaluations
            for unit in progress.evaluation.embeddings.missing()
        }
        open_evaluations = [p for p in self._evaluations if not p.over]
        self._estimate = Estimate(
            embeddings.values(),
            [] if self._embed_only else [each.evaluation for each in open_evaluations],
            self._engine.slots,
        )
        self._listener.planned(len(embeddings), 0 if self._embed_only else len(open_evaluations))
        if embeddings or (open_evaluations and not self._embed_only):
            refuse_unwritable(self._out)
        while True:
            waiting = self._submit()
            if self._in_flight:
                self._say_what_is_done()
                self._settle(wait(self._in_flight, return_when=FIRST_COMPLETED).done)
            elif waiting:
                self._say_who_works_on(waiting)
                time.sleep(_POLL)
            else:
                return

    def _say_what_is_done(self, *further: _Job) -> None:
        # Workers take units in the order in which they were submitted.
        running = [job for future, job in self._in_flight.items() if not future.done()]
        now = [*running, *further][: self._engine.slots]
        self._listener.working([(job.part_name, job.key) for job in now], self._estimate.left())

    def _say_who_works_on(self, waiting: Iterable[_Job]) -> None:
        for job in waiting:
            self._idle_polls[job.key] += 1
            claim = claim_on(job.key) if self._idle_polls[job.key] == _QUIET_POLLS else ""
            if claim:
                self._listener.say(f"waiting for {job.name}, {claim}")

    def _submit(self) -> list[_Job]:
        """Fill the engine; return the units that wait for another process."""
        # Two units a worker keep it busy while results are read. After a worker's death, one unit
        # at a time shows which of them kills.
        room = 1 if self._deaths else 2 * self._engine.slots
        taken = {job.key for job in self._in_flight.values()}
        waiting = []
        for job in self._ready():
            if len(self._in_flight) >= room:
                break
            if job.key in taken:
                continue
            if time.monotonic() < self._elsewhere.get(job.key, 0.0):
                waiting.append(job)
                continue
            taken.add(job.key)
            self._say_what_is_done(job)
            future = self._engine.submit(jobs.timed, job.function, *job.arguments)
            self._in_flight[future] = job
        return waiting

    def _ready(self) -> Iterator[_Job]:
        for progress in self._evaluations:
            if not progress.over:
                yield from self._jobs(progress)

    def _jobs(self, progress: _Progress) -> Iterator[_Job]:
        evaluation = progress.evaluation
        missing = evaluation.embeddings.missing()
        if missing:
            ready = [self._embedding_job(unit) for unit in missing]
        elif self._embed_only:
            return
        else:
            try:
                ready = self._probing_jobs(progress)
            except UserError as error:
                self._give_up(progress, str(error))
                return
        broken = next((self._errors[job.key] for job in ready if job.key in self._errors), None)
        if broken is None:
            yield from ready
        else:
            self._give_up(progress, broken)

    def _probing_jobs(self, progress: _Progress) -> list[_Job]:
        evaluation = progress.evaluation
        units = progress.next_probes()
        if units:
            return [self._probe_job(evaluation, unit) for unit in units]
        return [self._score_job(evaluation, progress.selected())]

    def _embedding_job(self, unit: EmbeddingUnit) -> _Job:
        name = f"{unit.spec.label} · {unit.source.directory.name} · embedding of {unit.split}"
        return _Job(
            unit.directory,
            name,
            jobs.embed,
            (self._out, unit),
            lambda: self._listener.embedded(unit),
            unit.directory,
            name,
        )

    def _probe_job(self, evaluation: Evaluation, unit: ProbeUnit) -> _Job:
        return _Job(
            evaluation.probe_directory(unit),
            f"{evaluation.name} · probe of fold {unit.fold} {dict(unit.point)}",
            jobs.run_probe,
            (evaluation, unit),
            lambda: self._listener.probed(evaluation),
            evaluation.directory,
            evaluation.name,
            share=1.0,
        )

    def _score_job(self, evaluation: Evaluation, selected: list[list[ProbeUnit]]) -> _Job:
        return _Job(
            evaluation.directory,
            evaluation.name,
            jobs.score,
            (evaluation, selected, self._origin),
            lambda: self._listener.scored(evaluation),
            evaluation.directory,
            evaluation.name,
        )

    def _settle(self, finished: Iterable[Future]) -> None:
        dead = []
        for future in finished:
            job = self._in_flight.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                dead.append(job)
            elif error is not None:
                self._errors[job.key] = self._explain(job, error)
            else:
                self._deaths.pop(job.key, None)
                done, seconds = future.result()
                if done:
                    whole = job.key == job.part
                    self._estimate.took(job.part, seconds, whole=whole, share=job.share)
                    job.finished()
                else:
                    self._elsewhere[job.key] = time.monotonic() + _POLL
        if dead:
            dead += self._in_flight.values()
            self._in_flight.clear()
            self._engine.restart()
            for job in dead:
                self._deaths[job.key] += 1
                if self._deaths[job.key] == _MAX_DEATHS:
                    self._errors[job.key] = (
                        f"{job.name}: its worker process died {_MAX_DEATHS} times. "
                        "Is memory short? Try fewer --jobs."
                    )
                    del self._deaths[job.key]

    def _explain(self, job: _Job, error: BaseException) -> str:
        if isinstance(error, UserError):
            return str(error)
        if isinstance(error, OSError) and (fault := disk_fault(error)):
            return f"{job.name}: {fault}"
        trace = self._out / "errors" / f"{sha256_of(str(job.key))[:16]}.txt"
        write_file(trace, "".join(traceback.format_exception(error)))
        return f"{job.name}: {type(error).__name__}: {error} (traceback in {trace})"

    def _give_up(self, progress: _Progress, error: str) -> None:
        progress.failed = True
        evaluation = progress.evaluation
        if not self._embed_only:
            write_result(
                evaluation.failure, [failure_row(evaluation, self._origin, progress.task, error)]
            )
        name = evaluation.name
        if self._embed_only:
            name = f"{evaluation.model.label} · {evaluation.task_name}"
        self.failures.append((name, error))
        self._listener.failed(name, error)


def write_layouts(plan: Sequence[Evaluation], directory: Path) -> list[Path]:
    """Write what a plan has embedded in the original kit's layout: ``DIRECTORY/MODEL/TASK``."""
    written = {}
    for evaluation in plan:
        target = directory / folder_name(evaluation.model.label) / evaluation.task_name
        if target not in written and not evaluation.embeddings.missing():
            task, embeddings = evaluation.embeddings.load()
            write_layout(task, embeddings, target)
            written[target] = True
    return list(written)


def require_embeddings(plan: Sequence[Evaluation]) -> None:
    """Refuse to probe what is not embedded.

    Raises:
        UserError: embeddings are missing; each model and task is named.
    """
    lacking = dict.fromkeys(
        f"{evaluation.model.label} on {evaluation.task_name}"
        for evaluation in plan
        if evaluation.embeddings.missing()
    )
    if lacking:
        raise UserError(
            "There are no embeddings, or none of this model and audio, of:\n  "
            + "\n  ".join(lacking)
            + "\nMake them with `hear-byola embed`, or use `hear-byola run`."
        )
