"""What a run has to do: every unit of work, named by a fingerprint of all that it reads.

A plan is made before any work starts, so that every mistake in models, tasks and protocols is named
at once. Since each unit's output has its fingerprint for a name, what is done can be read off the
disk: running again is resuming.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.files import FileState, file_state
from harness.core.hashing import sha256_of
from harness.core.memory import FileMemory
from harness.embeddings import heareval
from harness.embeddings.embed import embedding_directory, embedding_fingerprint
from harness.embeddings.store import SplitEmbeddings, read_split
from harness.embeddings.task_statistics import check_fittable, fit_to_task
from harness.models.module import HearModule, ModelSpec, folder_name, load_module
from harness.probe import ProbeUnit, Protocol, supports
from harness.run.folder import UnwritableError
from harness.run.models import identify
from harness.run.preflight import (
    check_audio,
    check_names,
    check_protocols,
    check_seeds,
    check_tables,
    find_protocols,
    tell_ungrouped,
)
from tasks.audio import ContentHashes
from tasks.format.task import SYNTHETIC, Task, TaskSource, is_synthetic

# Raised whenever a change of the probes' code changes their numbers.
PROBE_VERSION = 1

AUDIO_HASHES = "audio-hashes.json"
CHECKED_AUDIO = "checked-audio.json"


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

    def by_split(self) -> list[tuple[str, Path]]:
        """Return each split's folder."""
        return [(unit.split, unit.directory) for unit in self.units]

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
    group_pattern: str = ""

    def missing(self) -> list[EmbeddingUnit]:
        """Return nothing: such a directory is complete."""
        return []

    def paths(self) -> list[Path]:
        """Return the folder that holds them."""
        return [self.directory]

    def by_split(self) -> list[tuple[str, Path]]:
        """Return nothing: such a directory holds all splits."""
        return []

    def task(self) -> Task:
        """Return the task."""
        return self.load()[0]

    def load(self) -> tuple[Task, dict[str, SplitEmbeddings]]:
        """Return the task and its embeddings by split."""
        states = _states(self.directory)
        task, embeddings = _read_layout(self.directory, self.group_pattern, states)
        return task, dict(embeddings)


@functools.lru_cache(maxsize=1)
def _read_layout(
    directory: Path, group_pattern: str, _: tuple[FileState, ...]
) -> tuple[Task, Mapping[str, SplitEmbeddings]]:
    # Reading it sorts and hashes all rows, and every unit of a task asks for them.
    return heareval.read_layout(directory, group_pattern)


def _states(directory: Path) -> tuple[FileState, ...]:
    return tuple(file_state(path) for path in sorted(directory.iterdir()))


@dataclass(frozen=True)
class ModelIdentity:
    """What a result row says of a model.

    ``module`` is its module as the user named it. ``fitted``: its options were derived from the
    task (:mod:`harness.embeddings.task_statistics`).
    """

    label: str
    options: str
    fingerprint: str
    checkpoint: str = ""
    checkpoint_sha256: str = ""
    frontend_convention: str = ""
    sample_rate: int | None = None
    module: str = ""
    fitted: bool = False


@dataclass(frozen=True)
class Evaluation:
    """One model × task × protocol × seed: what becomes a group of result rows.

    ``fingerprint`` is of all that its probes depend on. ``groups``, a hash of the task's groups,
    changes the result alone: where they change, what was probed is scored again.
    """

    model: ModelIdentity
    embeddings: StoredEmbeddings | HearevalEmbeddings
    task_name: str
    suite: str
    protocol: str
    seed: int
    fingerprint: str
    out: Path
    groups: str = ""

    @property
    def name(self) -> str:
        """What progress and error messages call it."""
        return f"{self.model.label} · {self.task_name} · {self.protocol} · seed {self.seed}"

    @property
    def directory(self) -> Path:
        """Where its result and its predictions stand; it exists when the evaluation is done."""
        name = sha256_of([self.fingerprint, self.groups]) if self.groups else self.fingerprint
        return self._place("results", f"{self.protocol}-seed{self.seed}-{name[:16]}")

    @property
    def failure(self) -> Path:
        """Where it leaves a result that says why it failed."""
        return self.directory.with_name(f"{self.directory.name}-failed")

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
    (:mod:`harness.embeddings.task_statistics`). ``shard`` is (i, n), counted from 1: of the model ×
    task pairs, every n-th from the i-th.
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


class Plan(list[Evaluation]):
    """The evaluations of a run.

    Attributes:
        unsupported: by protocol, the names of the tasks that it does not support. They have no
            evaluation by that protocol.
    """

    def __init__(
        self, evaluations: Iterable[Evaluation], unsupported: Mapping[str, tuple[str, ...]]
    ) -> None:
        super().__init__(evaluations)
        self.unsupported = unsupported


