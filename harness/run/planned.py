"""The plan of a run as a file in its folder, ``plans/NAME.json``, from which others see its work.

Each process that works in a folder writes its plan there before it starts. Processes with the same
plan write the same file. While a process works, it holds a claim beside the file
(:mod:`harness.core.lease`), which names its machine and shows that it lives.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.cells import InnerFolder
from harness.core.errors import UserError
from harness.core.files import write_file
from harness.core.hashing import sha256_of
from harness.core.kinds import EmbeddingType
from harness.core.lease import Claim, claims_in, lease
from harness.probe import find_protocol, number_of_units, possible_units
from harness.run.disk import audio_facts_bytes, embedding_bytes, evaluation_bytes
from harness.run.estimate import Kind
from harness.run.folder import AUDIO_HASHES
from hear_byola.core import jsontext
from hear_byola.core.schema import Flag, Number, Schema, Whole, read
from tasks.format.spec import PlainName

if TYPE_CHECKING:
    from harness.run.units import EmbeddingUnit, Evaluation
    from tasks.format.task import Task

FOLDER = "plans"
_VERSION = 1


class PlannedSplit(Schema):
    """A split to embed.

    Attributes:
        folder: of its embeddings, within the run's folder; exists when they are done.
        seconds: length of its audio; 0 if it was done when the run was planned.
        bytes: that its embeddings take about; 0 if it was done.
        chunks: the folders of its parts, if it has some.
    """

    model: str
    task: PlainName
    split: str
    folder: InnerFolder
    seconds: Number
    bytes: Number
    chunks: tuple[InnerFolder, ...] = ()

    @property
    def kind(self) -> Kind:
        """Kind of its cost."""
        return ("embed", self.model, self.task)


class PlannedEvaluation(Schema):
    """An evaluation: a model on a task by a protocol with a seed.

    Attributes:
        folder: of its result, within the run's folder; exists when it is done.
        failure: folder of its result if it failed.
        splits: folders of the embeddings that it needs.
        probes: folders of all probes that it can have.
        most: number of these that are trained at most.
        rows: about how many embeddings each of them is trained on.
        bytes: that its probes and its result take about.
    """

    model: str
    task: PlainName
    protocol: PlainName
    seed: Whole
    folder: InnerFolder
    failure: InnerFolder
    splits: tuple[InnerFolder, ...]
    probes: tuple[InnerFolder, ...]
    most: Whole
    rows: Whole
    bytes: Number

    @property
    def kind(self) -> Kind:
        """Kind of its cost."""
        return ("probe", self.protocol, self.task)

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What a later plan for the same cell of a table has in common with this one."""
        return (self.model, self.task, self.protocol, self.seed)


class Planned(Schema):
    """The content of a plan's file.

    Attributes:
        command: the command that was planned.
        embed_only: whether it ends when the embeddings are made. The evaluations are then those
            that need them.
    """

    format_version: Whole = _VERSION
    command: str
    embed_only: Flag
    splits: tuple[PlannedSplit, ...]
    evaluations: tuple[PlannedEvaluation, ...]

    @property
    def name(self) -> str:
        """Name of the plan: a hash of what is to be done."""
        folders = [each.folder for each in self.splits]
        folders += [each.folder for each in self.evaluations]
        return sha256_of([self.embed_only, sorted(folders)])[:16]


def describe(
    plan: Sequence[Evaluation], out: Path, command: str, *, embed_only: bool = False
) -> Planned:
    """Return the plan of a run as the content of its file.

    Args:
        plan: the evaluations.
        out: the run's folder.
        command: the command that was planned.
        embed_only: see :class:`Planned`.
    """
    tasks: dict[tuple[str, str], Task] = {}
    splits: dict[Path, PlannedSplit] = {}
    rows: dict[Path, int] = {}
    heard = (out / AUDIO_HASHES).is_file()
    known: set[tuple[str, str]] = set()
    evaluations = []
    for evaluation in plan:
        units = evaluation.embeddings.units
        source = repr(units[0].source) if units else evaluation.model.label
        key = (evaluation.task_name, source)
        if key not in tasks:
            tasks[key] = evaluation.embeddings.task()
        task = tasks[key]
        for unit in units:
            if unit.directory not in splits:
                place = (str(unit.source.directory), unit.split)
                clips = 0 if heard or place in known else len(task.clips[unit.split])
                known.add(place)
                splits[unit.directory] = _split(unit, task, out, audio_facts_bytes(clips))
                rows[unit.directory] = _rows(unit, task)
        by_split = {unit.split: rows[unit.directory] for unit in units}
        evaluations.append(_evaluation(evaluation, task, by_split, out))
    return Planned(
        command=command,
        embed_only=embed_only,
        splits=tuple(splits.values()),
        evaluations=tuple(evaluations),
    )


