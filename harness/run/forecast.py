"""Estimate what is left of a run from its plan and from the units finished in its folder."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterable
from pathlib import Path

from harness.run.estimate import Estimate, Rates, WorkPart
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
    evaluations: Iterable[PlannedEvaluation],
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
    return Estimate(parts, slots, _stored_rates(out, parts.values()))


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
                split.kind, split.seconds, share * split.seconds, _USUAL_EMBEDDING
            )
    for each in evaluations:
        if each.folder not in existing:
            trained = sum(folder in existing for folder in each.probes)
            usual = each.rows * _USUAL_PROBE
            parts[out / each.folder] = WorkPart(each.kind, each.most, trained, usual)
    return parts


def _stored_rates(out: Path, parts: Iterable[WorkPart]) -> Rates:
    """Return the rates of the units that are finished in a run's folder.

    Args:
        out: the run's folder.
        parts: what is to be estimated. Only probes of the same kinds are read.
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
    for kind, usual in {part.kind: part.usual for part in parts}.items():
        if kind[0] == "probe":
            task, protocol = glob.escape(kind[2]), glob.escape(kind[1])
            units = out.glob(f"probes/*/{task}/{protocol}-seed*/unit.json")
            for path in itertools.islice(units, _ENOUGH):
                if seconds := _number(_content(path), "seconds"):
                    rates.add(kind, seconds, usual)
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
