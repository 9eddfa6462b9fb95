"""Make the result rows of an evaluation: its values, and the facts needed to interpret them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from importlib import metadata

import numpy as np
import torch

from harness.embeddings.store import SplitEmbeddings
from harness.metrics.registry import find_metric
from harness.probe import Protocol, find_protocol, scored, task_kind
from harness.probe.scale import scale_fault
from harness.probe.shots import draw_clips, scarce_labels
from harness.results.frames import FITTED, OUT_OF_SCALE, SCARCE
from harness.results.predictions import Folds
from harness.results.row import (
    EmbeddingInfo,
    Measurement,
    ProbeInfo,
    ResultRow,
    RunInfo,
    TaskInfo,
)
from harness.run.evaluation import Value
from harness.run.units import PROBE_VERSION, Evaluation
from tasks.format.task import Fold, Task


def run_info(command: str) -> RunInfo:
    """Return the fields that all rows of a run have in common; the run starts now."""
    started = datetime.datetime.now(datetime.timezone.utc)
    return RunInfo(
        run_id=started.strftime("%Y%m%dT%H%M%S.%fZ"),
        command=command,
        started_at=started.isoformat(timespec="seconds"),
        harness_version=metadata.version("hear-byola"),
        torch_version=torch.__version__,
    )


def result_rows(
    evaluation: Evaluation,
    run: RunInfo,
    task: Task,
    embeddings: Mapping[str, SplitEmbeddings],
    results: Folds,
    values: Sequence[Value],
    device: str,
) -> list[ResultRow]:
    """Return one row for each value of a successful evaluation."""
    manifests = [embeddings[split].manifest for split in task.splits]
    embedding = EmbeddingInfo(
        embedding_size=_size(next(iter(embeddings.values()))),
        hop_ms=manifests[0].get("hop_ms"),
        resampled_from=manifests[0].get("resampled_from"),
        n_skipped=sum(m.get("n_skipped", 0) for m in manifests),
        embed_seconds=_sum(m.get("embed_seconds") for m in manifests),
        audio_seconds=_sum(m.get("audio_seconds") for m in manifests),
        device=manifests[0].get("device", device),
    )
    protocol = find_protocol(evaluation.protocol)
    probed = protocol.notes(task, embeddings, results)
    probed += _out_of_scale(protocol, task, embeddings)
    probed += _scarce(protocol, task)
    return [
        ResultRow(
            run=run,
            model=evaluation.model,
            task=_task_info(evaluation, task),
            embedding=embedding,
            probe=_probe_info(evaluation, value.split, task, embeddings, results),
            measurement=_measurement(
                task, value, _notes(evaluation, task, manifests, value, probed)
            ),
        )
        for value in values
    ]


def _size(split: SplitEmbeddings) -> int:
    """Return the size of an embedding; of several layers, that of the largest."""
    columns = split.manifest.get("layers", {}).values()
    whole = split.embeddings.shape[1]
    if whole == max((end for _, end in columns), default=0):
        return max(end - begin for begin, end in columns)
    return whole


def failure_row(evaluation: Evaluation, run: RunInfo, task: Task, error: str) -> ResultRow:
    """Return the row of an evaluation that failed: the primary metric, without a value."""
    protocol = find_protocol(evaluation.protocol)
    task = scored(protocol, task)
    return ResultRow(
        run=run,
        model=evaluation.model,
        task=_task_info(evaluation, task),
        embedding=EmbeddingInfo(),
        probe=ProbeInfo(
            protocol=evaluation.protocol,
            version=PROBE_VERSION,
            seed=evaluation.seed,
            shots=protocol.shots,
        ),
        measurement=Measurement(
            split="all",
            metric=task.primary_metric,
            is_primary=True,
            higher_is_better=find_metric(task.primary_metric).higher_is_better,
            status="failed",
            error=error,
        ),
    )


def _task_info(evaluation: Evaluation, task: Task) -> TaskInfo:
    return TaskInfo(
        name=task.name,
        version=task.version,
        sha256=task.sha256,
        suite=evaluation.suite,
        kind=task_kind(task),
    )


def _probe_info(
    evaluation: Evaluation,
    split: str,
    task: Task,
    embeddings: Mapping[str, SplitEmbeddings],
    results: Folds,
) -> ProbeInfo:
    protocol = find_protocol(evaluation.protocol)
    chosen = [
        (fold, runs)
        for fold, runs in zip(task.folds, results, strict=True)
        if split in (fold.name, "all")
    ]

    def trained_on(fold: Fold) -> int:
        if protocol.shots is None:
            return sum(len(embeddings[split].clips) for split in fold.train)
        drawn = draw_clips(task, fold, protocol.shots, evaluation.seed)
        return sum(map(len, drawn.values()))

    # Numbers of clips are means over folds.
    return ProbeInfo(
        protocol=evaluation.protocol,
        version=PROBE_VERSION,
        seed=evaluation.seed,
        n_train=round(np.mean([trained_on(fold) for fold, _ in chosen])),
        n_valid=round(np.mean([len(embeddings[fold.valid].clips) for fold, _ in chosen])),
        selected_params=_params(chosen),
        probe_seconds=sum(run.seconds for _, runs in chosen for run in runs),
        shots=protocol.shots,
    )


def _measurement(task: Task, value: Value, notes: str) -> Measurement:
    estimate, interval = value.estimate, value.estimate.interval
    return Measurement(
        split=value.split,
        metric=value.key,
        is_primary=value.key == task.primary_metric,
        higher_is_better=find_metric(value.metric).higher_is_better,
        value=value.value,
        ci_low=interval.low,
        ci_high=interval.high,
        ci_method=interval.method,
        n_boot=interval.n_boot,
        standard_error=estimate.standard_error,
        freedom=estimate.freedom,
        training_error=estimate.training_error,
        n_groups=estimate.n_groups,
        design_effect=estimate.design_effect,
        clip_error=estimate.clip_error,
        fold_std=value.fold_std,
        n_test=value.n_test,
        n_classes=value.n_classes,
        n_classes_scored=value.n_classes_scored,
        notes=notes,
    )


def _params(chosen: Sequence[tuple[Fold, Sequence]]) -> str:
    params = {fold.name: [run.params for run in runs] for fold, runs in chosen}
    first = next(iter(params.values()))[0]
    if all(run == first for runs in params.values() for run in runs):
        return json.dumps(first, sort_keys=True, default=str)
    return json.dumps(params, sort_keys=True, default=str)


def _notes(
    evaluation: Evaluation,
    task: Task,
    manifests: Sequence[Mapping],
    value: Value,
    probed: Sequence[str],
) -> str:
    notes = [*([FITTED] if evaluation.fitted else []), *task.unlike_card, *probed]
    if value.unscored:
        notes.append("classes not scored, absent from the test split: " + ", ".join(value.unscored))
    skipped = [f"{m['split']}: {', '.join(m['skipped'])}" for m in manifests if m.get("skipped")]
    if skipped:
        notes.append("left out for bad audio: " + "; ".join(skipped))
    halvings = sum(m.get("batch_halvings", 0) for m in manifests)
    if halvings:
        notes.append(f"out of memory: batch halved {halvings} times")
    return "; ".join(notes)


def _out_of_scale(
    protocol: Protocol, task: Task, embeddings: Mapping[str, SplitEmbeddings]
) -> list[str]:
    """Return a note if a protocol without input normalisation meets embeddings that need it."""
    if protocol.standardise or protocol.classifier.any_scale:
        return []
    trained_on = dict.fromkeys(split for fold in task.folds for split in fold.train)
    fault = scale_fault([embeddings[split] for split in trained_on])
    return [f"{OUT_OF_SCALE}: {fault}"] if fault else []


def _scarce(protocol: Protocol, task: Task) -> list[str]:
    """Return a note on the labels with fewer training clips than shots."""
    scarce = {} if protocol.shots is None else scarce_labels(task, protocol.shots)
    said = ", ".join(f"{label} ({count})" for label, count in scarce.items())
    return [f"{SCARCE}: {said}"] if said else []


def _sum(numbers: object) -> float | None:
    known = [n for n in numbers if n is not None]  # type: ignore[attr-defined]
    return float(np.sum(known)) if known else None
