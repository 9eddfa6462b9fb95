"""Power of the comparisons of a run, as rows and as text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from harness.analysis.compare.comparison import Comparison, compare, compare_all
from harness.analysis.compare.gather import Results, Runs, choose, read_runs
from harness.analysis.compare.pair import PairOptions
from harness.analysis.compare.power import POWER, Design
from harness.analysis.compare.ranks import rank_rows
from harness.analysis.compare.text import MEAN, detects_text
from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.rendering import Sheet, Text, check_format, render
from harness.metrics.registry import find_metric
from harness.metrics.variance import scaled
from harness.probe import by_shots
from tasks.format.task import short_names


def power(
    results: Runs,
    models: Sequence[str] = (),
    protocol: str | None = None,
    difference: float | None = None,
    power: float = POWER,
    *,
    seeds: int | None = None,
    grouped: bool = True,
) -> pd.DataFrame:
    """Return the smallest difference that each comparison detects, and what others would need.

    Args:
        results: results with predictions, or what :func:`harness.load` reads.
        models: the others are compared with the first; by default all with the one of the best mean
            rank.
        protocol: by default every protocol that the models share.
        difference: a true difference in the task's metric, for which ``power``, ``units_needed``
            and ``seeds_needed`` are computed.
        power: the probability of detecting a true difference.
        seeds: plan for this many probe seeds of each model, two or more; by default the seeds of
            the results.
        grouped: use the groups of tasks as independent units; otherwise clips.

    Returns:
        One row per protocol, pair of models and task, and one for their ``mean``: ``protocol``,
        ``task``, ``metric``, ``a``, ``b``, ``unit`` (``groups``, ``clips`` or ``files``),
        ``n_units``, ``seeds_a``, ``seeds_b``, ``target_power``, ``detectable``, the smallest
        difference that would be detected (infinite if none would). For ``difference``: its
        ``power`` now, ``units_needed`` with these seeds, and ``seeds_needed`` of each model on this
        test set (empty if no number is enough or training adds no noise); ``training_noise``: its
        standard deviation in the difference.

    Raises:
        UserError: as :func:`harness.compare`; or an impossible difference.
    """
    results = read_runs(results)
    asked = _Asked(difference, power, seeds)
    rows = []
    for found in _comparisons(results, models, protocol, grouped):
        for _, tasks in found.tasks.groupby(["a", "b"], sort=False):
            _check_difference(difference, tasks)
            rows += [_row(found, about, asked) for about in tasks.to_dict("records")]
        rows += [_mean_row(found, over, asked) for over in found.overall.to_dict("records")]
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(("n_units", "units_needed", "seeds_needed"), "Int64"))


class _Asked(NamedTuple):
    difference: float | None
    power: float
    seeds: int | None

    def planned(self, design: Design) -> Design:
        """Return the design with the seeds that are planned."""
        return design.with_seeds(self.seeds) if self.seeds and design.parts else design


def _comparisons(
    results: Results, models: Sequence[str], protocol: str | None, grouped: bool
) -> list[Comparison]:
    if len(models) > 1:
        options = PairOptions(grouped=grouped)
        return compare_all(results, models, protocol, options=options)
    found = []
    wanted = choose(results.rows, "protocol", [protocol]) if protocol else None
    named = set(choose(results.rows, "model", models))
    scored = results.rows[results.rows.status == "done"]
    for each in wanted or sorted(set(scored.protocol), key=by_shots):
        rows = scored[scored.protocol == each]
        if not wanted and not named <= set(rows.model):
            continue
        ranked = rank_rows(rows, sorted(set(rows.model))).ranks.model
        asked = choose(rows, "model", models, f" with the protocol {each}")
        names = list(dict.fromkeys([*asked, *ranked]))
        if len(names) > 1:
            found.append(compare(results, names, each, grouped=grouped))
    if not found:
        raise UserError(_too_few(results, scored, named))
    return found


def _too_few(results: Results, scored: pd.DataFrame, named: Collection[str]) -> str:
    """Return why there are no two models to compare."""
    unscored = sorted(set(named) - set(scored.model))
    if unscored:
        return f"'{unscored[0]}' has no scores: its evaluations failed or are not finished."
    return "Power needs two models with scores, but the results have only one."


def _check_difference(difference: float | None, tasks: pd.DataFrame) -> None:
    """Refuse a difference that no two scores of a task can have, for example percent.

    Raises:
        UserError: it is such a difference.
    """
    if difference is None:
        return
    for task, name in tasks.loc[tasks.metric != "", ["task", "metric"]].itertuples(index=False):
        low, high = find_metric(name).range
        if difference >= high - low:
            raise UserError(
                f"--difference {difference:g} is impossible on {task}: {name} lies between "
                f"{low:g} and {high:g}. Give for example 0.05 for 5 %."
            )


def _row(found: Comparison, about: Mapping[Any, Any], asked: _Asked) -> dict[str, Any]:
    """Return the row of one pair on one task."""
    row = _blank(found, about, asked)
    row |= {name: about[name] for name in ("task", "metric", "seeds_a", "seeds_b")}
    paired = found.differences.get((about["task"], about["a"], about["b"]))
    if paired is None:
        return row
    design = asked.planned(Design.of(paired, about["metric"]))
    clips = find_metric(about["metric"]).clip_noun
    row |= {"unit": clips if paired.n_groups is None else "groups", "n_units": design.n_units}
    row |= {"seeds_a": design.seeds[0], "seeds_b": design.seeds[1]}
    row["detectable"] = design.smallest_difference(asked.power)
    row["training_noise"] = np.sqrt(design.training_variance)
    if asked.difference is not None and design.parts:
        row["power"] = design.power(asked.difference)
        row["units_needed"] = design.units_for(asked.difference, asked.power)
        row["seeds_needed"] = design.seeds_for(asked.difference, asked.power)
    return row


def _mean_row(found: Comparison, over: Mapping[Any, Any], asked: _Asked) -> dict[str, Any]:
    """Return the row of one pair's mean over tasks."""
    left_out = over["left_out"].split(", ")
    averaged = [
        each
        for (task, a, b), each in found.differences.items()
        if (a, b) == (over["a"], over["b"]) and task not in left_out
    ]
    row = _blank(found, over, asked) | {
        "task": MEAN,
        "metric": plural(len(averaged), "task"),
    }
    if len(averaged) < 2 or not all(each.parts for each in averaged):
        return row
    designs = [asked.planned(Design(each.parts, seeds=each.seeds)) for each in averaged]
    parts = (part for each in designs for part in scaled(each.parts, 1 / len(designs)))
    design = Design(tuple(parts))
    row["detectable"] = design.smallest_difference(asked.power)
    return row if asked.difference is None else row | {"power": design.power(asked.difference)}


