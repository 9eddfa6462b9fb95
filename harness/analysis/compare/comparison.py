"""Compare models of one or several runs, on each task and over all tasks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from harness.analysis.compare.disagreement import disagreements
from harness.analysis.compare.gather import Results, Runs, choose, read_measured, read_runs
from harness.analysis.compare.pair import (
    DEFAULT,
    ModelPair,
    PairOptions,
    TaskScore,
    compare_pair,
)
from harness.analysis.compare.paired import PairedDifference
from harness.analysis.compare.ranks import rank_rows
from harness.analysis.versions import version_notes
from harness.core.errors import UserError
from harness.metrics.intervals import TRAINING_ALLOWED
from harness.metrics.units import FEW_UNITS
from harness.probe import by_shots
from harness.results.frames import EQUAL_DIGITS
from tasks.format.task import short_names


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models compared by one protocol.

    Attributes:
        protocol: the protocol of all probes.
        models: as tables name them, in the order of the call.
        tasks: one row per task and pair of models: ``task``, ``metric``, ``higher_is_better``,
            ``a``, ``b``; ``value_a``, ``value_b`` (means over seeds); ``difference``, a minus b,
            with its 95 % interval ``ci_low``, ``ci_high``, not corrected for several tasks; ``p``,
            and ``p_holm``, corrected for the number of tasks of the pair; ``detectable``, the
            smallest difference that would be detected with 80 % power (two-sided, 5 %, without
            Holm), infinite if none would; ``p_equivalent``, of a difference of at least the margin
            by two one-sided tests, and ``p_equivalent_holm`` (NaN without a margin); ``method``, in
            words; ``n_clips``, ``n_groups`` (empty if clips are the units), ``design_effect`` (the
            variance over groups divided by that over clips), ``seeds_a``, ``seeds_b``;
            ``verdict``: ``a better``, ``b better``, ``equivalent``, ``not separable`` (5 %, after
            Holm; a significant difference is never called equivalent), or ``no verdict: `` or
            ``cannot be paired: `` with the reason.
        overall: one row per pair: ``a``, ``b``; ``n_tasks``, the number of tasks in the
            ``mean_difference``, with its interval ``ci_low``, ``ci_high``, ``p``, ``detectable``
            and ``p_equivalent``; ``left_out``, the tasks that are not in it; the number of tasks
            with significant ``wins`` and ``losses`` of a, ``equivalent``, ``ties``, ``unpaired``.
        ranks: one row per model, best first: ``model``, ``mean_rank``, ``n_tasks``, ``tie_groups``.
        critical_difference: two mean ranks differ significantly if they are further apart than
            this; None if it cannot be computed.
        rank_test: the test behind it, or why there is none.
        rank_tasks: number of tasks that are ranked, of how many, and why not the others.
        warnings: what else to know, a sentence each.
        differences: by task, a and b, the result for the pair, from which its power is computed.
        margin: smaller differences are equivalent; None if equivalence was not tested.
    """

    protocol: str
    models: tuple[str, ...]
    tasks: pd.DataFrame
    overall: pd.DataFrame
    ranks: pd.DataFrame
    critical_difference: float | None = None
    rank_test: str = ""
    rank_tasks: str = ""
    warnings: tuple[str, ...] = ()
    differences: Mapping[tuple[str, str, str], PairedDifference] = field(default_factory=dict)
    margin: float | None = None


def compare(
    results: Runs,
    models: Sequence[str],
    protocol: str | None = None,
    tasks: Sequence[str] | None = None,
    *,
    all_pairs: bool = False,
    grouped: bool = True,
    margin: float | None = None,
) -> Comparison:
    """Compare models clip by clip: differences with intervals and p-values.

    Args:
        results: results with predictions, or what :func:`harness.load` reads.
        models: two or more, as tables name them; the others are compared with the first.
        protocol: needed if the models share several.
        tasks: names of tasks, as in tables or of their directories; all by default.
        all_pairs: compare every two models.
        grouped: use the groups of tasks as independent units; otherwise clips.
        margin: also test whether models are equivalent: whether they differ by less than this,
            which is between 0 and 1.

    Raises:
        UserError: a model, task or protocol without results, fewer than two models, or no protocol
            that all models share.
    """
    options = PairOptions(grouped=grouped, margin=margin)
    rows = _Rows.of(results, models, protocol)
    if len(rows.shared) > 1:
        raise UserError(f"Choose a protocol: the models have results by {', '.join(rows.shared)}.")
    return rows.compare(rows.shared[0], tasks, options, all_pairs=all_pairs)


def compare_all(
    results: Runs,
    models: Sequence[str],
    protocol: str | None = None,
    *,
    all_pairs: bool = False,
    options: PairOptions = DEFAULT,
) -> list[Comparison]:
    """Compare models by every protocol that all share; as :func:`compare`."""
    rows = _Rows.of(results, models, protocol)
    return [rows.compare(each, None, options, all_pairs=all_pairs) for each in rows.shared]


