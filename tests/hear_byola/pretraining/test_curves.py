from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from hear_byola.pretraining.curves import draw

HEADER = (
    "step,loss,lr,embedding_std,embedding_rank,projection_std,projection_rank,probe/a,probe/b\n"
)
ROWS = (
    "1,3.5,3e-4,,,,,,\n"
    "2,3.1,3e-4,0.2,40,0.8,50,0.3,0.4\n"
    "3,2.8,2e-4,,,,,,\n"
    "4,2.9,1e-4,0.2,41,0.7,48,0.5,0.2\n"
)


@pytest.fixture
def figure(tmp_path: Path):
    """What a CSV's text is drawn as: uint8 (height, width, channels)."""

    def drawn(text: str | None) -> np.ndarray:
        csv, png = tmp_path / "metrics.csv", tmp_path / "figures" / "curves.png"
        csv.unlink(missing_ok=True)
        if text is not None:
            csv.write_text(text)
        draw(csv, png)
        assert [path.name for path in png.parent.iterdir()] == ["curves.png"]
        return imread(png)

    return drawn


def test_each_kind_of_value_that_was_logged_has_a_panel(figure) -> None:
    loss_alone = figure("step,loss\n1,3\n2,2\n")
    assert np.ptp(loss_alone) > 0
    assert len(figure(HEADER + ROWS)) == 5 * len(loss_alone)
    assert len(figure("step,loss,lr\n1,3,0.1\n")) == 2 * len(loss_alone)


@pytest.mark.parametrize("text", [None, "", HEADER, "loss\n3\n", "step\n", "\x00\x00", '"'])
def test_a_file_without_values_is_drawn_as_such(figure, text: str | None) -> None:
    assert np.array_equal(figure(text), figure(None))


def test_a_row_that_is_cut_off_counts_as_far_as_it_goes(figure) -> None:
    whole = figure(HEADER + ROWS)
    for cut in ("5", "5,", "\n"):
        assert np.array_equal(figure(HEADER + ROWS + cut), whole)
    assert not np.array_equal(figure(HEADER + ROWS + "5,4.5"), whole)


def test_of_a_steps_rows_the_last_value_counts_in_whatever_order_steps_come(figure) -> None:
    assert np.array_equal(
        figure("step,loss,lr\n3,1,\n1,9,\n1,3,\n2,2,\n1,,0.5\n"),
        figure("step,loss,lr\n1,3,0.5\n2,2,\n3,1,\n"),
    )


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "what"])
def test_what_is_no_finite_number_is_left_out(figure, value: str) -> None:
    assert np.array_equal(
        figure(f"step,loss,lr\n1,3,{value}\n2,{value},1\n3,1,2\n{value},1,1\n"),
        figure("step,loss,lr\n1,3,\n2,,1\n3,1,2\n"),
    )


def highest_colour(image: np.ndarray) -> np.ndarray:
    """Row of the topmost pixel that is not grey, by column; axes and text are grey."""
    coloured = np.ptp(image[:, :, :3], axis=2) > 0.05
    return np.where(coloured.any(0), coloured.argmax(0), len(image))


def test_a_spike_shows_in_a_long_run(figure) -> None:
    losses = 2 * np.exp(-np.arange(1_000_000) / 3e5)

    def csv() -> str:
        rows = "\n".join(f"{step},{loss:.4f}" for step, loss in enumerate(losses.tolist()))
        return f"step,loss\n{rows}\n"

    smooth = highest_colour(figure(csv()))
    losses[700_000] = 1.9
    rise = smooth - highest_colour(figure(csv()))
    assert rise.max() > 100
    assert (rise > 10).sum() < 5


def test_a_figure_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "figures" / "curves.png").mkdir(parents=True)
    with pytest.raises(OSError):
        draw(tmp_path / "metrics.csv", tmp_path / "figures" / "curves.png")
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["curves.png"]


def test_matplotlib_is_imported_by_drawing_alone_and_without_a_screen(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, hear_byola.pretraining.curves as c\n"
        "assert 'matplotlib' not in sys.modules\n"
        "c.draw(pathlib.Path('none.csv'), pathlib.Path('curves.png'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
