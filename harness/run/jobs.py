"""The functions that workers run, one for each kind of unit: embed, probe, score.

Each function claims its unit, does nothing if another process has done it, and writes its output in
one step. It returns what became of the unit.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
import warnings
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from harness.core.errors import UserError
from harness.core.files import FileState, file_state, new_directory, write_file
from harness.core.lease import lease
from harness.embeddings.chunks import Chunk, embed_chunk, join_chunks
from harness.embeddings.embed import embed_split
from harness.embeddings.embedder import Read
from harness.models.loading import load_module
from harness.models.module import HearModule
from harness.probe import ProbeUnit, UnitResult, criterion, find_protocol, scored
from harness.probe.partial import Partial
from harness.probe.run import run_unit
from harness.results import write_result
from harness.results.predictions import gather, write_predictions
from harness.results.record import write_record
from harness.results.row import RunInfo
from harness.run.evaluation import depends_on_seed, evaluate, predicted_scores
from harness.run.folder import AUDIO_HASHES, RESAMPLED_AUDIO, failure_of
from harness.run.models import check_identity
from harness.run.printed import printed_to_file
from harness.run.pulse import pulse
from harness.run.rows import result_rows
from harness.run.units import EmbeddingUnit, Evaluation
from tasks.audio import ContentHashes, read_audio, source_rate
from tasks.audio_cache import AudioCache
from tasks.format.task import Task, TaskSource


class Outcome(Enum):
    """What became of a unit: this call did it, it was found done, or it is not done yet."""

    DONE = "done"
    FOUND = "found"
    OPEN = "open"


def timed(function: Callable[..., Outcome], *arguments: Any, device: str) -> tuple[Outcome, float]:
    """Call one of the functions below; return its result and the seconds that it took."""
    began = time.perf_counter()
    return function(*arguments, device=device), time.perf_counter() - began


def embed(out: Path, unit: EmbeddingUnit, *, device: str) -> Outcome:
    """Embed one split, or join its chunks."""
    with _claimed(unit.directory) as mine:
        if mine:
            with printed_to_file(unit.directory):
                _embed(out, unit, device)
    return _outcome(unit.directory, mine=mine)


def embed_part(out: Path, unit: EmbeddingUnit, chunk: Chunk, *, device: str) -> Outcome:
    """Embed one chunk of a split."""
    if unit.directory.is_dir():
        return Outcome.FOUND  # another process has joined the chunks
    with _claimed(chunk.directory) as mine:
        if mine:
            with printed_to_file(chunk.directory):
                _embed_part(out, unit, chunk, device)
    return _outcome(chunk.directory, mine=mine)


def _embed(out: Path, unit: EmbeddingUnit, device: str) -> None:
    failure_of(unit.directory).unlink(missing_ok=True)
    module, hashes, task = _module(unit, out, device), _hashes(out), _task(unit.source)
    if unit.chunks:
        join_chunks(unit.directory, unit.chunks, task, unit.split, module, hashes, dtype=unit.dtype)
        return
    with pulse(unit.directory) as tell:
        made = embed_split(
            task,
            unit.split,
            module,
            out,
            hashes,
            dtype=unit.dtype,
            progress=_counter(tell, len(task.clips[unit.split])),
            read=_read(unit, out, task, module),
        )
    if made != unit.directory:
        raise UserError(
            f"The audio of {unit.source.directory.name} changed during the run. Run again."
        )


def _embed_part(out: Path, unit: EmbeddingUnit, chunk: Chunk, device: str) -> None:
    failure_of(unit.directory).unlink(missing_ok=True)
    module, hashes, task = _module(unit, out, device), _hashes(out), _task(unit.source)
    with pulse(chunk.directory) as tell:
        embed_chunk(
            chunk,
            task,
            unit.split,
            module,
            hashes,
            dtype=unit.dtype,
            progress=_counter(tell, len(chunk.clips)),
            read=_read(unit, out, task, module),
        )


def run_probe(evaluation: Evaluation, unit: ProbeUnit, *, device: str) -> Outcome:
    """Train one probe and predict its test split."""
    directory = evaluation.probe_directory(unit)
    with _claimed(directory) as mine:
        if mine:
            task, embeddings = evaluation.embeddings.load()
            protocol = find_protocol(evaluation.protocol)
            partial = Partial(directory.with_name(f"{directory.name}.partial"))
            with _one_thread(), pulse(directory) as tell:
                result = run_unit(
                    protocol,
                    unit,
                    task,
                    embeddings,
                    evaluation.seed,
                    device=device,
                    tell=tell,
                    partial=partial,
                )
            with new_directory(directory) as temporary:
                result.to_files(temporary)
            partial.remove()
    return _outcome(directory, mine=mine)


def score(
    evaluation: Evaluation, units: list[list[ProbeUnit]], run: RunInfo, *, device: str
) -> Outcome:
    """Score the selected probes of an evaluation, and write its result."""
    with _claimed(evaluation.directory) as mine:
        if mine:
            task, embeddings = evaluation.embeddings.load()
            protocol = find_protocol(evaluation.protocol)
            _, maximised = criterion(protocol, task)
            task = scored(protocol, task)
            results = [
                [UnitResult.from_files(evaluation.probe_directory(unit)) for unit in runs]
                for runs in units
            ]
            with _one_thread():
                folds = gather(task, embeddings, results)
                random = depends_on_seed(protocol, task, embeddings, results)
                values = evaluate(task, folds, is_random=random)
            rows = result_rows(
                evaluation=evaluation,
                run=run,
                task=task,
                embeddings=embeddings,
                results=results,
                values=values,
                device=device,
            )
            source = ", ".join(str(path) for path in evaluation.embeddings.paths())
            document = predicted_scores(
                task, folds, results, values, maximised=maximised, embedding_path=source
            )
            with new_directory(evaluation.directory) as temporary:
                for fold in folds:
                    write_predictions(fold, temporary)
                write_file(
                    temporary / "test.predicted-scores.json", json.dumps(document, indent=4) + "\n"
                )
                write_record(
                    temporary,
                    run=evaluation.out,
                    task=task,
                    embeddings=dict(evaluation.embeddings.by_split()),
                    probes={
                        fold.test: [evaluation.probe_directory(unit) for unit in runs]
                        for fold, runs in zip(task.folds, units, strict=True)
                    },
                )
                write_result(temporary, rows)
    return _outcome(evaluation.directory, mine=mine)


def _counter(tell: Callable[[str], None], total: int) -> Callable[[int], None]:
    done = 0

    def progress(clips: int) -> None:
        nonlocal done
        done += clips
        tell(f"clip {done:,} of {total:,}")

    return progress


@contextlib.contextmanager
def _claimed(directory: Path) -> Iterator[bool]:
    if directory.is_dir():
        yield False
        return
    with lease(directory) as mine:
        yield mine and not directory.is_dir()


def _outcome(directory: Path, *, mine: bool) -> Outcome:
    if not directory.is_dir():  # another process holds the unit, or the folder was removed
        return Outcome.OPEN
    return Outcome.DONE if mine else Outcome.FOUND


# A worker keeps the hashes, the task and the model of its last unit. Reading a table or a memory of
# 100,000 clips takes as long as embedding hundreds of them.
_hashes = functools.lru_cache(maxsize=1)(lambda out: ContentHashes(out / AUDIO_HASHES))
_tasks: dict[tuple[str, tuple[FileState, ...]], Task] = {}
_loaded: dict[tuple[str, str, str], HearModule] = {}


def _task(source: TaskSource) -> Task:
    tables = sorted((*source.directory.glob("*.json"), *source.directory.glob("*.csv")))
    key = (repr(source), tuple(map(file_state, tables)))
    if key not in _tasks:
        _tasks.clear()
        _tasks[key] = source.read()
    return _tasks[key]


def _read(unit: EmbeddingUnit, out: Path, task: Task, module: HearModule) -> Read:
    """Return the function that reads the audio of a unit; only resampled audio is cached."""
    if not unit.cached or source_rate(task, module.sample_rate) == module.sample_rate:
        return read_audio
    return AudioCache((out / RESAMPLED_AUDIO).absolute(), unit.cached, _hashes(out)).read


def _module(unit: EmbeddingUnit, out: Path, device: str) -> HearModule:
    if unit.spec.live:  # it can have changed since its last use
        return _load(unit, out, device)
    key = (repr(unit.spec), unit.model_fingerprint, device)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = _load(unit, out, device)
    return _loaded[key]


def _load(unit: EmbeddingUnit, out: Path, device: str) -> HearModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were shown during planning
        module = load_module(unit.spec, device)
        check_identity(module, out, unit.model_fingerprint)
    return module


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    # Probes are small: one thread is fastest, and the order of sums is the same on every machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