def make_plan(settings: Settings, say: Callable[[str], None] = lambda _: None) -> Plan:
    """Check everything that a run is given, and name all its units.

    Each model is loaded on the CPU for its fingerprint, and again, if the run's folder does not
    know it, to see that it stays the same. ``say`` is told what takes its time, and what is left
    out.

    Raises:
        UserError: anything wrong with models, tasks or protocols, or no protocol that supports any
            of the tasks.
    """
    protocols = find_protocols(settings.protocols)
    check_seeds(settings.seeds)
    sources = check_tables(settings.tasks)
    tasks = [source.read() for source in sources]
    tell_ungrouped(tasks)
    check_names([(spec.label, task.name) for spec in settings.models for task in tasks])
    unsupported = _tell(check_protocols(protocols, tasks), say)
    if settings.task_statistics:
        check_fittable(tasks)
    hashes = ContentHashes(settings.out / AUDIO_HASHES, verify=settings.verify)
    memory = FileMemory(settings.out / CHECKED_AUDIO, verify=settings.verify)
    heard: dict[int, list[TaskSource]] = {}
    evaluations: list[Evaluation] = []
    for i, spec in enumerate(settings.models):
        say(f"reading model {spec.label}")
        module = _load(spec, settings.out, alone=len(settings.models) == 1)
        rate = module.sample_rate
        if rate not in heard:
            say(f"checking the audio of {plural(len(tasks), 'task')} for {rate} Hz")
            heard[rate] = check_audio(sources, rate, memory, skip_bad=settings.skip_bad)
        for j, source in enumerate(heard[rate]):
            if (i * len(tasks) + j) % settings.shard[1] != settings.shard[0] - 1:
                continue
            task = source.read()
            fitted = module
            if settings.task_statistics:
                fitted = fit_to_task(module, task)
                identify(fitted, settings.out, check_load=False)
            who = dataclasses.replace(identity(fitted), fitted=settings.task_statistics)
            stored = _stored_embeddings(settings, fitted, source, task, hashes)
            evaluations += _evaluations(settings, who, stored, task, source.suite, protocols)
    with contextlib.suppress(OSError):  # else all is hashed again, which takes but time
        hashes.save()
    return Plan(evaluations, unsupported)


def _tell(
    unsupported: Mapping[str, tuple[str, ...]], say: Callable[[str], None]
) -> Mapping[str, tuple[str, ...]]:
    for protocol, names in unsupported.items():
        say(f"left out, not supported by the protocol {protocol}: {', '.join(names)}")
    return unsupported


def _load(spec: ModelSpec, out: Path, *, alone: bool) -> HearModule:
    try:
        module = load_module(spec, "cpu")
        if module.reference().empty and torch.cuda.is_available():
            module = load_module(spec, "cuda")  # some models compute on a GPU alone
        identify(module, out, check_load=True)
        return module
    except UnwritableError:
        raise
    except UserError as error:
        if alone:
            raise
        raise UserError(
            f"{error}\nNothing was run, since all models must load before work starts: mend this "
            "one, or leave it out."
        ) from error


def plan_probes(
    directories: Sequence[Path],
    protocols: Sequence[str],
    seeds: int,
    out: Path,
    group_pattern: Callable[[Path], str] = lambda _: "",
    say: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Plan the probes of embeddings in the original kit's layout, one directory a task.

    Args:
        directories: of the embeddings.
        protocols: names of the protocols.
        seeds: how often every probe is trained.
        out: the run's folder.
        group_pattern: gives a directory's pattern, by which groups are derived where it has no
            ``groups.csv``.

    Raises:
        UserError: a directory that is not of that layout, or no protocol that supports any of the
            tasks.
    """
    chosen = find_protocols(protocols)
    settings = Settings((), (), tuple(protocols), seeds, out)
    check_seeds(seeds)
    patterns = [group_pattern(path) for path in directories]
    loaded = [
        (HearevalEmbeddings(path, pattern), *heareval.read_layout(path, pattern))
        for path, pattern in zip(directories, patterns, strict=True)
    ]
    tell_ungrouped(task for _, task, _ in loaded)
    labels = [path.resolve().parent.name for path in directories]
    check_names([(label, task.name) for label, (_, task, _) in zip(labels, loaded, strict=True)])
    unsupported = _tell(check_protocols(chosen, [task for _, task, _ in loaded]), say)
    evaluations = []
    for source, task, embeddings in loaded:
        content = [embeddings[split].manifest["fingerprint"] for split in task.splits]
        label = source.directory.resolve().parent.name
        model = ModelIdentity(label, "", sha256_of(content))
        evaluations += _evaluations(settings, model, source, task, "", chosen)
    return Plan(evaluations, unsupported)


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
        spec.module,
    )


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
    tables, groups = task.tables_sha256, task.groups_sha256
    return [
        Evaluation(
            model,
            embeddings,
            task.name,
            SYNTHETIC if is_synthetic(task.name) else suite,
            protocol.name,
            seed,
            sha256_of([PROBE_VERSION, read, tables, dataclasses.asdict(protocol), seed]),
            settings.out,
            groups,
        )
        for protocol in protocols
        if supports(protocol, task)
        for seed in range(settings.seeds)
    ]
