"""Every figure, small and large: it can be drawn, and nothing covers anything."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from harness.report.figures.classes import classes_figure, confusion_figure
from harness.report.figures.curves import Curve, curves_figure
from harness.report.figures.differences import ForestRow, forest_figure
from harness.report.figures.ranks import ranks_figure
from harness.report.figures.scatter import map_figure
from harness.report.figures.scores import ModelScore, scores_figure
from harness.report.figures.style import MARKERS, SERIES
from harness.report.figures.summary import ModelScores, summary_figure
from harness.report.figures.timeline import timeline_figure
from tasks.format.task import Event

SLOW_40 = pytest.param(40, 3.5, marks=pytest.mark.slow)
LONG = "a-model-with-a-name-of-more-letters-than-fit"


def boxes(figure) -> list[tuple[str, Bbox]]:
    """The words that are drawn, with the rectangles that they take."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    drawn: list[Text] = []
    draw_text = renderer.draw_text

    def record(*args, mtext=None, **kwargs):
        drawn.append(mtext)
        return draw_text(*args, mtext=mtext, **kwargs)

    renderer.draw_text = record
    figure.draw(renderer)
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in drawn
        if text.get_text().strip()
    ]


def check(figure) -> None:
    """No words cover others, and none is cut off."""
    found = boxes(figure)
    assert found
    for (one, a), (other, b) in combinations(found, 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert width <= 1 or height <= 1.5, (one, other)
    right, top = FigureCanvasAgg(figure).get_width_height()
    for text, box in found:
        assert box.x0 > -1, text
        assert box.y0 > -1, text
        assert box.x1 < right + 1, text
        assert box.y1 < top + 1, text


@pytest.mark.parametrize(("n", "width"), [(2, 3.5), SLOW_40])
def test_scores(n, width):
    rows = [ModelScore(f"{LONG}{i}", 0.9 - i / 60, 0.85 - i / 60, 0.93 - i / 60) for i in range(n)]
    board = pd.Series(np.linspace(0.2, 0.95, 30))
    check(scores_figure(rows, "top1_acc", width))
    check(scores_figure(rows, "top1_acc", width, board, "HEAR 2021"))


def test_scores_without_intervals():
    check(scores_figure([ModelScore("m", 0.5, np.nan, np.nan)], "mAP", 3.5))


ALIKE = [
    f"byola-v2-audioset-lr{rate}e-4-batch{batch}-epochs{epochs}-of-many-seed0"
    for rate in (1, 2)
    for batch in (128, 256)
    for epochs in (100, 300)
]
"""Of which no short labels tell one from all others."""


def alike_scores(width):
    return scores_figure([ModelScore(name, 0.5, 0.4, 0.6) for name in ALIKE], "mAP", width)


def alike_ranks(width):
    return ranks_figure(pd.Series(np.arange(1.0, 1 + len(ALIKE)), ALIKE), [], width, 2.0)


def alike_differences(width):
    rows = [ForestRow(name, 0.1, 0.0, 0.2, "a") for name in ALIKE]
    return forest_figure(rows, ALIKE[0], ALIKE[2], width)


def alike_classes(width):
    values = pd.DataFrame(np.eye(len(ALIKE)), [f"{name} (7)" for name in ALIKE], ALIKE)
    return classes_figure(values, "mAP", width)


def alike_confusions(width):
    return confusion_figure(np.eye(len(ALIKE)), ALIKE, width)


def alike_maps(width):
    points = dict.fromkeys(ALIKE[:3], np.eye(len(ALIKE))[:, :2])
    return map_figure(points, dict.fromkeys(points, ALIKE), ALIKE, width)


def alike_summary(width):
    return summary(ALIKE, ALIKE, width)


def summary(names, tasks, width, coloured=8, scales=None):
    values = np.random.default_rng(0).uniform(0.2, 0.9, (len(names), len(tasks)))
    models = [
        ModelScores(name, own, own - 0.1, own + 0.1, own.mean(), series=i if i < coloured else None)
        for i, (name, own) in enumerate(zip(names, values))
    ]
    return summary_figure(models, tasks, scales or ["score"] * len(tasks), width)


@pytest.mark.parametrize(("n", "width"), [(1, 3.5), (3, 4.0), (8, 3.5), (8, 7.16), (40, 4.0)])
def test_summary(n, width):
    tasks = [f"a_task_with_a_long_name_{i}" for i in range(19)]
    figure = summary([f"{LONG}{i}" for i in range(n)], tasks, width)
    check(figure)
    assert figure.get_figheight() < 11


def test_summary_of_several_scales_and_of_models_that_lack_tasks():
    scales = ["score", "score", "d_prime", "segment_1s_er (lower is better)"]
    check(summary(["a", "b"], ["s", "t", "u", "v"], 3.5, scales=scales))
    nothing = np.full(2, np.nan)
    some = [
        ModelScores("a", np.array([0.5, np.nan]), nothing, nothing, np.nan, "1 of 2", series=0),
        ModelScores("b", nothing, nothing, nothing, np.nan, "0 of 2", True, 1),
    ]
    figure = summary_figure(some, ["s", "t"], ["score"] * 2, 3.5)
    check(figure)
    said = [text for text, _ in boxes(figure)]
    assert "a (1 of 2)" in said
    assert "mean" not in said


def test_models_keep_their_colours_where_others_are_left_out():
    values = pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, 0.4]}, ["x", "y"])
    lines = classes_figure(values, "mAP", 4.0, series=(5, 2)).axes[0].lines
    assert [line.get_color() for line in lines] == [SERIES[5], SERIES[2]]
    assert [line.get_marker() for line in lines] == [MARKERS[5], MARKERS[2]]