class _Rows(NamedTuple):
    """The rows of the compared models, and the protocols that all share."""

    results: Results
    table: pd.DataFrame
    names: Sequence[str]
    shared: Sequence[str]

    @classmethod
    def of(cls, results: Runs, models: Sequence[str], protocol: str | None) -> _Rows:
        results = read_runs(results)
        names = choose(results.rows, "model", models)
        if len(names) < 2:
            known = ", ".join(sorted(set(results.rows.model)))
            raise UserError(f"Name two models or more to compare. There are {known}.")
        rows = results.rows[results.rows.model.isin(names)]
        return cls(results, rows, names, _protocols(rows, names, protocol))

    def compare(
        self, protocol: str, tasks: Sequence[str] | None, options: PairOptions, *, all_pairs: bool
    ) -> Comparison:
        rows, names = self.table[self.table.protocol == protocol], self.names
        where = f" with the protocol {protocol}"
        wanted = choose(rows, "task", tasks, where) if tasks else sorted(set(rows.task))
        grid = {
            (model, task): _cell(self.results, rows[(rows.model == model) & (rows.task == task)])
            for model in names
            for task in wanted
        }
        pairs = list(itertools.combinations(names, 2))
        pairs = pairs if all_pairs else [pair for pair in pairs if pair[0] == names[0]]
        compared = [compare_pair(wanted, a, b, grid, options) for a, b in pairs]
        rows = rows[rows.task.isin(wanted)]
        ranked = rank_rows(rows, names)
        return Comparison(
            protocol=protocol,
            models=tuple(names),
            tasks=pd.concat([pair.rows for pair in compared], ignore_index=True),
            overall=pd.DataFrame([pair.over for pair in compared]),
            ranks=ranked.ranks,
            critical_difference=ranked.critical_difference,
            rank_test=ranked.test,
            rank_tasks=ranked.tasks,
            warnings=(
                *_groups(compared, options.grouped),
                *_allowances(compared),
                *disagreements(compared, ranked.ranks),
                *version_notes(rows),
                *_unshared(self.table, names),
            ),
            differences={
                (task, pair.over["a"], pair.over["b"]): found
                for pair in compared
                for task, found in pair.differences.items()
            },
            margin=options.margin,
        )


def _protocols(rows: pd.DataFrame, models: Sequence[str], wanted: str | None) -> list[str]:
    """Return the named protocol, or all protocols that every model has."""
    of_model = {model: set(rows.protocol[rows.model == model]) for model in models}
    if wanted is not None:
        (chosen,) = choose(rows, "protocol", [wanted], f" with the model {', '.join(models)}")
        shared = [chosen] if all(chosen in of_model[model] for model in models) else []
    else:
        shared = sorted(set.intersection(*of_model.values()), key=by_shots)
    if not shared:
        by = f"by {wanted}" if wanted else "by one protocol"
        said = "; ".join(f"{model}: {', '.join(sorted(of_model[model]))}" for model in models)
        raise UserError(
            f"Not all of the models have results {by} ({said}), and results of two protocols "
            f"cannot be compared. Run them all {by}."
        )
    return shared


def _cell(results: Results, rows: pd.DataFrame) -> TaskScore | None:
    """Return a model's score on a task over its seeds; None if it was never run."""
    if rows.empty:
        return None
    measured, missing = read_measured(results, rows)
    first = rows.iloc[0]
    # Use the paired seeds, so that the difference is that of the values beside it.
    value = np.mean([m.value for m in measured]) if measured else rows.value.mean()
    return TaskScore(
        metric=first.metric,
        higher_is_better=bool(first.higher_is_better),
        task_sha256=first.task_sha256,
        value=round(float(value), EQUAL_DIGITS),
        measured=tuple(measured),
        missing=tuple(missing),
    )


def _unshared(rows: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """Return sentences on the protocols that not all models have."""
    of_model = {model: set(rows.protocol[rows.model == model]) for model in models}
    sentences = []
    for protocol in sorted(set().union(*of_model.values()), key=by_shots):
        if lacking := [model for model in models if protocol not in of_model[model]]:
            sentences.append(f"Not compared by {protocol}: not run with {', '.join(lacking)}.")
    return sentences


def _groups(compared: Sequence[ModelPair], grouped: bool) -> list[str]:
    """Return a sentence on the units, if some tasks have groups."""
    if not grouped:
        return [
            "Ungrouped: clips are taken as independent, also on tasks with groups. p and "
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
    """Return a sentence on the tasks whose variance between probe seeds is not measured."""
    rows = pd.concat([pair.rows for pair in compared])
    alone = rows[rows.method.str.contains(TRAINING_ALLOWED, regex=False)]
    if alone.empty:
        return []
    tasks = ", ".join(short_names(alone.task.drop_duplicates()))
    return [
        f"One probe seed per model on {tasks}: training noise is not measured. p and intervals "
        "include an allowance for it, and their coverage is approximate. `hear-byola run --seeds "
        "3` measures it."
    ]