def _blank(found: Comparison, pair: Mapping[Any, Any], asked: _Asked) -> dict[str, Any]:
    nothing = dict.fromkeys(("n_units", "seeds_a", "seeds_b"), pd.NA)
    return {
        "protocol": found.protocol,
        "task": "",
        "metric": "",
        "a": pair["a"],
        "b": pair["b"],
        "unit": "",
        **nothing,
        "target_power": asked.power,
        "detectable": np.nan,
        "difference": np.nan if asked.difference is None else asked.difference,
        "power": np.nan,
        "units_needed": pd.NA,
        "seeds_needed": pd.NA,
        "training_noise": np.nan,
    }


def format_power(rows: pd.DataFrame, style: str = "markdown") -> str:
    """Return the rows of :func:`power` as text: a table a protocol and pair of models, or a CSV.

    Raises:
        UserError: an unknown format.
    """
    check_format(style)
    if style == "csv":
        return rows.to_csv(index=False, lineterminator="\n")
    pairs = rows.groupby(["protocol", "a", "b"], sort=False)
    return render([_sheet(table) for _, table in pairs], _notes(rows), style)


def _sheet(table: pd.DataFrame) -> Sheet:
    first = table.iloc[0]
    columns = ["task", "metric", "test set", "seeds", "detects"]
    asked = not np.isnan(first.difference)
    if asked:
        columns += [f"power at {first.difference:g}", "test set needed", "seeds needed"]
    names = [*short_names(table.task[table.task != MEAN]), MEAN]
    rows = []
    for name, row in zip(names, table.to_dict("records"), strict=True):
        cells = [name, row["metric"], _units(row["n_units"], row), _seeds(row)]
        cells.append(detects_text(row["detectable"]))
        if asked:
            cells.append("-" if np.isnan(row["power"]) else f"{row['power']:.2f}")
            cells += _needed(row)
        rows.append(tuple(map(Text, cells)))
    tasks = len(rows) - 1
    title = f"{first.protocol}: {first.a} and {first.b}"
    return Sheet(title, tuple(columns), tuple(rows if tasks > 1 else rows[:1]))


def _units(number: Any, row: dict[Any, Any]) -> str:
    return "" if pd.isna(number) else f"{number:,} {row['unit'][: -1 if number == 1 else None]}"


def _seeds(row: dict[Any, Any]) -> str:
    a, b = row["seeds_a"], row["seeds_b"]
    return "" if pd.isna(a) else f"{a}" if a == b else f"{a} and {b}"


def _needed(row: dict[Any, Any]) -> list[str]:
    if np.isnan(row["power"]) or row["task"] == MEAN:
        return ["", ""] if row["task"] == MEAN else ["-", "-"]
    units, seeds = row["units_needed"], row["seeds_needed"]
    more_units = f"not with {row['unit']} alone" if pd.isna(units) else _units(units, row)
    if not row["training_noise"]:
        return [more_units, "-"]
    return [more_units, "not with seeds alone" if pd.isna(seeds) else f"{seeds:,}"]


def _notes(rows: pd.DataFrame) -> list[str]:
    target = f"{100 * rows.target_power.iloc[0]:g} %"
    notes = [
        f"detects: the smallest true difference that is detected with {target} power (two-sided "
        "test at 5 %, before Holm's correction). It depends on the pair: models that make the same "
        "mistakes are easier to separate.",
    ]
    if rows.difference.notna().any():
        notes.append(
            f"needed: for {target} power at this difference. test set: with these seeds, and with "
            "clips or groups like those of the test set. seeds: probe seeds of each model, on this "
            "test set; - if training adds no noise. Both are approximate, since variances are "
            "estimated; with one seed per model, training noise is an allowance."
        )
    neither = rows[rows.power.notna() & rows.units_needed.isna() & rows.seeds_needed.isna()]
    if len(neither[neither.training_noise > 0]):
        notes.append(
            "not with seeds alone, nor with the test set alone: `--seeds N` computes the test set "
            "that N seeds need."
        )
    without = rows[rows.detectable.isna() & (rows.task != MEAN)]
    if len(without):
        names = dict.fromkeys(short_names(without.task))
        notes.append(f"Not compared, see `results compare`: {', '.join(names)}.")
    return notes
