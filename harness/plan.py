"""What a run has to do: every unit of work, named by a fingerprint of all that it reads.

A plan is made before any work starts, so that every mistake in models, tasks and protocols is named
at once. Since each unit's output has its fingerprint for a name, what is done can be read off the
disk: running again is resuming.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness import heareval, probe
from harness.audio import ContentHashes
from harness.check import check_task
from harness.embed import embedding_directory, embedding_fingerprint
from harness.errors import UserError, did_you_mean
from harness.imports import sha256_of
from harness.memory import FileMemory
from harness.module import HearModule, ModelSpec, folder_name, load_module
from harness.probe import ProbeUnit, Protocol
from harness.store import SplitEmbeddings, read_split
from harness.task import Task, read_task, without_clips
from harness.task_statistics import check_fittable, fit_to_task

# Raised whenever a change of the probes' code changes their numbers.
PROBE_VERSION = 1

AUDIO_HASHES = "audio-hashes.json"
CHECKED_AUDIO = "checked-audio.json"


@dataclass(frozen=True)
class TaskSource:
    """Where a task is read from, and which of its clips are left out."""

    directory: Path
    suite: str = ""
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self) -> Task:
        """Read the task, without the clips that are left out."""
        task = read_task(self.directory)
        return without_clips(task, self.skipped) if any(self.skipped.values()) else task


@dataclass(frozen=True)
class EmbeddingUnit:
    """One model on one split of one task; ``directory`` exists when it is done."""

    spec: ModelSpec
    model_fingerprint: str
    source: TaskSource
    split: str
    directory: Path
    dtype: str = "float32"


@dataclass(frozen=True)
class StoredEmbeddings:
    """Embeddings of a task in our own store."""

    source: TaskSource
    units: tuple[EmbeddingUnit, ...]

    def missing(self) -> list[EmbeddingUnit]:
        """Return the units that are not done."""
        return [unit for unit in self.units if not unit.directory.is_dir()]

    def paths(self) -> list[Path]:
        """Return the folders that hold them."""
        return [unit.directory for unit in self.units]

    def task(self) -> Task:
        """Return the task."""
        return self.source.read()

    def load(self) -> tuple[Task, dict[str, SplitEmbeddings]]:
        """Return the task and its embeddings by split, memory-mapped."""
        return self.task(), {unit.split: read_split(unit.directory) for unit in self.units}


@dataclass(frozen=True)
class HearevalEmbeddings:
    """Embeddings of a task in the original kit's layout."""

    directory: Path

    def missing(self) -> list[EmbeddingUnit]:
        """Return nothing: such a directory is complete."""
        return []

    def paths(self) -> list[Path]:
        """Return the folder that holds them."""
        return [self.directory]

    def task(self) -> Task:
        """Return the task."""
        return self.load()[0]

    def load(self) -> tuple[Task, dict[str, SplitEmbeddings]]:
        """Return the task and its embeddings by split."""
        task, embeddings = heareval.read_layout(self.directory)
        return task, dict(embeddings)


