"""Plan a run: check everything that the user gave, and list every unit of work.

A plan is made before any work starts, so that all mistakes in models, tasks and protocols are
reported at once. It also lists the units that are done (:mod:`harness.run.units`). The plan for
embeddings in the original kit's layout is made by :mod:`harness.run.layout_plan`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.memory import FileMemory
from harness.embeddings.task_statistics import check_fittable, fit_to_task
from harness.models.info import ModelInfo
from harness.models.loading import load_module
from harness.models.module import HearModule
from harness.models.spec import ModelSpec
from harness.probe import Protocol
from harness.run.embedding_units import stored_embeddings
from harness.run.folder import AUDIO_HASHES, CHECKED_AUDIO, UnwritableError
from harness.run.models import identify
from harness.run.preflight import (
    Say,
    check_audio,
    check_names,
    check_protocols,
    check_tables,
    find_protocols,
    seeds_of,
    tell_ungrouped,
)
from harness.run.units import Evaluation, StoredEmbeddings, evaluations_of
from tasks.audio import ContentHashes
from tasks.format.task import TaskSource

_LAYERS_NEEDED = (
    "The protocol needs several layers of a model: give the model the option layer=all, if it "
    "offers layers (docs/models.md)."
)


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Attributes:
        models: the models.
        tasks: the tasks.
        protocols: names of the protocols.
        seeds: number of seeds with which every probe is trained.
        out: the run's folder.
        dtype: of stored embeddings, ``float32`` or ``float16``.
        skip_bad: leave out clips whose audio cannot be used, instead of refusing the run.
        task_statistics: fit each model to the training split of each task
            (:mod:`harness.embeddings.task_statistics`).
        verify: check and hash all audio again, even if the run's folder has its hashes.
        cache_audio: GB of resampled audio that the run's folder keeps for further models.
        shard: (i, n), counted from 1: every n-th pair of model and task from the i-th on.
        read_only: write nothing, not even what is known about audio and models.
        draws: number of draws of training clips, which are the seeds of few-shot probes.
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
    cache_audio: float = 0.0
    shard: tuple[int, int] = (1, 1)
    read_only: bool = False
    draws: int = 10


class Plan(list[Evaluation]):
    """The evaluations of a run.

    Attributes:
        unsupported: for each protocol, the names of the tasks that it does not support and so has
            no evaluation of.
    """

    def __init__(
        self, evaluations: Iterable[Evaluation], unsupported: Mapping[str, tuple[str, ...]]
    ) -> None:
        super().__init__(evaluations)
        self.unsupported = unsupported


def make_plan(settings: Settings, say: Say = lambda _: None) -> Plan:
    """Plan the evaluations of models on tasks.

    Each model is loaded on the CPU to compute its fingerprint. A model that is new to the run's
    folder is loaded twice, to check that its weights are the same each time.

    Raises:
        UserError: a model, task or protocol is wrong, or no protocol supports any of the tasks.
    """
    protocols = find_protocols(settings.protocols)
    seeds = seeds_of(protocols, settings.seeds, settings.draws)
    sources = check_tables(settings.tasks)
    tasks = [source.read() for source in sources]
    tell_ungrouped(tasks)
    check_names([(spec.label, task.name) for spec in settings.models for task in tasks])
    unsupported = check_protocols(protocols, tasks, say)
    if settings.task_statistics:
        check_fittable(tasks)
    seen: dict[str, str] = {}
    how = {"verify": settings.verify, "read_only": settings.read_only}
    hashes = ContentHashes(settings.out / AUDIO_HASHES, **how, seen=seen)
    memory = FileMemory(settings.out / CHECKED_AUDIO, **how, seen=seen)
    evaluations: dict[Path, Evaluation] = {}  # two choices of layers can have one in common
    for module, source in _pairs(settings, sources, protocols, memory, say):
        task = source.read()
        if settings.task_statistics:
            module = fit_to_task(module, task)
            identify(module, settings.out, check_load=False, save=not settings.read_only)
        stored = stored_embeddings(
            module,
            source,
            task,
            settings.out,
            hashes,
            memory,
            dtype=settings.dtype,
            cached=settings.cache_audio * 1e9,
            read_only=settings.read_only,
        )
        for info, embeddings, readers in _layers(module, stored, protocols):
            for evaluation in evaluations_of(
                info,
                embeddings,
                task,
                readers,
                read=embeddings.identity(),
                suite=source.suite,
                seeds=seeds,
                out=settings.out,
                fitted=settings.task_statistics,
            ):
                evaluations.setdefault(evaluation.directory, evaluation)
    if not evaluations and settings.shard == (1, 1):
        raise UserError(f"Nothing to run. {_LAYERS_NEEDED}")
    with contextlib.suppress(OSError):  # if not saved, the next run hashes all audio again
        hashes.save()
    return Plan(evaluations.values(), unsupported)


def _pairs(
    settings: Settings,
    sources: Sequence[TaskSource],
    protocols: Sequence[Protocol],
    memory: FileMemory,
    say: Say,
) -> Iterator[tuple[HearModule, TaskSource]]:
    """Yield the pairs of model and task of this shard, with audio checked at the model's rate."""
    checked: dict[int, list[TaskSource]] = {}
    number, (shard, n_shards) = 0, settings.shard
    for spec in settings.models:
        say(f"reading model {spec.label}")
        module = _load(spec, settings)
        _tell_single(module, protocols, say)
        rate = module.sample_rate
        if rate not in checked:
            say(f"checking the audio of {plural(len(sources), 'task')} for {rate} Hz")
            checked[rate] = check_audio(sources, rate, memory, skip_bad=settings.skip_bad)
        for source in checked[rate]:
            if number % n_shards == shard - 1:
                yield module, source
            number += 1


def _load(spec: ModelSpec, settings: Settings) -> HearModule:
    try:
        module = load_module(spec, "cpu")
        if module.reference().empty and torch.cuda.is_available():
            module = load_module(spec, "cuda")  # some models run only on a GPU
        identify(module, settings.out, check_load=True, save=not settings.read_only)
        return module
    except UnwritableError:
        raise
    except UserError as error:
        if len(settings.models) == 1:
            raise
        raise UserError(
            f"{error}\nNothing was run, because all models must load before work starts. Correct "
            "this one, or leave it out."
        ) from error


def _layers(
    module: HearModule, stored: StoredEmbeddings, protocols: Sequence[Protocol]
) -> Iterator[tuple[ModelInfo, StoredEmbeddings, list[Protocol]]]:
    """Yield a model and its embeddings, or each layer as a model, with the protocols that probe it.

    Protocols that need layers probe all layers of a model as one model.
    """
    plain = [protocol for protocol in protocols if not protocol.needs_layers]
    if not module.layers:
        yield module.info, stored, plain
    for layer in module.layers:
        yield module.layer_info(layer), dataclasses.replace(stored, layers=(layer,)), plain
    if len(module.layers) > 1:
        yield module.info, stored, [protocol for protocol in protocols if protocol.needs_layers]


def _tell_single(module: HearModule, protocols: Sequence[Protocol], say: Say) -> None:
    """Report the protocols that need more layers than a model embeds."""
    lacking = [protocol.name for protocol in protocols if protocol.needs_layers]
    if lacking and len(module.layers) < 2:
        say(f"left out: {module.spec.label} by {', '.join(lacking)}. {_LAYERS_NEEDED}")
