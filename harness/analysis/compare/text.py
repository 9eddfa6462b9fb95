"""Format a comparison as markdown, CSV, LaTeX or HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.pair import A_BETTER, B_BETTER, NO_VERDICT, UNPAIRED
from harness.analysis.compare.power import POWER
from harness.analysis.compare.ranks import SIGNIFICANCE
from harness.core.counts import plural
from harness.core.rendering import Sheet, Text, check_format, render
from tasks.format.task import is_synthetic, short_names

DETECTS = (
    "detects: the smallest true difference that this comparison would detect with "
    f"{100 * POWER:g} % power (two-sided, 5 %, before Holm's correction)."
)
MEAN = "mean"
MEAN_IS_ABOUT = (
    f"{MEAN}: its interval and p cover resampling of the clips of these tasks, not of tasks; a "
    "verdict is about one task."
)


def format_comparison(comparison: Comparison, style: str = "markdown") -> str:
    """Return a comparison as text: a table a pair of models, and the mean ranks of three or more.

    As ``csv`` the rows of ``comparison.tasks``, and one of the task ``mean`` a pair.

    Raises:
        UserError: an unknown format.
    """
    return format_comparisons([comparison], style)


def format_comparisons(comparisons: Sequence[Comparison], style: str = "markdown") -> str:
    """Return the comparisons of several protocols as one text; as ``csv`` with one header.

    The notes that define columns come once, after the last comparison.

    Raises:
        UserError: an unknown format.
    """
    check_format(style)
    if style == "csv":
        rows = pd.concat([long_form(each) for each in comparisons], ignore_index=True)
        return rows.to_csv(index=False, lineterminator="\n")
    definitions = dict.fromkeys(note for each in comparisons for note in _definitions(each))
    notes = [_notes(each) for each in comparisons]
    notes[-1] = [*definitions, *notes[-1]] if len(notes) == 1 else [*notes[-1], *definitions]
    return "\n".join(
        render(_sheets(each), said, style) for each, said in zip(comparisons, notes, strict=True)
    )


def _sheets(comparison: Comparison) -> list[Sheet]:
    """Return a table a pair of models, and one of the mean ranks."""
    sheets = [_pair(comparison, over) for over in comparison.overall.to_dict("records")]
    if _ranked(comparison):
        sheets.append(_ranks(comparison))
    return sheets


def _ranked(comparison: Comparison) -> bool:
    """Return whether there are enough models and tasks for ranks."""
    return len(comparison.models) > 2 and bool((comparison.ranks.n_tasks > 1).all())


def long_form(comparison: Comparison) -> pd.DataFrame:
    """Return a row for each task and pair of models, and for each pair one of the task ``mean``."""
    means = comparison.overall.rename(columns={"mean_difference": "difference"})
    means = means.assign(task=MEAN, verdict=[_counts(over) for over in means.to_dict("records")])
    means = means.assign(metric=[plural(n, "task") for n in means.n_tasks])
    columns = list(comparison.tasks.columns)
    parts = [comparison.tasks, means.reindex(columns=columns)]
    rows = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    rows.insert(0, "protocol", comparison.protocol)
    return rows


def _pair(comparison: Comparison, over: dict) -> Sheet:
    a, b = over["a"], over["b"]
    tasks = comparison.tasks
    tasks = tasks[(tasks.a == a) & (tasks.b == b)]
    grouped = tasks.n_groups.notna().any()
    margin = comparison.margin
    rows = [
        (
            Text(name),
            Text(row["metric"]),
            Text(_number(row["value_a"]), best=row["verdict"] == A_BETTER),
            Text(_number(row["value_b"]), best=row["verdict"] == B_BETTER),
            Text(_interval(row["difference"], row["ci_low"], row["ci_high"])),
            Text(_p(row["p"])),
            Text(_p(row["p_holm"])),
            *([Text(_p(row["p_equivalent_holm"]))] if margin else []),
            Text(detects_text(row["detectable"])),
            *([Text(_groups(row))] if grouped else []),
            Text(_verdict(row["verdict"], a, b)),
        )
        for name, row in zip(short_names(tasks.task), tasks.to_dict("records"))
    ]
    mean = _interval(over["mean_difference"], over["ci_low"], over["ci_high"])
    cells = (
        MEAN,
        plural(over["n_tasks"], "task"),
        "",
        "",
        mean,
        _p(over["p"]),
        "",
        *([_p(over["p_equivalent"])] if margin else []),
        detects_text(over["detectable"]),
        *([""] if grouped else []),
        _counts(over),
    )
    title = f"{comparison.protocol}: {a} and {b}"
    groups = ["groups (deff)"] if grouped else []
    equivalent = [f"p (±{margin:g}, Holm)"] if margin else []
    tests = ("difference", "p", "p (Holm)", *equivalent, "detects")
    columns = ("task", "metric", a, b, *tests, *groups, "verdict")
    means = [tuple(map(Text, cells))] if len(rows) > 1 else []
    return Sheet(title, columns, (*rows, *means))


def _ranks(comparison: Comparison) -> Sheet:
    rows = tuple(
        tuple(map(Text, (row["model"], f"{row['mean_rank']:.2f}", str(row["n_tasks"]), groups)))
        for row, groups in zip(
            comparison.ranks.to_dict("records"), comparison.ranks.tie_groups.astype(str)
        )
    )
    title = f"{comparison.protocol}: ranks"
    return Sheet(title, ("model", "mean rank", "tasks", "not significantly different"), rows)


def _definitions(comparison: Comparison) -> list[str]:
    """Return what the columns mean."""
    notes = [
        "difference: the first model minus the second, with its 95 % confidence interval (not "
        "adjusted for several tasks). p: two-sided test of no difference. Holm: p corrected for "
        "the tasks of the pair (the † of a table corrects for the models of a task). better: p "
        f"(Holm) < {SIGNIFICANCE:g}. Test and interval may use different methods (McNemar, "
        "Tango), so borderline results can disagree.",
        DETECTS,
    ]
    if comparison.margin:
        notes.append(
            f"±{comparison.margin:g}: two one-sided tests (Schuirmann) that the difference is "
            "smaller than this, at 5 %; p corrected by Holm over the tasks of the pair, apart from "
            "p (Holm). equivalent: significant, while the difference is not. A model can be better "
            "by less than the margin. The mean's p is not corrected."
        )
    if comparison.tasks.n_groups.notna().any():
        notes.append(
            "groups: the number of independent test groups (speakers, recordings, instruments). "
            "deff: design effect of the difference, its variance over groups divided by that over "
            "clips; that of each score is below `results table`. Tasks without groups: clips are "
            "taken as independent."
        )
    return notes


def _notes(comparison: Comparison) -> list[str]:
    """Return what holds for these tasks and models."""
    notes = []
    tasks = comparison.tasks
    names = dict(zip(tasks.task.drop_duplicates(), short_names(tasks.task.drop_duplicates())))
    for method, rows in tasks[tasks.p.notna()].groupby("method", sort=False):
        notes.append(f"{', '.join(dict.fromkeys(names[task] for task in rows.task))}: {method}.")
    for over in comparison.overall.to_dict("records"):
        if over["method"]:
            pair = f" of {over['a']} and {over['b']}" if len(comparison.overall) > 1 else ""
            notes.append(f"{MEAN}{pair}: {over['method']}.")
    if len(names) > 1 and comparison.overall.ci_low.notna().any():
        notes.append(MEAN_IS_ABOUT)
    notes += _without_verdict(tasks, names)
    outside = [
        names[row.task]
        for row in tasks.drop_duplicates("task").itertuples()
        if not row.higher_is_better or is_synthetic(row.task)
    ]
    if outside:
        notes.append(f"Not in a mean, because minimised or synthetic: {', '.join(outside)}.")
    if _ranked(comparison):
        critical = comparison.critical_difference
        said = f" Critical difference of mean ranks: {critical:.2f}." if critical else ""
        test = comparison.rank_test
        notes.append(f"Ranks, over {comparison.rank_tasks}: {test}.{said}")
    return [*notes, *comparison.warnings]


def _without_verdict(tasks: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Return a sentence for each reason, with all its tasks and pairs."""
    notes = []
    for start in (NO_VERDICT, UNPAIRED):
        rows = tasks[tasks.verdict.str.startswith(start)]
        for verdict, alike in rows.groupby("verdict", sort=False):
            places = alike.task.map(names)
            if tasks.groupby(["a", "b"]).ngroups > 1:
                places = alike.a + " and " + alike.b + " on " + places
            notes.append(f"{str(verdict).rstrip('.')}: {', '.join(dict.fromkeys(places))}.")
    return [note[:1].upper() + note[1:] for note in notes]