@dataclass(frozen=True)
class ModelIdentity:
    """What a result row says of a model."""

    label: str
    options: str
    fingerprint: str
    checkpoint: str = ""
    checkpoint_sha256: str = ""
    frontend_convention: str = ""
    sample_rate: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """One model × task × protocol × seed: what becomes a group of result rows."""

    model: ModelIdentity
    embeddings: StoredEmbeddings | HearevalEmbeddings
    task_name: str
    suite: str
    protocol: str
    seed: int
    fingerprint: str
    out: Path

    @property
    def name(self) -> str:
        """What progress and error messages call it."""
        return f"{self.model.label} · {self.task_name} · {self.protocol} · seed {self.seed}"

    @property
    def directory(self) -> Path:
        """Where its result and its predictions stand; it exists when the evaluation is done."""
        return self._place("results", f"{self.protocol}-seed{self.seed}-{self.fingerprint[:16]}")

    @property
    def failure(self) -> Path:
        """Where it leaves a result that says why it failed."""
        return self._place("results", f"{self.protocol}-seed{self.seed}-failed")

    def probe_directory(self, unit: ProbeUnit) -> Path:
        """Where the probe unit's result stands; it exists when the unit is done."""
        name = sha256_of([self.fingerprint, unit.fold, unit.point, unit.run])[:16]
        return self._place("probes", f"{self.protocol}-seed{self.seed}-{name}")

    def _place(self, kind: str, name: str) -> Path:
        return self.out / kind / folder_name(self.model.label) / self.task_name / name


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do.

    ``task_statistics`` fits each model to each task's training split
    (:mod:`harness.task_statistics`). ``shard`` is (i, n), counted from 1: of the model × task
    pairs, every n-th from the i-th.
    """

    models: tuple[ModelSpec, ...]
    tasks: tuple[TaskSource, ...]
    protocols: tuple[str, ...] = ("hear2021",)
    seeds: int = 1
    out: Path = Path("runs")
    dtype: str = "float32"
    skip_bad: bool = False
    task_statistics: bool = False
    verify: bool = False
    shard: tuple[int, int] = (1, 1)


def find_protocols(names: Sequence[str]) -> list[Protocol]:
    """Return protocols by name.

    Raises:
        UserError: an unknown protocol.
    """
    for name in names:
        if name not in probe.PROTOCOLS:
            raise UserError(
                f"Unknown protocol '{name}'.{did_you_mean(name, probe.PROTOCOLS)} "
                f"There are {', '.join(probe.PROTOCOLS)}."
            )
    return [probe.PROTOCOLS[name] for name in dict.fromkeys(names)]


def check_tasks(settings: Settings) -> list[TaskSource]:
    """Check tasks whole; with ``skip_bad``, leave out the clips whose audio is bad.

    Audio that was once found good is not decoded again while its file stays the same.

    Raises:
        UserError: every error of every task, one a line.
    """
    memory = FileMemory(settings.out / CHECKED_AUDIO, verify=settings.verify)
    errors, checked = [], []
    for source in settings.tasks:
        skipped: dict[str, list[str]] = {}
        for finding in check_task(source.directory, memory=memory):
            if finding.severity != "error":
                continue
            if settings.skip_bad and finding.clip:
                skipped.setdefault(finding.split, []).append(finding.clip)
            else:
                where = source.directory.name + (f"/{finding.file}" if finding.file else "")
                errors.append(f"{where}: {finding.reason}")
        kept = {split: tuple(sorted(set(names))) for split, names in skipped.items()}
        checked.append(dataclasses.replace(source, skipped=kept))
    memory.save()
    if errors:
        hint = (
            "" if settings.skip_bad else "\nClips whose audio is bad are left out with --skip-bad."
        )
        raise UserError(f"The tasks have {len(errors)} errors:\n" + "\n".join(errors) + hint)
    return checked


def check_protocols(protocols: Sequence[Protocol], tasks: Sequence[Task]) -> None:
    """Refuse what a protocol does not support, by name, before any work.

    Raises:
        UserError: every unsupported pair of protocol and task, one a line.
    """
    refusals = []
    for protocol in protocols:
        for task in tasks:
            try:
                probe.check_supported(protocol, task)
            except UserError as error:
                refusals.append(str(error))
    if refusals:
        raise UserError("\n".join(refusals))


def make_plan(settings: Settings, say: Callable[[str], None] = lambda _: None) -> list[Evaluation]:
    """Check everything that a run is given, and name all its units.

    Each model is loaded once, on the CPU, for the hash of its weights. ``say`` is told what takes
    its time.

    Raises:
        UserError: anything wrong with models, tasks, protocols or their combination.
    """
    protocols = find_protocols(settings.protocols)
    if settings.seeds < 1:
        raise UserError(f"--seeds must be 1 or more, not {settings.seeds}.")
    say(f"checking {len(settings.tasks)} tasks")
    sources = check_tasks(settings)
    tasks = [source.read() for source in sources]
    check_protocols(protocols, tasks)
    if settings.task_statistics:
        check_fittable(tasks)
    hashes = ContentHashes(settings.out / AUDIO_HASHES, verify=settings.verify)
    shard, shards = settings.shard
    labels = [spec.label for spec in settings.models]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise UserError(
            f"Two models are called '{twice[0]}': give each its own, e.g. -m {twice[0]},name=other."
        )
    evaluations = []
    for i, spec in enumerate(settings.models):
        say(f"reading model {spec.label}")
        module = load_module(spec, "cpu")
        for j, (source, task) in enumerate(zip(sources, tasks, strict=True)):
            if (i * len(tasks) + j) % shards != shard - 1:
                continue
            fitted = fit_to_task(module, task) if settings.task_statistics else module
            stored = _stored_embeddings(settings, fitted, source, task, hashes)
            evaluations += _evaluations(
                settings, identity(fitted), stored, task, source.suite, protocols
            )
    hashes.save()
    return evaluations


def plan_probes(
    directories: Sequence[Path], protocols: Sequence[str], seeds: int, out: Path
) -> list[Evaluation]:
    """Plan the probes of embeddings in the original kit's layout, one directory a task.

    Raises:
        UserError: a directory that is not of that layout, or an unsupported protocol.
    """
    chosen = find_protocols(protocols)
    settings = Settings((), (), tuple(protocols), seeds, out)
    loaded = [(path, *heareval.read_layout(path)) for path in directories]
    check_protocols(chosen, [task for _, task, _ in loaded])
    evaluations = []
    for path, task, embeddings in loaded:
        content = {split: array_digest(e.embeddings) for split, e in embeddings.items()}
        model = ModelIdentity(path.resolve().parent.name, "", sha256_of(content))
        evaluations += _evaluations(settings, model, HearevalEmbeddings(path), task, "", chosen)
    return evaluations


def identity(module: HearModule) -> ModelIdentity:
    """Return what result rows say of a model."""
    spec = module.spec
    return ModelIdentity(
        spec.label,
        json.dumps(dict(spec.options), sort_keys=True, default=str) if spec.options else "",
        module.fingerprint,
        spec.checkpoint,
        module.checkpoint_sha256,
        module.frontend_convention,
        module.sample_rate,
    )


def array_digest(array: np.ndarray) -> str:
    """Return the sha256 of an array's type, shape and content, read in pieces."""
    hashed = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    for start in range(0, len(array), 4096):
        hashed.update(np.ascontiguousarray(array[start : start + 4096]).tobytes())
    return hashed.hexdigest()


