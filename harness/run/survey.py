"""See how far a run is: what is done, claimed and left in its folder, and what failed.

It reads the plans in the folder (:mod:`harness.run.planned`) and the claims, and looks which
folders exist. It loads no model, reads no audio and changes nothing, so that it works beside
running processes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.lease import claims_in
from harness.results import find_evaluations
from harness.run.folder import Folders, failure_of
from harness.run.forecast import forecast
from harness.run.holders import Holder, holder_of
from harness.run.planned import Planned, PlannedEvaluation, PlannedSplit, workers_on
from hear_byola.core import jsontext


@dataclass
class Count:
    """Numbers of units by their state; each unit is counted once."""

    done: int = 0
    claimed: int = 0
    failed: int = 0
    to_do: int = 0

    @property
    def all(self) -> int:
        """Number of all units."""
        return self.done + self.claimed + self.failed + self.to_do


@dataclass
class PairState:
    """How far one model is on one task.

    Attributes:
        model: its name; the name of the whole model for splits of a model of which layers are
            evaluated.
        task: the task's name.
        splits: its splits to embed.
        evaluations: its evaluations.
        probes: number of probes that are trained, of unfinished evaluations.
        seconds: expected work that is left, as far as it can be estimated.
        complete: whether all of it could be estimated.
        rough: expected work that is left, by rates of another machine where none are known.
        bytes: expected size of what is left to write.
    """

    model: str
    task: str
    splits: Count = field(default_factory=Count)
    evaluations: Count = field(default_factory=Count)
    probes: int = 0
    seconds: float = 0.0
    complete: bool = True
    rough: float = 0.0
    bytes: float = 0.0


@dataclass(frozen=True)
class Failed:
    """An evaluation, or the embeddings of ``embed``, that failed in the last run that tried it."""

    name: str
    error: str
    when: float


@dataclass(frozen=True)
class Survey:
    """The state of a run.

    Attributes:
        out: the run's folder.
        pairs: the state of each model on each task.
        workers: processes that work on the plans, with the commands.
        holders: processes that hold units.
        failures: what failed and is not done.
        left: expected time in words; empty if it is not known.
        rough_left: the same by rates of another machine where none are known; empty if all are.
        slots: number of workers that ``left`` assumes.
        idle: commands of plans that are not finished and that no process works on.
        others: number of finished evaluations that no plan contains.
        free: bytes that are free on the disk of the folder.
    """

    out: Path
    pairs: tuple[PairState, ...]
    workers: tuple[Holder, ...]
    holders: tuple[Holder, ...]
    failures: tuple[Failed, ...]
    left: str
    rough_left: str
    slots: int
    idle: tuple[str, ...]
    others: int
    free: int


def survey(plans: Sequence[Planned], out: Path, slots: int = 0) -> Survey:
    """Return the state of a run.

    Args:
        plans: the one that was started last first. Where two contain the same model, task, protocol
            and seed, or split, the later plan counts: the earlier one was for other audio or
            weights.
        out: the run's folder.
        slots: number of workers for the estimate; by default that of the processes at work.
    """
    evaluations = _latest(plans)
    existing = Folders(out)
    unfinished = {each.folder for each in evaluations if each.folder not in existing}
    needed = {split for each in evaluations if each.folder in unfinished for split in each.splits}
    needed |= _to_embed(plans)
    splits = _splits(plans, {split for each in evaluations for split in each.splits} | needed)
    holders = _holders(out, evaluations, splits)
    workers = workers_on(out)
    at_work = [(name, n, claim) for name, n, claim in workers if not holder_of(claim, name).expired]
    slots = slots or sum(n for _, n, _ in at_work)
    failures = dict(_failures(out, evaluations, unfinished))
    lacking = {split for each in evaluations if each.folder in failures for split in each.splits}
    alone = dict(_failed_splits(out, (s for s in splits if s.folder in needed - lacking), existing))
    failed = {*failures, *lacking, *alone}
    claimed = {part for part, found in holders.items() if not all(h.expired for h in found)}
    pairs = _pairs(existing, evaluations, splits, needed, claimed, failed)
    wanted = [split for split in splits if split.folder in needed]
    estimate = forecast(wanted, evaluations, out, slots)
    for (model, task), pair in pairs.items():
        both: tuple[PlannedSplit | PlannedEvaluation, ...] = (*wanted, *evaluations)
        mine = [each for each in both if (each.model, each.task) == (model, task)]
        pair.seconds, pair.complete = estimate.seconds(out / each.folder for each in mine)
        pair.rough = estimate.cost(out / each.folder for each in mine)
        pair.bytes = sum(each.bytes * estimate.share_left(out / each.folder) for each in mine)
    commands = {plan.name: plan.command for plan in plans}
    running, planned = {name for name, _, _ in at_work}, {each.folder for each in evaluations}
    return Survey(
        out=out,
        pairs=tuple(pairs.values()),
        workers=tuple(holder_of(claim, commands.get(name, "")) for name, _, claim in workers),
        holders=tuple(itertools.chain.from_iterable(holders.values())),
        failures=(*failures.values(), *{each.name: each for each in alone.values()}.values()),
        left=estimate.left(),
        rough_left=estimate.rough_left(),
        slots=slots,
        idle=tuple(
            plan.command
            for plan in plans
            if plan.command
            and plan.name not in running
            and _open(plan, existing, unfinished, needed)
        ),
        others=sum(
            path.relative_to(out).as_posix() not in planned and not path.name.endswith("-failed")
            for path in find_evaluations(out)
        ),
        free=_free(out),
    )


def _latest(plans: Iterable[Planned]) -> list[PlannedEvaluation]:
    found: dict[tuple, PlannedEvaluation] = {}
    for plan in plans:
        for each in () if plan.embed_only else plan.evaluations:
            found.setdefault(each.key, each)
    return list(found.values())


def _to_embed(plans: Iterable[Planned]) -> set[str]:
    """Return the folders of the splits of ``embed``."""
    found: dict[tuple[str, str, str], str] = {}
    wanted = set()
    for plan in plans:
        for split in plan.splits:
            folder = found.setdefault((split.model, split.task, split.split), split.folder)
            if plan.embed_only and folder == split.folder:
                wanted.add(folder)
    return wanted


def _splits(plans: Iterable[Planned], used: set[str]) -> list[PlannedSplit]:
    found: dict[str, PlannedSplit] = {}
    for plan in plans:
        for split in plan.splits:
            if split.folder in used and not getattr(found.get(split.folder), "seconds", 0):
                found[split.folder] = split
    return list(found.values())


def _holders(
    out: Path, evaluations: Sequence[PlannedEvaluation], splits: Sequence[PlannedSplit]
) -> dict[str, list[Holder]]:
    """Return who holds units of each split and evaluation."""
    names: dict[Path, tuple[str, str]] = {}
    for split in splits:
        name = f"{split.model} · {split.task} · embedding of {split.split}"
        for folder in (split.folder, *split.chunks):
            names[out / folder] = (split.folder, name)
    for each in evaluations:
        name = _name(each)
        names[out / each.folder] = (each.folder, f"{name} · scores")
        for folder in each.probes:
            names[out / folder] = (each.folder, f"{name} · probe")
    found: dict[str, list[Holder]] = {}
    for place in dict.fromkeys(path.parent for path in names):
        with contextlib.suppress(OSError):  # it is not there yet, or not any more
            for claim in claims_in(place):
                if claim.unit in names:
                    part, name = names[claim.unit]
                    found.setdefault(part, []).append(holder_of(claim, name))
    return found


def _pairs(
    existing: Folders,
    evaluations: Sequence[PlannedEvaluation],
    splits: Sequence[PlannedSplit],
    needed: set[str],
    claimed: set[str],
    failed: set[str],
) -> dict[tuple[str, str], PairState]:
    pairs: dict[tuple[str, str], PairState] = {}

    def pair_of(each: PlannedSplit | PlannedEvaluation) -> PairState:
        key = (each.model, each.task)
        return pairs.setdefault(key, PairState(*key))

    for split in splits:
        # The embeddings of finished evaluations may have been deleted.
        done = split.folder not in needed or split.folder in existing
        count = pair_of(split).splits
        _count(count, split.folder, claimed, failed, done=done)
    for each in evaluations:
        pair = pair_of(each)
        done = each.folder in existing
        _count(pair.evaluations, each.folder, claimed, failed, done=done)
        if not done:
            pair.probes += sum(folder in existing for folder in each.probes)
    return pairs


def _count(count: Count, folder: str, claimed: set[str], failed: set[str], *, done: bool) -> None:
    if done:
        count.done += 1
    elif folder in claimed:
        count.claimed += 1
    elif folder in failed:
        count.failed += 1
    else:
        count.to_do += 1


def _failures(
    out: Path, evaluations: Iterable[PlannedEvaluation], unfinished: set[str]
) -> Iterable[tuple[str, Failed]]:
    for each in evaluations:
        path = out / each.failure / "result.json"
        if each.folder in unfinished and path.is_file():
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                (row, *_) = jsontext.load(path.read_bytes())["rows"]
                failed = Failed(_name(each), str(row["error"]), path.stat().st_mtime)
                yield each.folder, failed


def _failed_splits(
    out: Path, splits: Iterable[PlannedSplit], existing: Folders
) -> Iterable[tuple[str, Failed]]:
    for split in splits:
        path = failure_of(out / split.folder)
        if split.folder not in existing and path.is_file():
            with contextlib.suppress(OSError):
                error = path.read_text("utf-8", "replace")
                name = f"{split.model} · {split.task} · embeddings"
                yield split.folder, Failed(name, error, path.stat().st_mtime)


def _open(plan: Planned, existing: Folders, unfinished: set[str], needed: set[str]) -> bool:
    """Return whether a plan contains work that is not done and not replaced by a later plan."""
    if plan.embed_only:
        return any(s.folder in needed and s.folder not in existing for s in plan.splits)
    return any(each.folder in unfinished for each in plan.evaluations)


def _name(each: PlannedEvaluation) -> str:
    return f"{each.model} · {each.task} · {each.protocol} · seed {each.seed}"


def _free(out: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which need not exist yet."""
    place = next(path for path in (out, *out.absolute().parents) if path.is_dir())
    state = os.statvfs(place)
    return state.f_bavail * state.f_frsize
