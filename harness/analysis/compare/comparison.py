"""Compare models of one or several runs, on each task and over all tasks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.compare.disagreement import disagreements
from harness.analysis.compare.gather import Results, choose, gather, read_measured
from harness.analysis.compare.pair import ModelPair, TaskScore, compare_pair
from harness.analysis.compare.paired import PairedDifference
from harness.analysis.compare.ranks import rank_rows
from harness.core.errors import UserError
from harness.metrics.intervals import TRAINING_ALLOWED
from harness.metrics.units import FEW_UNITS
from harness.results.frames import EQUAL_DIGITS
from tasks.format.task import short_names


@dataclass(frozen=True)
class Comparison:
    """Models by one protocol.

    Attributes:
        protocol: by which all were probed.
        models: as tables name them, in the order asked for.
        tasks: one row a task and pair of models: ``task``, ``metric``, ``higher_is_better``,
            ``a``, ``b``; ``value_a``, ``value_b`` (means over seeds); ``difference``, a less b,
            with its 95 % interval ``ci_low``, ``ci_high`` for one difference at a time; ``p``, and
            ``p_holm``, corrected for the number of tasks of the pair; ``detectable``, the smallest
            difference that would be detected with 80 % power (two-sided, 5 %, without Holm),
            infinite if none would; ``p_equivalent`` of a difference of the margin or more, by two
            one-sided tests, and ``p_equivalent_holm`` (NaN without a margin); ``method``, in words;
            ``n_clips``, ``n_groups`` (empty where clips are the units), ``design_effect`` (the
            variance over groups divided by that over clips), ``seeds_a``, ``seeds_b``;
            ``verdict``: ``a better``, ``b better``, ``equivalent``, ``not separable`` (5 %, after
            Holm; a difference that is significant is never called equivalent),
            ``no verdict: `` and why, or ``cannot be paired: `` and why.
        overall: one row a pair: ``a``, ``b``; ``n_tasks`` in the ``mean_difference``, with its
            interval ``ci_low``, ``ci_high``, ``p``, ``detectable`` and ``p_equivalent``;
            ``left_out``, the tasks that are not in it; significant ``wins`` and ``losses`` of a,
            ``equivalent``, ``ties``, ``unpaired`` tasks.
        ranks: one row a model, best first: ``model``, ``mean_rank``, ``n_tasks``, ``tie_groups``.
        critical_difference: two mean ranks further apart than this differ; None where there is
            none.
        rank_test: the test it stands on, or why there is none.
        rank_tasks: on how many of how many tasks ranks stand, and why not on the others.
        warnings: what else to know, a sentence each.
        differences: by task, a and b what was computed of a pair, for its power.
        margin: smaller differences are equivalent; None where that was not tested.
    """

    protocol: str
    models: tuple[str, ...]
    tasks: pd.DataFrame
    overall: pd.DataFrame
    ranks: pd.DataFrame
    critical_difference: float | None
    rank_test: str
    rank_tasks: str
    warnings: tuple[str, ...]
    differences: Mapping[tuple[str, str, str], PairedDifference] = field(default_factory=dict)
    margin: float | None = None


def compare(
    runs: Path | str | Sequence[Path | str] | Results,
    models: Sequence[str],
    protocol: str | None = None,
    tasks: Sequence[str] | None = None,
    *,
    all_pairs: bool = False,
    grouped: bool = True,
    margin: float | None = None,
) -> Comparison:
    """Compare models, each with the first or all with each other.

    Args:
        runs: folders of runs, one or several; CSVs too, whose rows can be paired where a CSV is the
            ``results.csv`` of a run's folder; or what was gathered of them, which remembers what
            was measured.
        models: two or more, as tables name them; the first is the reference.
        protocol: needed where the models have results by several.
        tasks: names as in tables, or directory names; all by default.
        all_pairs: compare every two models.
        grouped: use the groups of tasks that have them as the independent units; otherwise clips.
        margin: also test whether differences are smaller than this, between 0 and 1.

    Raises:
        UserError: a model, task or protocol of which there are no results, fewer than two models,
            or no protocol by which all were probed.
    """
    results = runs if isinstance(runs, Results) else gather(runs)
    names = _names(results.rows, models)
    rows = results.rows[results.rows.model.isin(names)]
    shared = _protocols(rows, names, protocol)
    if len(shared) > 1:
        raise UserError(f"Choose a protocol: the models have results by {', '.join(shared)}.")
    return _compare(results, rows, names, shared[0], tasks, all_pairs, grouped, margin)


def compare_all(
    runs: Path | str | Sequence[Path | str] | Results,
    models: Sequence[str],
    protocol: str | None = None,
    tasks: Sequence[str] | None = None,
    *,
    all_pairs: bool = False,
    grouped: bool = True,
    margin: float | None = None,
) -> list[Comparison]:
    """Compare models by every protocol by which all were probed; as :func:`compare`."""
    results = runs if isinstance(runs, Results) else gather(runs)
    names = _names(results.rows, models)
    rows = results.rows[results.rows.model.isin(names)]
    shared = _protocols(rows, names, protocol)
    wanted = choose(rows, "task", tasks) if tasks else None
    return [
        _compare(results, rows, names, each, wanted, all_pairs, grouped, margin)
        for each in shared
        if not wanted or set(wanted) & set(rows.task[rows.protocol == each])
    ]


def _names(rows: pd.DataFrame, models: Sequence[str]) -> list[str]:
    names = choose(rows, "model", models)
    if len(names) < 2:
        known = ", ".join(sorted(set(rows.model)))
        raise UserError(f"Name two models or more to compare. There are {known}.")
    return names


def _compare(
    results: Results,
    rows: pd.DataFrame,
    names: Sequence[str],
    protocol: str,
    tasks: Sequence[str] | None,
    all_pairs: bool,
    grouped: bool,
    margin: float | None,
) -> Comparison:
    if margin is not None and not 0 < margin < 1:
        raise UserError(f"The margin must be between 0 and 1, not {margin:g}.")
    all_rows, rows = rows, rows[rows.protocol == protocol]
    wanted = choose(rows, "task", tasks) if tasks else sorted(set(rows.task))
    grid = {
        (model, task): _cell(results, rows[(rows.model == model) & (rows.task == task)])
        for model in names
        for task in wanted
    }
    pairs = list(itertools.combinations(names, 2))
    pairs = pairs if all_pairs else [pair for pair in pairs if pair[0] == names[0]]
    compared = [compare_pair(wanted, a, b, grid, grouped=grouped, margin=margin) for a, b in pairs]
    ranked = rank_rows(rows[rows.task.isin(wanted)], names)
    return Comparison(
        protocol,
        tuple(names),
        pd.concat([pair.rows for pair in compared], ignore_index=True),
        pd.DataFrame([pair.over for pair in compared]),
        ranked.ranks,
        ranked.critical_difference,
        ranked.test,
        ranked.tasks,
        (
            *_groups(compared, grouped),
            *_allowances(compared),
            *disagreements(compared, ranked.ranks),
            *_unshared(all_rows, names),
        ),
        {
            (task, pair.over["a"], pair.over["b"]): found
            for pair in compared
            for task, found in pair.differences.items()
        },
        margin,
    )


def _protocols(rows: pd.DataFrame, models: Sequence[str], wanted: str | None) -> list[str]:
    """The protocol asked for, or all by which every model was probed."""
    of_model = {model: set(rows.protocol[rows.model == model]) for model in models}
    if wanted is not None:
        (chosen,) = choose(rows, "protocol", [wanted])
        shared = [chosen] if all(chosen in of_model[model] for model in models) else []
    else:
        shared = sorted(set.intersection(*of_model.values()))
    if not shared:
        by = f"by {wanted}" if wanted else "by one protocol"
        said = "; ".join(f"{model}: {', '.join(sorted(of_model[model]))}" for model in models)
        raise UserError(
            f"Not all of the models have results {by} ({said}), and results of two protocols "
            f"cannot be compared. Run them all {by}."
        )
    return shared


def _cell(results: Results, rows: pd.DataFrame) -> TaskScore | None:
    """Read a model's seeds on a task; None where it was never run."""
    if rows.empty:
        return None
    measured, missing = read_measured(results, rows)
    first = rows.iloc[0]
    # The seeds that are paired, so that the difference is that of the values beside it.
    value = np.mean([m.value for m in measured]) if measured else rows.value.mean()
    return TaskScore(
        first.metric,
        bool(first.higher_is_better),
        first.task_sha256,
        round(float(value), EQUAL_DIGITS),
        tuple(measured),
        tuple(missing),
    )


