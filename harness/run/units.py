"""The units of a run: splits to embed, and evaluations, each identified by a fingerprint.

The output of a unit has the unit's fingerprint in its name and appears whole or not at all. So a
unit is done if and only if its directory exists.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.files import FileState, file_state
from harness.core.hashing import sha256_of
from harness.embeddings.chunks import Chunk
from harness.embeddings.heareval_reader import read_layout
from harness.embeddings.store import SplitEmbeddings, layers_path, read_split
from harness.models.info import ModelInfo
from harness.models.spec import ModelSpec, folder_name
from harness.probe import ProbeUnit, Protocol, supports
from tasks.format.task import SYNTHETIC, Task, TaskSource, is_synthetic

PROBE_VERSION = 4
"""Version of what probes and scores compute; part of the fingerprint of every evaluation."""


@dataclass(frozen=True)
class EmbeddingUnit:
    """One model on one split of one task; ``directory`` exists when it is done.

    Attributes:
        content: identifies the model and the audio, whichever layers are embedded.
        cached: most bytes of resampled audio that the run's folder keeps.
        seconds: length of the audio; 0 if the unit was done when the run was planned.
        rows: about how many embeddings it has; 0 if it was done, or if this is not known.
        width: size of an embedding.
        chunks: the parts of a long split, which are embedded before the unit joins them.
    """

    spec: ModelSpec
    model_fingerprint: str
    source: TaskSource
    split: str
    directory: Path
    content: str
    dtype: str = "float32"
    cached: float = 0.0
    seconds: float = 0.0
    rows: int = 0
    width: int = 0
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True)
class StoredEmbeddings:
    """Embeddings of a task in our own store: of a model, or of consecutive layers of it."""

    source: TaskSource
    units: tuple[EmbeddingUnit, ...]
    layers: tuple[int, ...] = ()

    def missing(self) -> list[EmbeddingUnit]:
        """Return the units that are not done."""
        return [unit for unit in self.units if not unit.directory.is_dir()]

    def paths(self) -> list[Path]:
        """Return the folders of the embeddings."""
        return [path for _, path in self.by_split()]

    def by_split(self) -> list[tuple[str, Path]]:
        """Return each split's folder."""
        places = ((unit.split, unit.directory) for unit in self.units)
        if not self.layers:
            return list(places)
        return [
            (split, layers_path(directory, self.layers[0], self.layers[-1]))
            for split, directory in places
        ]

    def identity(self) -> list[str]:
        """Return what identifies the embeddings in the fingerprint of an evaluation.

        A layer is the same one, whichever others were embedded with it.
        """
        if not self.layers:
            return [unit.directory.name for unit in self.units]
        layers = " ".join(map(str, self.layers))
        return [*(unit.content for unit in self.units), f"layer {layers}"]

    def task(self) -> Task:
        """Return the task."""
        return self.source.read()

    def load(self) -> tuple[Task, dict[str, SplitEmbeddings]]:
        """Return the task and its embeddings by split, memory-mapped."""
        return self.task(), {split: read_split(path) for split, path in self.by_split()}


@dataclass(frozen=True)
class HearevalEmbeddings:
    """Embeddings of a task in the original kit's layout."""

    directory: Path
    group_pattern: str = ""

    @property
    def units(self) -> tuple[EmbeddingUnit, ...]:
        """Nothing: such a directory is complete."""
        return ()

    def missing(self) -> list[EmbeddingUnit]:
        """Return nothing: such a directory is complete."""
        return []

    def paths(self) -> list[Path]:
        """Return the folder of the embeddings."""
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
        task, embeddings = _layout(self.directory, self.group_pattern, states)
        return task, dict(embeddings)


@functools.lru_cache(maxsize=1)
def _layout(
    directory: Path, group_pattern: str, _: tuple[FileState, ...]
) -> tuple[Task, Mapping[str, SplitEmbeddings]]:
    # Cached, because reading sorts and hashes all rows, and every probe of a task needs them.
    return read_layout(directory, group_pattern)


def _states(directory: Path) -> tuple[FileState, ...]:
    return tuple(file_state(path) for path in sorted(directory.iterdir()))


@dataclass(frozen=True)
class Evaluation:
    """One model × task × protocol × seed: a group of result rows.

    Attributes:
        fingerprint: hash of everything that the probes depend on.
        groups: hash of the task's groups; empty without groups. Groups do not change the probes: if
            only the groups differ, the same probes are scored again.
        fitted: whether the model's options were derived from the task
            (:mod:`harness.embeddings.task_statistics`).
    """

    model: ModelInfo
    embeddings: StoredEmbeddings | HearevalEmbeddings
    task_name: str
    suite: str
    protocol: str
    seed: int
    fingerprint: str
    out: Path
    groups: str = ""
    fitted: bool = False

    @property
    def name(self) -> str:
        """Its name in progress and error messages."""
        return f"{self.model.label} · {self.task_name} · {self.protocol} · seed {self.seed}"

    @property
    def directory(self) -> Path:
        """The folder of its result and predictions; it exists when the evaluation is done."""
        name = sha256_of([self.fingerprint, self.groups]) if self.groups else self.fingerprint
        return self._place("results", f"{self.protocol}-seed{self.seed}-{name[:16]}")

    @property
    def failure(self) -> Path:
        """The folder of the result of a failed evaluation."""
        return self.directory.with_name(f"{self.directory.name}-failed")

    def probe_directory(self, unit: ProbeUnit) -> Path:
        """Return the folder of a probe's result; it exists when the probe is done."""
        name = sha256_of([self.fingerprint, unit.fold, unit.point, unit.run])[:16]
        return self._place("probes", f"{self.protocol}-seed{self.seed}-{name}")

    def _place(self, kind: str, name: str) -> Path:
        return self.out / kind / folder_name(self.model.label) / self.task_name / name


def evaluations_of(
    model: ModelInfo,
    embeddings: StoredEmbeddings | HearevalEmbeddings,
    task: Task,
    protocols: Sequence[Protocol],
    *,
    read: Sequence[str],
    suite: str,
    seeds: Mapping[str, int],
    out: Path,
    fitted: bool = False,
) -> list[Evaluation]:
    """Return the evaluations of one model on one task, by the protocols that support the task.

    Args:
        model: the model.
        embeddings: the model's embeddings of the task.
        task: the task.
        protocols: the protocols.
        read: identifies the content of the embeddings in the fingerprint.
        suite: the task's suite.
        seeds: number of seeds of each protocol.
        out: the run's folder.
        fitted: see :class:`Evaluation`.
    """
    return [
        Evaluation(
            model=model,
            embeddings=embeddings,
            task_name=task.name,
            suite=SYNTHETIC if is_synthetic(task.name) else suite,
            protocol=protocol.name,
            seed=seed,
            fingerprint=sha256_of(
                [PROBE_VERSION, read, task.tables_sha256, protocol.identity(), seed]
            ),
            out=out,
            groups=task.groups_sha256,
            fitted=fitted,
        )
        for protocol in protocols
        if supports(protocol, task)
        for seed in range(seeds[protocol.name])
    ]
