"""The table of an ablation study: arms × tasks, and sentences on the order of the arms."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.ablation.differences import (
    ArmDifference,
    NoiseFloor,
    difference,
    noise_floor,
    ordering,
)
from harness.ablation.paper import PaperRow
from harness.ablation.scores import MEAN, StudyScores
from harness.ablation.study import Study
from harness.analysis.compare.ranks import holm
from harness.core.counts import plural
from harness.core.rendering import markdown
from tasks.format.task import short_names


def long_form(study: Study, gathered: Sequence[StudyScores]) -> pd.DataFrame:
    """Return one row per arm, task (or ``mean``) and protocol.

    ``value`` is the mean over the training seeds that have a score, ``seed_sd`` their standard
    deviation (ddof 1). ``difference`` is the arm minus the reference arm, with its 95 % interval,
    its method (:mod:`harness.ablation.differences`) and its ``p``. ``p_holm`` is corrected for the
    tasks of the arm; the mean is not corrected. ``noise_sd`` and ``noise_largest`` are the standard
    deviation and the largest difference of the reference arm's seeds; ``ordering`` is the verdict.
    Rows of the mean have the paper's mean in percent.
    """
    return pd.DataFrame(
        [
            {"study": study.name, "protocol": scores.protocol, **row}
            for scores in gathered
            for row in _rows(study, scores)
        ]
    )


def _rows(study: Study, scores: StudyScores) -> list[dict]:
    groups = {group: tasks for group, tasks in scores.groups().items() if tasks}
    found = {
        (group, arm): difference(
            scores.arms[arm], scores.arms[study.reference], tasks, scores.units
        )
        for group, tasks in groups.items()
        for arm in scores.arms
        if arm != study.reference
    }
    adjusted = {key: each.p for key, each in found.items()}
    for arm in scores.arms:
        of_tasks = [key for key in found if key[1] == arm and key[0] != MEAN]
        adjusted |= dict(zip(of_tasks, holm([found[key].p for key in of_tasks]), strict=True))
    rows = []
    for group, tasks in groups.items():
        floor = noise_floor(scores.arms[study.reference], tasks)
        for arm in scores.arms:
            row = _row(scores, group, arm) | _compared(
                found.get((group, arm)), adjusted.get((group, arm), np.nan), floor
            )
            rows.append(row | _published(study, group, arm))
    return rows


def _row(scores: StudyScores, group: str, arm: str) -> dict:
    tasks = scores.groups()[group]
    means = scores.arms[arm].means(tasks)
    return {
        "arm": arm,
        "task": group,
        "metric": "+".join(dict.fromkeys(scores.columns[i].metric for i in tasks)),
        "n_tasks": len(tasks),
        "n_seeds": len(means),
        "value": means.mean() if len(means) else np.nan,
        "seed_sd": means.std(ddof=1) if len(means) > 1 else np.nan,
    }


def _compared(found: ArmDifference | None, p: float, floor: NoiseFloor) -> dict:
    """Return the columns of the difference to the reference arm, which has None itself."""
    shown = found or ArmDifference(np.nan, np.nan, np.nan, "")
    return {
        "difference": shown.value,
        "ci_low": shown.low,
        "ci_high": shown.high,
        "ci_method": shown.method,
        "p": shown.p,
        "p_holm": p,
        "noise_sd": floor.sd,
        "noise_largest": floor.largest,
        "ordering": ordering(found, floor, p) if found else "reference",
    }


def _published(study: Study, group: str, arm: str) -> dict:
    paper = study.paper.get(arm) if group == MEAN else None
    return {
        "paper_percent": paper.scores[MEAN] if paper else np.nan,
        "paper_source": paper.source if paper else "",
    }


def format_study(study: Study, gathered: Sequence[StudyScores], missing: Sequence[str] = ()) -> str:
    """Return the study as markdown: one table per protocol, with sentences on the order of arms.

    Args:
        study: the study, with a paper's numbers if it has any.
        gathered: from :func:`harness.ablation.scores.gather_scores`.
        missing: a line on each failure.
    """
    table = long_form(study, gathered)
    parts = [f"# {study.name}\n"]
    for scores in gathered:
        rows = table[table.protocol == scores.protocol]
        parts += [_table(study, scores, rows), _noise(study, scores)]
        if study.paper:
            parts.append(_agreement(study, scores))
    if any(len(row.scores) > 1 for row in study.paper.values()):
        parts.append(_printed(study.paper))
    if missing:
        parts.append("Missing:\n" + "".join(f"- {line}\n" for line in missing))
    return "\n".join(parts)


def _table(study: Study, scores: StudyScores, rows: pd.DataFrame) -> str:
    tasks = [column.task for column in scores.columns]
    cells = rows.pivot(index="arm", columns="task", values="value").reindex(
        index=list(scores.arms), columns=tasks
    )
    texts = cells.map(_score)
    texts.columns = pd.Index(short_names(texts.columns))
    means = rows[rows.task == MEAN].set_index("arm").reindex(list(scores.arms))
    texts[MEAN] = means.value.map(_score)
    texts["seeds"] = [f"{n}" for n in means.n_seeds.fillna(0).astype(int)]
    texts["sd over seeds"] = means.seed_sd.map(_score)
    texts[f"difference to {study.reference}"] = [
        _signed(low, value, high)
        for low, value, high in zip(means.ci_low, means.difference, means.ci_high)
    ]
    texts["ordering"] = means.ordering.fillna("not known")
    if study.paper:
        published = means.paper_percent
        texts["paper: mean, %"] = published.map(lambda value: _number(value, ".1f"))
        points = published - published.get(study.reference, np.nan)
        texts["paper: difference"] = [
            "" if name == study.reference else _number(value, "+.1f")
            for name, value in points.items()
        ]
    metrics = [column.metric for column in scores.columns]
    metrics += [plural(len(scores.averaged), "task")] + [""] * (texts.shape[1] - len(metrics) - 1)
    head = pd.DataFrame([metrics], ["metric"], texts.columns)
    return markdown(pd.concat([head, texts]), scores.protocol)


def _score(value: float) -> str:
    return _number(value, ".3f")


def _number(value: float, style: str) -> str:
    return "-" if pd.isna(value) else format(value, style)


def _signed(low: float, value: float, high: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:+.3f}" + ("" if pd.isna(low) else f" [{low:+.3f}, {high:+.3f}]")


def _noise(study: Study, scores: StudyScores) -> str:
    """Return sentences on the noise floor."""
    if not scores.averaged:
        return "No task is in the mean: table.csv compares the arms task by task.\n"
    floor = noise_floor(scores.arms[study.reference], scores.averaged)
    n_seeds = len(scores.arms[study.reference].means(scores.averaged))
    if np.isnan(floor.largest):
        said = f"Noise floor: unknown, because {study.reference} has fewer than two seeds."
    else:
        said = (
            f"Noise floor: the {n_seeds} seeds of {study.reference} have a standard deviation of "
            f"{floor.sd:.3f} in the mean, and differ by up to {floor.largest:.3f}."
        )
    said += (
        " Two arms are not ordered if they differ by no more, or if the interval of the difference "
        "contains 0. Intervals: 95 %, over training seeds and test clips, not corrected for "
        "several arms. table.csv compares task by task, with Holm's correction over an arm's tasks."
    )
    return said + "\n"


def _agreement(study: Study, scores: StudyScores) -> str:
    """Return sentences on the pairs of arms that have the paper's order."""
    pairs = [
        (one, other)
        for one, other in itertools.combinations(study.paper, 2)
        if study.paper[one].scores[MEAN] != study.paper[other].scores[MEAN]
    ]
    floor = noise_floor(scores.arms[study.reference], scores.averaged)
    found = {
        (one, other): difference(
            scores.arms[one], scores.arms[other], scores.averaged, scores.units
        )
        for one, other in pairs
    }
    known = {pair: each for pair, each in found.items() if not np.isnan(each.value)}
    ordered = {pair: each for pair, each in known.items() if _orders(each, floor)}
    against = [pair for pair, each in ordered.items() if not _as_printed(study.paper, pair, each)]
    in_order = sum(_as_printed(study.paper, pair, each) for pair, each in known.items())
    sources = ", ".join(dict.fromkeys(row.source for row in study.paper.values()))
    said = (
        f"Beside the paper ({sources}; other data, tasks and amount of training): of {len(known)} "
        f"pairs of arms with a published mean, {len(ordered)} are ordered here: "
        f"{len(ordered) - len(against)} as in the paper, {len(against)} the other way round. By "
        f"the means alone, {in_order} of {len(known)} are ordered as in the paper."
    )
    lines = []
    for one, other in against:
        high, low = (one, other) if ordered[one, other].value > 0 else (other, one)
        lines.append(f"- {high} is above {low} here, below it in the paper")
    return "\n".join([said, *lines]) + "\n"


def _orders(found: ArmDifference, floor: NoiseFloor) -> bool:
    return ordering(found, floor, found.p) in ("higher", "lower")


def _as_printed(paper: Mapping[str, PaperRow], pair: tuple[str, str], found: ArmDifference) -> bool:
    one, other = (paper[name].scores[MEAN] for name in pair)
    return bool(np.sign(found.value) == np.sign(one - other))


def _printed(paper: Mapping[str, PaperRow]) -> str:
    """Return the paper's own table, in percent."""
    columns = dict.fromkeys(c for row in paper.values() for c in row.scores if c != MEAN)
    texts = pd.DataFrame(
        [
            [_number(row.scores.get(column, np.nan), ".1f") for column in [*columns, MEAN]]
            for row in paper.values()
        ],
        list(paper),
        [*columns, MEAN],
    )
    return markdown(texts, "paper, %")