def _stored_embeddings(
    settings: Settings, module: HearModule, source: TaskSource, task: Task, hashes: ContentHashes
) -> StoredEmbeddings:
    units = []
    for split in task.splits:
        fingerprint = embedding_fingerprint(task, split, module, hashes, dtype=settings.dtype)
        directory = embedding_directory(settings.out, module.spec, task, split, fingerprint)
        units.append(
            EmbeddingUnit(module.spec, module.fingerprint, source, split, directory, settings.dtype)
        )
    return StoredEmbeddings(source, tuple(units))


def _evaluations(
    settings: Settings,
    model: ModelIdentity,
    embeddings: StoredEmbeddings | HearevalEmbeddings,
    task: Task,
    suite: str,
    protocols: Sequence[Protocol],
) -> list[Evaluation]:
    if isinstance(embeddings, StoredEmbeddings):
        read = [unit.directory.name for unit in embeddings.units]
    else:
        read = [model.fingerprint]
    return [
        Evaluation(
            model,
            embeddings,
            task.name,
            suite,
            protocol.name,
            seed,
            sha256_of([PROBE_VERSION, read, task.sha256, dataclasses.asdict(protocol), seed]),
            settings.out,
        )
        for protocol in protocols
        for seed in range(settings.seeds)
    ]


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
            "There are no embeddings, or none of this model and audio, of:\n"
            + "\n".join(lacking)
            + "\nMake them with `hear-byola embed`, or use `hear-byola run`."
        )
