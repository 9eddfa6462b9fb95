"""The panel of a task's scores: all models with intervals, and published scores."""

from __future__ import annotations

import pandas as pd

from harness.analysis.board.published import BOARDS, read_published
from harness.core.counts import plural
from harness.report.figures.scores import ModelScore, scores_figure
from harness.report.panel import Panel, PanelTable, TaskPanel, TaskScope
from harness.report.texts import number, repetition


def _make(scope: TaskScope) -> Panel:
    """Draw every model's primary metric on a task, the best at the top."""
    material, protocol, task = scope.material, scope.protocol, scope.task
    found = material.cells(protocol)
    found = found[found.task == task]
    rows = material.headlines(protocol)
    rows = rows[(rows.task == task) & (rows.status == "done")]
    higher = bool(rows.higher_is_better.all())
    seeds = {model: tuple(own.value) for model, own in rows.groupby("model")}
    done = found[found.status == "done"].sort_values("value", ascending=not higher, kind="stable")
    metric, repeated = str(found.metric.iloc[0]), repetition(protocol)
    scores = [
        ModelScore(row.model, row.value, row.ci_low, row.ci_high, row.baseline, seeds[row.model])
        for row in done.itertuples()
    ]
    title, board = _published(protocol, task)
    lacking = found[found.status != "done"]
    note = " ".join(
        [
            f"{metric}, {'higher' if higher else 'lower'} is better. Lines are 95 % intervals.",
            *(["Hollow markers are baselines."] if done.baseline.any() else []),
            *([f"Ticks are single {repeated}s."] if any(len(s.seeds) > 1 for s in scores) else []),
            *(
                [f"Purple ticks: published scores ({title}); the number is the best of them."]
                if len(board)
                else []
            ),
            *(f"{row.model}: {row.status}." for row in lacking.itertuples()),
        ]
    )
    if not scores:
        return Panel(f"No model has a {metric} on this task. {note}")
    alt = (
        f"Scores of {plural(len(scores), 'model')} on {task}: the best is {scores[0].model} with "
        f"{number(scores[0].value)}."
    )
    return Panel(
        note,
        draw=lambda width: scores_figure(scores, metric, width, board, title),
        alt=alt,
        table=_table(scores, board, title, (metric, f"{repeated}s")),
    )


SCORES = TaskPanel("scores", "Scores", _make, order=10)


def _published(protocol: str, task: str) -> tuple[str, pd.Series]:
    """Return title and scores of the first board with a task and protocol; empty if none has."""
    for name in BOARDS:
        board = read_published(name)
        if board.protocol == protocol and task in board.scores:
            return board.title, board.scores[task].dropna()
    return "", pd.Series(dtype=float)


def _table(
    scores: list[ModelScore], board: pd.Series, title: str, names: tuple[str, str]
) -> PanelTable:
    metric, repeated = names
    rows = [
        (
            score.model + (" (baseline)" if score.baseline else ""),
            number(score.value, 4),
            number(score.low, 4),
            number(score.high, 4),
            str(len(score.seeds)),
        )
        for score in scores
    ]
    rows += [
        (f"{title}: {model}", number(value, 4), "–", "–", "–")
        for model, value in board.sort_values(ascending=False, kind="stable").items()
    ]
    header = ("model", metric, "95 % from", "to", repeated)
    return PanelTable(f"{metric} of every model", header, tuple(rows), frozenset({1, 2, 3, 4}))
