"""All metrics by name, found in the modules of :mod:`harness.metrics.definitions`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from harness.core.discovery import defined_in
from harness.core.errors import UserError, did_you_mean
from harness.metrics import definitions, retrieval
from harness.metrics.event_metric import EventMetric
from harness.metrics.metric import AnyMetric, Metric
from harness.metrics.scene_metric import SceneMetric

Kind = TypeVar("Kind")


METRICS: Mapping[str, AnyMetric] = MappingProxyType(
    defined_in(definitions, Metric)  # type: ignore[type-abstract]
)
"""The metrics that a task's ``evaluation`` list may contain."""

RETRIEVAL: Mapping[str, AnyMetric] = MappingProxyType(
    defined_in(retrieval, Metric)  # type: ignore[type-abstract]
)
"""The metrics that the protocol ``retrieval`` reports instead of those of the task."""

REPORTED: Mapping[str, AnyMetric] = MappingProxyType(
    {each.name: each for metric in METRICS.values() for each in (metric, *metric.parts)}
    | dict(RETRIEVAL)
)
"""The metrics that result rows may contain: all metrics and their parts."""


def metrics_of(embedding_type: str, prediction_type: str | None = None) -> dict[str, AnyMetric]:
    """Return the metrics of a kind of task, by name."""
    return {
        name: metric
        for name, metric in METRICS.items()
        if metric.embedding_type == embedding_type
        and (prediction_type is None or prediction_type in metric.prediction_types)
    }


def find_metric(name: str) -> AnyMetric:
    """Return the metric, or part of a metric, of this name.

    Raises:
        UserError: there is none.
    """
    return _find(name, "", REPORTED)


def scene_metric(name: str) -> SceneMetric:
    """Return a metric of scene tasks; as :func:`find_metric`."""
    return _find(name, "scene ", {n: m for n, m in REPORTED.items() if isinstance(m, SceneMetric)})


def event_metric(name: str) -> EventMetric:
    """Return a metric of event tasks; as :func:`find_metric`."""
    return _find(name, "event ", {n: m for n, m in REPORTED.items() if isinstance(m, EventMetric)})


def _find(name: str, kind: str, known: Mapping[str, Kind]) -> Kind:
    if name not in known:
        raise UserError(
            f"There is no {kind}metric '{name}'.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}."
        )
    return known[name]
