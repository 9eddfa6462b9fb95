"""Estimate what is left of a run from its plan and from the units finished in its folder."""

from __future__ import annotations

import glob
import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.run.estimate import Estimate, Kind, Rates, WorkPart
from harness.run.folder import Folders
from harness.run.planned import PlannedEvaluation, PlannedSplit
from hear_byola.core import jsontext

_ENOUGH = 24
"""Number of probes of a kind that are read."""

# Seconds on a core of an AMD EPYC (Zen 3): for a second of audio (`hear_byola`), and for training a
# probe of `hear2021` on one embedding. Other protocols take less. Source: tests/bench/schedule.py.
_USUAL_EMBEDDING = 0.006
_USUAL_PROBE = 0.02


def forecast(
    splits: Iterable[PlannedSplit],
    evaluations: Sequence[PlannedEvaluation],
    out: Path,
    slots: int,
) -> Estimate:
    """Return an estimate of what is left to do of splits and evaluations.

    Args:
        splits, evaluations: done or not.
        out: the run's folder.
        slots: number of workers.
    """
    parts = _unfinished(splits, evaluations, out)
    usual = _usual_of_probes(evaluations, out)
    kinds = {part.kind for part in parts.values()}
    rates = _stored_rates(out, {kind: usual[kind] for kind in usual if kind in kinds})
    return Estimate(parts, slots, rates)


def _unfinished(
    splits: Iterable[PlannedSplit], evaluations: Iterable[PlannedEvaluation], out: Path
) -> dict[Path, WorkPart]:
    """Return what is left to do of a run's splits and evaluations, by their folders."""
    parts: dict[Path, WorkPart] = {}
    existing = Folders(out)
    for split in splits:
        if split.folder not in existing:
            done = sum(chunk in existing for chunk in split.chunks)
            share = done / len(split.chunks) if split.chunks else 0.0
            parts[out / split.folder] = WorkPart(
                split.kind, split.seconds, _USUAL_EMBEDDING, share * split.seconds
            )
    for each in evaluations:
        if each.folder not in existing:
            trained = sum(folder in existing for folder in each.probes)
            parts[out / each.folder] = WorkPart(each.kind, each.most, _usual_probe(each), trained)
    return parts


def _usual_probe(evaluation: PlannedEvaluation) -> float:
    return evaluation.rows * _USUAL_PROBE


def _usual_of_probes(
    evaluations: Iterable[PlannedEvaluation], out: Path
) -> dict[Kind, dict[Path, float]]:
    """Return what a probe of each kind usually takes, by the folder of a model's probes.

    Models of different frame rates train probes of one task on different numbers of embeddings.
    """
    usual: dict[Kind, dict[Path, float]] = defaultdict(dict)
    for each in evaluations:
        for folder in each.probes[:1]:
            usual[each.kind][(out / folder).parent] = _usual_probe(each)
    return usual


def _stored_rates(out: Path, probes: Mapping[Kind, Mapping[Path, float]]) -> Rates:
    """Return the rates of the units that are finished in a run's folder.

    Args:
        out: the run's folder.
        probes: kinds of probes to read, and what they usually take by the folder of a model's
            probes. The mean is used for models without an evaluation in the plan.
    """
    rates = Rates()
    for path in out.glob("embeddings/*/*/*/manifest.json"):
        record = _content(path)
        model = record.get("model")
        label = model.get("label") if isinstance(model, dict) else None
        seconds, audio = _number(record, "embed_seconds"), _number(record, "audio_seconds")
        if seconds and audio:
            split = ("embed", str(label), path.parent.parent.name)
            rates.add(split, seconds, audio * _USUAL_EMBEDDING)
    for kind, usual in probes.items():
        task, protocol = glob.escape(kind[2]), glob.escape(kind[1])
        units = out.glob(f"probes/*/{task}/{protocol}-seed*/unit.json")
        mean = statistics.fmean(usual.values())
        for path in itertools.islice(units, _ENOUGH):
            if seconds := _number(_content(path), "seconds"):
                rates.add(kind, seconds, usual.get(path.parents[1], mean))
    return rates


def _content(path: Path) -> dict:
    try:
        content = jsontext.load(path.read_bytes())
    except (OSError, ValueError):  # damaged, or removed in the meantime
        return {}
    return content if isinstance(content, dict) else {}


def _number(content: dict, name: str) -> float:
    value = content.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