def _groups(row: Mapping[str, Any]) -> str:
    if pd.isna(row["n_groups"]):
        return "-"
    effect = row["design_effect"]
    return str(row["n_groups"]) + ("" if pd.isna(effect) else f" ({effect:.1f})")


def _verdict(verdict: str, a: str, b: str) -> str:
    better = {A_BETTER: f"{a} better", B_BETTER: f"{b} better"}
    return better.get(verdict, verdict.partition(":")[0])


def _counts(over: dict) -> str:
    said = f"better on {over['wins']}, worse on {over['losses']}, "
    said += f"equivalent on {over['equivalent']}, " * (over["equivalent"] > 0)
    said += f"not separable on {over['ties']}"
    return said + (f", no verdict on {over['unpaired']}" if over["unpaired"] else "")


def detects_text(difference: float) -> str:
    """Return the smallest difference that is detected, "none" if it is infinite."""
    return "none" if np.isinf(difference) else _number(difference)


def _number(value: float, style: str = "{:.3f}") -> str:
    return "-" if pd.isna(value) else style.format(value)


def _interval(value: float, low: float, high: float) -> str:
    text = _number(value, "{:+.3f}")
    return text if np.isnan(low) else f"{text} [{low:+.3f}, {high:+.3f}]"


def _p(p: float) -> str:
    if pd.isna(p):
        return "-"
    return "<0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.095 else f"{p:.2f}"
