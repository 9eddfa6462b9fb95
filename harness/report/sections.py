"""The sections of a report: what is shown of each task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType
from harness.report.choice import series, task_models
from harness.report.classes import classes_panel, confusion_panel
from harness.report.curves import curves_panel
from harness.report.maps import map_panel
from harness.report.material import Material
from harness.report.mistakes import mistakes_panel
from harness.report.panel import Panel, Section
from harness.report.scores import scores_panel
from harness.report.sounds import Sounds
from harness.report.timelines import timeline_panel
from harness.results.record import Record


def task_sections(
    material: Material,
    audio_bytes: int = 0,
    folder: Path = Path(),
    tasks: tuple[str, ...] = (),
) -> Iterator[Section]:
    """Make the section of each task by each protocol, one after the other.

    Args:
        material: what there is.
        audio_bytes: of recordings that may be embedded in all; each section gets its share.
        folder: of the page, from which other recordings are linked.
        tasks: which; all where none is named.
    """
    places = [
        (protocol, task)
        for protocol in material.protocols
        for task in material.tasks(protocol)
        if not tasks or task in tasks
    ]
    for protocol, task in places:
        yield _section(material, protocol, task, Sounds(audio_bytes // len(places), folder))


def _section(material: Material, protocol: str, task: str, sounds: Sounds) -> Section:
    panels = [scores_panel(material, protocol, task)]
    shown, left_out = task_models(material, protocol, task)
    records = {
        model: material.records[protocol, task, model]
        for model in shown
        if (protocol, task, model) in material.records
    }
    lacking = [model for model in shown if model not in records]
    missing = ""
    if lacking:
        missing = (
            f"No predictions of {', '.join(lacking)} are here (a results CSV alone, or a run of an "
            "older version), so there are no classes, curves, maps or recordings to show of "
            f"{'it' if len(lacking) == 1 else 'them'}."
        )
    if not records:
        return Section(protocol, task, tuple(panels), {}, missing)
    some = next(iter(records.values()))[0]
    unlike = [m for m, seeds in records.items() if any(_kind(s) != _kind(some) for s in seeds)]
    if unlike:
        missing += (
            f"{' ' if missing else ''}Left out: {', '.join(unlike)}, whose classes or metrics are "
            "not those of the first model: it was another version of the task."
        )
        records = {model: seeds for model, seeds in records.items() if model not in unlike}
    if not records:
        return Section(protocol, task, tuple(panels), {}, missing)
    metric = some.evaluation[0]
    panels.append(classes_panel(metric, records, series(material, protocol, tuple(records))))
    panels.append(map_panel(records))
    by_model = {
        model: _model_panels(model, seeds, metric, sounds) for model, seeds in records.items()
    }
    return Section(protocol, task, tuple(panels), by_model, missing, left_out)


def _kind(record: Record) -> tuple:
    """What records must share to stand in one panel."""
    tests = tuple(fold.test for fold in record.folds)
    kind = (record.embedding_type, record.prediction_type)
    return *kind, record.evaluation[0], record.labels, tests


def _model_panels(
    model: str, seeds: Sequence[Record], metric: str, sounds: Sounds
) -> tuple[Panel, ...]:
    kind = "event" if seeds[0].embedding_type == EmbeddingType.EVENT else seeds[0].prediction_type
    makers: list[Any] = [
        partial(curves_panel, model, seeds, metric),
        partial(mistakes_panel, model, seeds, metric, sounds),
    ]
    if kind == "event":
        makers.insert(0, partial(timeline_panel, model, seeds, metric, sounds))
    if kind == "multiclass":
        makers.insert(0, partial(confusion_panel, model, seeds))
    return tuple(_made(model, make) for make in makers)


_TITLES: dict[Callable[..., Panel], tuple[str, str]] = {
    timeline_panel: ("timeline", "Truth and prediction"),
    confusion_panel: ("confusion", "Confusions"),
    curves_panel: ("curve", "Validation of the selected probe"),
    mistakes_panel: ("mistakes", "Worst mistakes"),
}


def _made(model: str, make: Any) -> Panel:
    """Make a panel; what cannot be read leaves a sentence in its place."""
    try:
        return make()
    except UserError as error:
        name, title = _TITLES[make.func]
        return Panel(name, title, f"There is nothing to show: {error}", model=model)
