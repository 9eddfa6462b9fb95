"""The protocol ``hear2021``: the evaluation of HEAR 2021 as heareval 2021.1.3 carries it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.core.kinds import EmbeddingType
from harness.metrics.registry import find_metric
from harness.probe.protocol import ALL_KINDS, Protocol, Search
from harness.probe.protocols.mlp import HEAR_GRID, MLP
from tasks.format.files import VOCABULARY
from tasks.format.task import Task

if TYPE_CHECKING:
    from harness.embeddings.store import SplitEmbeddings
    from harness.probe.units import UnitResult


def _mended(
    task: Task,
    embeddings: Mapping[str, SplitEmbeddings],
    results: Sequence[Sequence[UnitResult]],
) -> list[str]:
    """Return where the original kit would have failed, or gone wrong by mistake."""
    import pandas as pd

    notes = []
    # The kit reads the vocabulary so, with types guessed.
    read = pd.read_csv(task.directory / VOCABULARY).label
    if [str(label) for label in read] != list(task.labels):
        notes.append("mended: labels that the original kit misreads")
    if any(run.params.get("last_row_joined") for runs in results for run in runs):
        notes.append("mended: a last batch of one row, on which the original kit ends")
    if task.embedding_type == EmbeddingType.EVENT:
        if any((np.diff(e.offsets) == 1).any() for e in embeddings.values()):
            notes.append("mended: clips of one timestamp, on which the original kit ends")
        if not find_metric(task.primary_metric).higher_is_better:
            notes.append("mended: post-processing chosen by the lowest score, not the highest")
    return notes


hear2021 = Protocol(
    name="hear2021",
    description="the MLP of HEAR 2021, as the original kit trains, searches and stops it",
    kinds=ALL_KINDS,
    classifier=MLP(),
    grid=HEAR_GRID,
    standardise=False,
    shuffle=False,
    n_points=8,
    search=Search.FIRST_FOLD,
    task_overrides=True,
    heareval_validation=True,
    notes=_mended,
)