@pytest.mark.parametrize(
    ("draw", "alike"),
    [
        (alike_scores, 8),
        (alike_ranks, 8),
        (alike_differences, 10),
        (alike_classes, 16),
        (alike_confusions, 16),
        (alike_maps, 11),
        (alike_summary, 16),
    ],
)
def test_what_has_different_names_has_different_labels(draw, alike):
    for width in (3.5, 4.0, 7.16):
        figure = draw(width)
        labels = [text for text, _ in boxes(figure) if "…" in text]
        assert len(labels) == alike
        assert len(set(labels)) == (8 if draw is alike_confusions else alike)
        check(figure)


@pytest.mark.parametrize(("n", "width"), [(8, 3.5), pytest.param(24, 3.5, marks=pytest.mark.slow)])
def test_confusions(n, width):
    shares = np.random.default_rng(0).dirichlet(np.ones(n), n)
    check(confusion_figure(shares, [f"a class number {i}" for i in range(n)], width))


@pytest.mark.parametrize(("models", "width"), [(1, 7.16), (8, 3.5)])
def test_classes(models, width):
    values = np.random.default_rng(0).uniform(size=(24, models))
    values[3] = np.nan
    names = [f"{LONG}{i}" for i in range(models)]
    check(classes_figure(pd.DataFrame(values, [f"c{i}" for i in range(24)], names), "mAP", width))


@pytest.mark.parametrize("losses", [(), (0.9, 0.5, 0.4)])
def test_curves(losses):
    curve = Curve((0.001, 0.1, 10.0), (0.2, 0.5, 0.4), losses, losses, 0.1)
    figure = curves_figure([curve] * 5, "L2 strength", "top1_acc", 3.5, log=True)
    check(figure)
    assert len(figure.axes) == 1 + bool(losses)


@pytest.mark.parametrize(("n", "width"), [(1, 3.5), (25, 3.5)])
def test_differences(n, width):
    kinds = ("a", "b", "neither")
    rows = [
        ForestRow(f"task number {i}", (i - n / 2) / n, (i - n / 2) / n - 0.1, np.nan, kinds[i % 3])
        for i in range(n)
    ]
    rows.append(ForestRow("mean of 3 tasks", 0.01, -0.01, 0.03, "mean"))
    check(forest_figure(rows, LONG, f"{LONG} too", width))


@pytest.mark.parametrize(("n", "width"), [(2, 3.5), (5, 7.16), SLOW_40])
def test_ranks(n, width):
    ranks = pd.Series(np.linspace(1, n, n), [f"{LONG}{i}" for i in range(n)])
    groups = [list(ranks.index[i : i + 3]) for i in range(0, n, 2)]
    check(ranks_figure(ranks, groups, width, critical=min(3.2, n / 2)))
    check(ranks_figure(ranks, [], width))


def test_equal_ranks_are_drawn():
    check(ranks_figure(pd.Series([2.0, 2.0, 2.0], ["a", "b", "c"]), [["a", "b", "c"]], 3.5, 1.0))


@pytest.mark.parametrize(("models", "width"), [(1, 3.5), (3, 3.5), (2, 7.16), (8, 3.5)])
def test_maps(models, width):
    rng = np.random.default_rng(0)
    names = [f"{LONG}{i}" for i in range(models)]
    labels = [f"a long label {i % 10}" for i in range(50)]
    shown = sorted(set(labels))[:8]
    points = {name: rng.normal(size=(50, 2)) for name in names}
    check(map_figure(points, dict.fromkeys(names, labels), shown, width))


@pytest.mark.parametrize(("labels", "width"), [(6, 3.5), SLOW_40])
def test_timelines(labels, width):
    names = [f"label {i}" for i in range(labels)]
    events = [Event(name, 100.0 * i, 100.0 * i + 400) for i, name in enumerate(names)]
    audio = np.random.default_rng(0).normal(0, 0.1, 5 * 16000)
    place = {"begin": 0.0, "end": 5000.0, "width": width}
    check(timeline_figure(events, events[::2], names, **place, audio=audio, rate=16000))
    check(timeline_figure(events, [], names, **place))


def test_a_silent_or_very_short_recording_has_a_spectrogram():
    for audio in (np.zeros(16000), np.zeros(10)):
        figure = timeline_figure(
            [], [], ["a"], begin=0.0, end=1000.0, width=3.5, audio=audio, rate=16000
        )
        check(figure)
        assert len(figure.axes) == 2
