"""Make result rows for tests."""

from __future__ import annotations

import dataclasses

from harness.models.info import ModelInfo
from harness.results.row import (
    FIELDS,
    EmbeddingInfo,
    Measurement,
    ProbeInfo,
    ResultRow,
    RunInfo,
    TaskInfo,
)


def row(**changes) -> ResultRow:
    """Return a row with some of its columns changed, without validation."""
    base = ResultRow(
        run=RunInfo(run_id="r1", started_at="2026-01-01T00:00:00+00:00"),
        model=ModelInfo(
            label="m", options='{"d": 512}', fingerprint="f", frontend_convention="slaney"
        ),
        task=TaskInfo(name="t-v1-full", version="v1", sha256="abc", suite="demo"),
        embedding=EmbeddingInfo(),
        probe=ProbeInfo(protocol="linear", seed=0),
        measurement=Measurement(
            split="all",
            metric="top1_acc",
            is_primary=True,
            higher_is_better=True,
            value=0.5,
            ci_low=0.4,
            ci_high=0.6,
            n_boot=1000,
            notes='a "quoted", comma',
        ),
    )
    if (value := changes.get("value")) is not None:
        # A row's interval must contain its value.
        changes = {"ci_low": value - 0.1, "ci_high": value + 0.1} | changes
    parts = dict(vars(base))
    for column, value in changes.items():
        group, field = FIELDS[column]
        parts[group] = parts[group].model_copy(update={field: value})
    return dataclasses.replace(base, **parts)
