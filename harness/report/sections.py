"""Make the sections of a report: the panels of each protocol, and of each task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.report.choice import task_models
from harness.report.comparison import compare_models
from harness.report.material import Material
from harness.report.panel import (
    ComparisonPanel,
    ModelPanel,
    ModelScope,
    Panel,
    ProtocolScope,
    SummaryPanel,
    TaskPanel,
    TaskScope,
)
from harness.report.registry import make_panels
from harness.report.sounds import Sounds
from harness.results.record import Record


@dataclass(frozen=True)
class ProtocolSection:
    """The panels of all tasks by one protocol.

    Attributes:
        summary: panels below the table of scores.
        comparison: panels of the comparison.
        notes: sentences on the whole comparison.
    """

    summary: tuple[Panel, ...]
    comparison: tuple[Panel, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TaskSection:
    """The panels of one task by one protocol.

    Attributes:
        protocol, task: names.
        panels: about all models.
        by_model: about one model each.
        missing: a sentence on panels that are missing.
        left_out: a sentence on models with scores but without panels.
    """

    protocol: str
    task: str
    panels: tuple[Panel, ...]
    by_model: dict[str, tuple[Panel, ...]] = field(default_factory=dict)
    missing: str = ""
    left_out: str = ""

    def every_panel(self) -> Sequence[Panel]:
        """Return all panels, those of single models after the others."""
        return [*self.panels, *(panel for own in self.by_model.values() for panel in own)]


def protocol_section(material: Material, protocol: str) -> ProtocolSection:
    """Make the panels of all tasks by one protocol."""
    scope = compare_models(material, protocol)
    return ProtocolSection(
        summary=make_panels(SummaryPanel, ProtocolScope(material, protocol)),
        comparison=make_panels(ComparisonPanel, scope),
        notes=scope.notes,
    )


def task_sections(
    material: Material,
    audio_bytes: int = 0,
    folder: Path = Path(),
    tasks: tuple[str, ...] = (),
) -> Iterator[TaskSection]:
    """Make the section of each task by each protocol, one after the other.

    Args:
        material: the results.
        audio_bytes: total size of recordings that may be embedded; sections get equal shares.
        folder: of the page, from which other recordings are linked.
        tasks: names of tasks; by default all.
    """
    places = [
        (protocol, task)
        for protocol in material.protocols
        for task in material.tasks(protocol)
        if not tasks or task in tasks
    ]
    for protocol, task in places:
        yield _section(material, protocol, task, Sounds(audio_bytes // len(places), folder))


def _section(material: Material, protocol: str, task: str, sounds: Sounds) -> TaskSection:
    shown, left_out = task_models(material, protocol, task)
    records = {
        model: material.records[protocol, task, model]
        for model in shown
        if (protocol, task, model) in material.records
    }
    missing = []
    if lacking := [model for model in shown if model not in records]:
        missing.append(
            f"Without predictions, because they come from a results CSV or an older version: "
            f"{', '.join(lacking)}. Classes, curves, maps and recordings of "
            f"{'this model' if len(lacking) == 1 else 'these models'} are not shown."
        )
    tested = {model: {_tested(seed) for seed in seeds} for model, seeds in records.items()}
    first = _tested(next(iter(records.values()))[0]) if records else ()
    if unlike := [model for model, found in tested.items() if found != {first}]:
        missing.append(
            f"Left out: {', '.join(unlike)}, because the classes or metrics differ from those of "
            "the first model (another version of the task)."
        )
        records = {model: seeds for model, seeds in records.items() if model not in unlike}
    return TaskSection(
        protocol,
        task,
        make_panels(TaskPanel, TaskScope(material, protocol, task, records)),
        {
            model: make_panels(ModelPanel, ModelScope(model, seeds, sounds))
            for model, seeds in records.items()
        },
        " ".join(missing),
        left_out if records else "",
    )


def _tested(record: Record) -> tuple:
    """Return the properties that must be equal for records to share a panel."""
    tests = tuple(fold.test for fold in record.folds)
    kind = (record.embedding_type, record.prediction_type)
    return *kind, record.evaluation[0], record.labels, tests
