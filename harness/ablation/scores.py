"""The scores of an ablation study, gathered from the files of its finished evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.ablation.differences import ArmScores
from harness.ablation.study import Study
from harness.analysis.compare.influences import in_order, influence, units_of
from harness.core.errors import UserError
from harness.metrics.registry import find_metric
from harness.metrics.units import Units, group_units
from harness.results.predictions import read_predictions
from harness.run.units import Evaluation
from tasks.format.task import Task, is_synthetic

MEAN = "mean"


@dataclass(frozen=True)
class ScoredTask:
    """A task: its primary metric, whether it is in the mean, and its test units."""

    task: str
    metric: str
    averaged: bool
    units: Units


@dataclass(frozen=True)
class StudyScores:
    """All arms' scores by one protocol, in the study's order.

    Metrics that are minimised, and synthetic tasks, are not in the mean.
    """

    protocol: str
    columns: tuple[ScoredTask, ...]
    arms: Mapping[str, ArmScores]

    @property
    def units(self) -> list[Units]:
        """The test units of each column."""
        return [column.units for column in self.columns]

    @property
    def averaged(self) -> tuple[int, ...]:
        """Indices of the columns in the mean."""
        return tuple(i for i, column in enumerate(self.columns) if column.averaged)

    def groups(self) -> dict[str, tuple[int, ...]]:
        """Return the columns of each comparison of arms, by name: each task, and the mean."""
        return {c.task: (i,) for i, c in enumerate(self.columns)} | {MEAN: self.averaged}


def model_name(arm: str, seed: int) -> str:
    """Return the name of an arm's model with one training seed, as in result rows."""
    return f"{arm}-seed{seed}"


def gather_scores(
    study: Study, plan: Sequence[Evaluation], results: pd.DataFrame
) -> list[StudyScores]:
    """Gather the scores and influences of every protocol.

    Args:
        study: the study.
        plan: its evaluations; the scores of unfinished ones are NaN.
        results: the result rows of the plan.

    Raises:
        UserError: predictions are damaged, or two models were tested on different clips.
    """
    headlines = results[results.is_primary & (results.split == "all")]
    values = headlines.set_index(["protocol", "model", "task"]).value.to_dict()
    place = {
        model_name(arm.name, seed): (arm.name, row)
        for arm in study.arms
        for row, seed in enumerate(arm.seeds)
    }
    tested: dict[str, list[tuple[str, ...]]] = {}
    gathered = []
    read = {e.task_name: e.embeddings.task() for e in plan}
    for protocol in dict.fromkeys(e.protocol for e in plan):
        tasks = {e.task_name: read[e.task_name] for e in plan if e.protocol == protocol}
        columns = tuple(map(_column, tasks.values()))
        arms = {arm.name: _nothing(len(arm.seeds), columns) for arm in study.arms}
        for evaluation in plan:
            if evaluation.protocol != protocol or not evaluation.directory.is_dir():
                continue
            name, row = place[evaluation.model.label]
            task = tasks[evaluation.task_name]
            column = list(tasks).index(task.name)
            key = (protocol, evaluation.model.label, task.name)
            arms[name].values[row, column] = values.get(key, np.nan)
            arms[name].moves[column][row] = _moves(evaluation, task, tested)
        gathered.append(StudyScores(protocol, columns, arms))
    return gathered


def _nothing(n_seeds: int, columns: Sequence[ScoredTask]) -> ArmScores:
    return ArmScores(
        np.full((n_seeds, len(columns)), np.nan),
        tuple(np.full((n_seeds, column.units.n_units), np.nan) for column in columns),
    )


def _moves(
    evaluation: Evaluation, task: Task, tested: dict[str, list[tuple[str, ...]]]
) -> np.ndarray:
    """Return the influences of one evaluation's units; ``tested`` has the clips of each task."""
    folds = [in_order(read_predictions(evaluation.directory, fold.test)) for fold in task.folds]
    clips = [fold.clips for fold in folds]
    if tested.setdefault(task.name, clips) != clips:
        raise UserError(
            f"{evaluation.name}: it was tested on other clips than the arms before it. "
            f"Delete {evaluation.directory}, and run again."
        )
    return influence(task.primary_metric, folds, units_of(folds)).moves


def _column(task: Task) -> ScoredTask:
    metric = task.primary_metric
    averaged = find_metric(metric).higher_is_better and not is_synthetic(task.name)
    return ScoredTask(task.name, metric, averaged, task_units(task))


def task_units(task: Task) -> Units:
    """Return the test units in the order of :mod:`harness.analysis.compare.influences`."""
    folds = [sorted(task.clips[fold.test], key=lambda clip: clip.name) for fold in task.folds]
    groups = [tuple(clip.group for clip in fold) if task.has_groups else None for fold in folds]
    units = group_units(groups, [len(fold) for fold in folds])
    return find_metric(task.primary_metric).jackknife_units(units)
