"""Figures as SVG in a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.report.figures.scatter import map_figure
from harness.report.figures.scores import ModelScore, scores_figure
from harness.report.figures.style import VARIABLES
from harness.report.figures.svg import to_svg

NAME = '<i>"a" & $b$</i>'


@pytest.fixture(scope="module")
def scores() -> str:
    rows = [ModelScore(NAME, 0.7, 0.6, 0.8), ModelScore("baseline", 0.5, 0.4, 0.6, True)]
    return to_svg(scores_figure(rows, "top1_acc", 4.0), "f1", f"Scores of {NAME}.")


def test_letters_stay_text_and_are_escaped(scores):
    root = ElementTree.fromstring(scores)
    words = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert NAME in words
    assert {"top1_acc", "0.700"} <= set(words)
    assert root.attrib["aria-label"] == f"Scores of {NAME}."
    assert root.attrib["role"] == "img"


def test_what_no_svg_can_hold_is_replaced():
    rows = [ModelScore("bell\x07", 0.7, 0.6, 0.8)]
    figure = scores_figure(rows, "odd\x01metric\ud800", 4.0)
    root = ElementTree.fromstring(to_svg(figure, "f1", "Scores of bell\x07."))
    words = {"".join(element.itertext()) for element in root.iter()}
    assert {"bell\ufffd", "odd\ufffdmetric\ufffd"} <= words


def test_colours_follow_the_page(scores):
    for colour, variable in VARIABLES.items():
        for match in re.finditer(re.escape(colour), scores):
            assert scores[: match.start()].endswith(f"var({variable},")
    assert "var(--ink," in scores
    assert "var(--c1," in scores
    assert not re.search(r"(fill|stroke):\s*#(?!000000)", scores)


def test_it_reaches_no_other_figure_of_the_page(scores):
    assert "<style" not in scores
    ids = re.findall(r'id="([^"]+)"', scores)
    assert ids
    assert all(each.startswith("f1-") for each in ids)
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', scores)) <= {
        *((each, "") for each in ids),
        *(("", each) for each in ids),
    }
    assert "metadata" not in scores


def test_two_thousand_points_are_small():
    rng = np.random.default_rng(0)
    labels = [f"label {number % 8}" for number in range(2000)]
    figure = map_figure({"m": rng.normal(size=(2000, 2))}, {"m": labels}, sorted(set(labels)), 4.6)
    svg = to_svg(figure, "f2", "A map.")
    assert svg.count("<use") >= 2000
    assert len(svg) < 120_000


def test_it_has_no_size_of_its_own_but_a_widest(scores):
    root = ElementTree.fromstring(scores)
    assert "width" not in root.attrib
    assert root.attrib["viewBox"].split()[2] == "288"
    assert root.attrib["style"] == "--width:288"