def _unshared(rows: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """Name the protocols that not all models have."""
    of_model = {model: set(rows.protocol[rows.model == model]) for model in models}
    sentences = []
    for protocol in sorted(set().union(*of_model.values())):
        if lacking := [model for model in models if protocol not in of_model[model]]:
            sentences.append(f"Not compared by {protocol}: not run with {', '.join(lacking)}.")
    return sentences


def _groups(compared: Sequence[ModelPair], grouped: bool) -> list[str]:
    """Say which units the intervals resample, where a task has groups."""
    if not grouped:
        return [
            "Ungrouped: clips are taken as independent, also where a task has groups. p and "
            "intervals are then too optimistic."
        ]
    rows = pd.concat([pair.rows for pair in compared])
    few = rows[rows.p.notna() & (rows.n_groups < FEW_UNITS).fillna(False)]
    if few.empty:
        return []
    counts = dict(zip(short_names(few.task), few.n_groups))
    said = ", ".join(f"{task} ({count})" for task, count in counts.items())
    return [
        f"Few test groups on {said}: intervals are wide, and below {FEW_UNITS} groups "
        "their coverage is approximate."
    ]


def _allowances(compared: Sequence[ModelPair]) -> list[str]:
    """Say where the spread of probe seeds is not known."""
    rows = pd.concat([pair.rows for pair in compared])
    alone = rows[rows.method.str.contains(TRAINING_ALLOWED, regex=False)]
    if alone.empty:
        return []
    tasks = ", ".join(short_names(alone.task.drop_duplicates()))
    return [
        f"One probe seed a model on {tasks}: training noise is not measured. p and intervals "
        "include an allowance for it, and their coverage is approximate. `hear-byola run --seeds "
        "3` measures it."
    ]
