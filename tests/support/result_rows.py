"""Result rows for tests."""

from __future__ import annotations

import dataclasses

from harness.results import SCHEMA_VERSION, ResultRow


def row(**changes) -> ResultRow:
    base = ResultRow(
        schema_version=SCHEMA_VERSION,
        run_id="r1",
        model="m",
        model_options='{"d": 512}',
        model_fingerprint="f",
        checkpoint="",
        checkpoint_sha256="",
        frontend_convention="slaney",
        task="t-v1-full",
        task_version="v1",
        task_sha256="abc",
        suite="demo",
        protocol="linear",
        seed=0,
        split="all",
        metric="top1_acc",
        is_primary=True,
        higher_is_better=True,
        value=0.5,
        ci_low=0.4,
        ci_high=0.6,
        n_boot=1000,
        resampled_from=None,
        notes='a "quoted", comma',
        started_at="2026-01-01T00:00:00+00:00",
    )
    if (value := changes.get("value")) is not None:
        # An interval holds its value.
        changes = {"ci_low": value - 0.1, "ci_high": value + 0.1} | changes
    return dataclasses.replace(base, **changes)
