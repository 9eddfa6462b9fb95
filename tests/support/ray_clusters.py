"""Start Ray clusters of several nodes on this machine, and compare runs on them with local ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.kills import OF_A_RUN

from harness.core.errors import UserError
from harness.core.ray import cluster as clusters
from harness.results import read_csv


@contextmanager
def cluster_of(*cpus: int) -> Iterator[Any]:
    """Start a head and further nodes with these numbers of CPUs; yield the cluster."""
    pytest.importorskip("ray")
    clusters.import_ray()  # with the settings of our own clusters
    from ray.cluster_utils import Cluster

    started = Cluster()
    try:
        for number in cpus:
            started.add_node(
                num_cpus=number, include_dashboard=False, object_store_memory=clusters._STORE
            )
        yield started
    finally:
        started.shutdown()


def call(function: Callable, *arguments: object, device: str) -> str:
    """Call a function as a unit of work does, and return the device."""
    function(*arguments)
    return device


def make_mistake() -> None:
    """Raise a user's mistake."""
    raise UserError("a mistake")


def rows_of(out: Path) -> pd.DataFrame:
    """Return the rows of a run without those fields that differ between equal runs."""
    return read_csv(out / "results.csv").drop(columns=OF_A_RUN)


def assert_same_results(one: Path, other: Path) -> None:
    """Assert that two runs have equal rows, and equal arrays to the last byte."""
    pd.testing.assert_frame_equal(rows_of(one), rows_of(other))
    arrays = [path.relative_to(one) for path in sorted(one.rglob("*.np[yz]"))]
    assert arrays
    assert [path.relative_to(other) for path in sorted(other.rglob("*.np[yz]"))] == arrays
    for path in arrays:
        assert _content(one / path) == _content(other / path), path


def _content(path: Path) -> Sequence[tuple[str, bytes]]:
    read = np.load(path, allow_pickle=False)
    if path.suffix == ".npy":
        return [("", read.tobytes())]
    return [(name, read[name].tobytes()) for name in read]
