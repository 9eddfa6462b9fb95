"""Colours and sizes of figures, and their files."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import matplotlib
import numpy as np
import pytest

from harness.report.figures.scores import ModelScore, scores_figure
from harness.report.figures.style import (
    COLUMN_INCHES,
    GRID,
    INK,
    MUTED,
    SERIES,
    SURFACE,
    VARIABLES,
    save,
    to_bytes,
)

CSS = (files("harness.report") / "page_data" / "page.css").read_text("utf-8")
SCORES = [
    ModelScore("one", 0.7, 0.6, 0.8, False, (0.69, 0.71)),
    ModelScore("two", 0.5, 0.4, 0.6, True),
]


def variables(block: int) -> dict[str, str]:
    """The colours of one of the style sheet's palettes: light, dark, dark by the button."""
    blocks = [part for part in re.findall(r"\{([^{}]*)\}", CSS) if "--ink:" in part]
    return dict(re.findall(r"(--[\w]+): (#[0-9a-f]{6})", blocks[block]))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_page_has_the_figures_colours_in_light_mode():
    light = variables(0)
    assert {variable: light[variable] for variable in VARIABLES.values()} == {
        variable: colour for colour, variable in VARIABLES.items()
    }


def test_dark_mode_is_the_same_by_the_system_and_by_the_button():
    assert variables(1) == variables(2)
    assert variables(1).keys() >= set(VARIABLES.values())


@pytest.mark.parametrize("block", [0, 1])
def test_marks_stand_out_and_words_can_be_read(block):
    """WCAG 2: 3 for graphics, 4.5 for text."""
    palette = variables(block)
    ground = palette["--surface"]
    for number in range(1, len(SERIES) + 1):
        assert contrast(palette[f"--c{number}"], ground) >= 3, number
    for name in ("--ink", "--muted", "--accent"):
        for below in (ground, palette["--raised"]):
            assert contrast(palette[name], below) >= 4.5, name


# Severe red-green blindness in linear RGB: Machado, Oliveira and Fernandes (2009), table 1.
PROTAN = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTAN = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("blindness", [PROTAN, DEUTAN])
def test_right_and_wrong_and_the_first_series_differ_for_colour_blind_readers(block, blindness):
    palette = variables(block)

    def seen(name: str) -> np.ndarray:
        parts = np.array([int(palette[name][i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        shown = np.clip(np.array(blindness) @ linear, 0, 1)
        return 255 * np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)

    for one, other in combinations(("--c1", "--c2", "--c3"), 2):
        assert np.abs(seen(one) - seen(other)).max() > 40, (one, other)


def test_colours_are_told_apart_by_their_name_alone():
    assert len({INK, MUTED, GRID, SURFACE, *SERIES}) == 4 + len(SERIES)


def test_files_are_equal_each_time_and_of_their_width(tmp_path):
    width = COLUMN_INCHES
    for style in ("pdf", "png", "svg"):
        one = to_bytes(scores_figure(SCORES, "top1_acc", width), style)
        assert one == to_bytes(scores_figure(SCORES, "top1_acc", width), style)
        save(scores_figure(SCORES, "top1_acc", width), tmp_path / f"x.{style}")
        assert (tmp_path / f"x.{style}").read_bytes() == one
    image = matplotlib.image.imread(tmp_path / "x.png")
    assert image.shape[1] == int(width * 300)
    assert image[0, 0, :3].tolist() == [1, 1, 1]


def test_drawing_leaves_matplotlibs_settings_alone():
    before = dict(matplotlib.rcParams)
    to_bytes(scores_figure(SCORES, "top1_acc", 3.5), "svg")
    assert dict(matplotlib.rcParams) == before