def _split(unit: EmbeddingUnit, task: Task, out: Path, facts: int) -> PlannedSplit:
    names = [clip.name for clip in task.clips[unit.split]]
    event = task.embedding_type == EmbeddingType.EVENT
    size = facts
    if unit.width:
        size += embedding_bytes(names, unit.rows, unit.width, unit.dtype, event=event)
    return PlannedSplit(
        model=unit.spec.label,
        task=unit.source.directory.name,
        split=unit.split,
        folder=_inside(unit.directory, out),
        seconds=unit.seconds,
        bytes=size,
        chunks=tuple(_inside(chunk.directory, out) for chunk in unit.chunks),
    )


def _rows(unit: EmbeddingUnit, task: Task) -> int:
    """Return the number of embeddings of a split, as far as it is known."""
    if task.embedding_type == EmbeddingType.SCENE:
        return len(task.clips[unit.split])
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(jsontext.load((unit.directory / "manifest.json").read_bytes())["rows"])
    return unit.rows


def _evaluation(
    evaluation: Evaluation, task: Task, rows: dict[str, int], out: Path
) -> PlannedEvaluation:
    protocol = find_protocol(evaluation.protocol)
    most = number_of_units(protocol, task)
    if not rows:  # embeddings of the original kit
        rows = {split: len(clips) for split, clips in task.clips.items()}
    return PlannedEvaluation(
        model=evaluation.model.label,
        task=evaluation.task_name,
        protocol=evaluation.protocol,
        seed=evaluation.seed,
        folder=_inside(evaluation.directory, out),
        failure=_inside(evaluation.failure, out),
        splits=tuple(_inside(unit.directory, out) for unit in evaluation.embeddings.units),
        probes=tuple(
            _inside(evaluation.probe_directory(unit), out)
            for unit in possible_units(protocol, task)
        ),
        most=most,
        rows=sum(rows[split] for fold in task.folds for split in fold.train) // len(task.folds),
        bytes=evaluation_bytes(task, protocol, rows, most),
    )


def _inside(path: Path, out: Path) -> str:
    return path.relative_to(out).as_posix()


@contextlib.contextmanager
def announced(planned: Planned, out: Path, slots: int) -> Iterator[None]:
    """Write a plan into a run's folder, and claim it for the length of the block.

    Args:
        planned: the plan.
        out: the run's folder.
        slots: number of units that this process works on at the same time.
    """
    path = _file(out, planned.name)
    if path.is_file():  # the first plan knew the lengths of what is done by now
        os.utime(path)
    else:
        write_file(path, planned.model_dump_json(indent=1) + "\n")
    with lease(path.with_name(f"{planned.name}-{slots}-{secrets.token_hex(4)}")):
        yield


def read_plans(out: Path) -> list[Planned]:
    """Return the plans in a run's folder, the one that was started last first.

    Raises:
        UserError: there is none that can be read.

    Warns:
        UserWarning: a plan is damaged, or of another version.
    """
    files = sorted((out / FOLDER).glob("[!.]*.json"), key=lambda path: -path.stat().st_mtime)
    if not files:
        raise UserError(
            f"{out} contains no plan of a run. Name the folder that `hear-byola run` got as --out; "
            "a run writes its plan when it has read all models and audio."
        )
    found, faults = [], []
    for path in files:
        try:
            found.append(_read(path))
        except UserError as error:
            faults.append(error)
    if not found:
        raise faults[0]
    for fault in faults:
        warnings.warn(f"{fault} The other plans are shown.", stacklevel=2)
    return found


def _read(path: Path) -> Planned:
    cure = "Delete it; the next `hear-byola run` writes it again."
    try:
        content = jsontext.load(path.read_bytes())
        if isinstance(content, dict) and content.get("format_version") != _VERSION:
            raise ValueError(f"its format version is not {_VERSION}")
        return read(Planned, content, path.name, ValueError)
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {str(error).rstrip('.')}. {cure}") from error


def workers_on(out: Path) -> list[tuple[str, int, Claim]]:
    """Return the processes that work on plans: name of the plan, number of workers, claim."""
    found = []
    for claim in claims_in(out / FOLDER) if (out / FOLDER).is_dir() else []:
        name, _, rest = claim.unit.name.partition("-")
        slots, _, _ = rest.partition("-")
        if slots.isdigit():
            found.append((name, int(slots), claim))
    return found


def _file(out: Path, name: str) -> Path:
    return out / FOLDER / f"{name}.json"
