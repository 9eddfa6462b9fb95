"""The table of a study: its words, on synthetic scores; and its numbers, read from predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from support import task_directories

from harness.ablation.differences import ArmScores
from harness.ablation.paper import PaperRow
from harness.ablation.scores import MEAN, ScoredTask, StudyScores, gather_scores, model_name
from harness.ablation.study import Arm, Study
from harness.ablation.table import format_study, long_form
from harness.analysis.compare.ranks import holm
from harness.core.errors import UserError
from harness.metrics.units import clip_units
from harness.models.spec import ModelSpec
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource


def study(arms: Mapping[str, int], paper: Mapping[str, float] | None = None) -> Study:
    """A study of arms with so many seeds; the first is the reference."""
    return Study(
        path=Path("study.yaml"),
        name="synthetic",
        audio=Path("pool"),
        config="tiny",
        overrides={},
        arms=tuple(Arm(name, {}, tuple(range(n))) for name, n in arms.items()),
        reference=next(iter(arms)),
        paper={
            arm: PaperRow("Table X", {"other": 50.0, "mean": mean})
            for arm, mean in (paper or {}).items()
        },
    )


def board(scores: Mapping[str, Sequence[Sequence[float]]], noise: float = 0.001) -> StudyScores:
    """A board of synthetic scores: two tasks in the mean, and an error rate that is not."""
    rng = np.random.default_rng(0)
    columns = (
        ScoredTask("one-v1-full", "top1_acc", True, clip_units([200])),
        ScoredTask("two-v1-full", "mAP", True, clip_units([40] * 5)),
        ScoredTask("events-v1-full", "segment_1s_er", False, clip_units([200])),
    )
    arms = {}
    for name, rows in scores.items():
        values = np.array(rows, float)
        moves = noise / np.sqrt(200) * rng.normal(size=(3, len(values), 200))
        arms[name] = ArmScores(values, tuple(moves))
    return StudyScores("linear", columns, arms)


SCORES = {
    "whole": [[0.60, 0.70, 0.5], [0.61, 0.71, 0.5], [0.62, 0.72, 0.5]],
    "near": [[0.61, 0.71, 0.4], [0.61, 0.72, 0.4], [0.62, 0.72, 0.4]],
    "worse": [[0.40, 0.50, 0.9], [0.41, 0.51, 0.9], [0.41, 0.50, 0.9]],
    "wild": [[0.20, 0.30, 0.9], [0.90, 0.80, 0.9], [0.90, 0.99, 0.9]],
}
PAPER = {"whole": 70.0, "near": 60.0, "worse": 65.0}


def table(paper: Mapping[str, float] | None = None, scores=None):
    scores = scores or SCORES
    return study({name: len(rows) for name, rows in scores.items()}, paper), board(scores)


def test_every_arm_has_a_row_a_task_and_one_for_the_mean():
    chosen, scores = table()
    rows = long_form(chosen, [scores]).set_index(["arm", "task"])
    assert len(rows) == 4 * 4
    worse = rows.loc[("worse", "mean")]
    assert worse.value == pytest.approx(np.mean([0.45, 0.46, 0.455]))
    assert worse.difference == pytest.approx(worse.value - 0.66)
    assert worse.ci_low < worse.difference < worse.ci_high < 0
    assert worse.n_tasks == 2  # the error rate is not in the mean
    assert worse.ordering == "lower"
    assert rows.loc[("worse", "events-v1-full")].difference == pytest.approx(0.4)
    assert rows.loc[("whole", "mean")].ordering == "reference"
    assert np.isnan(rows.loc[("whole", "mean")].difference)
    floors = rows.noise_largest.xs("mean", level="task")
    assert floors.tolist() == pytest.approx([0.02] * 4)


def test_an_arms_tasks_are_corrected_for_as_in_a_comparison():
    chosen, scores = table()
    rows = long_form(chosen, [scores]).set_index(["arm", "task"])
    for arm in ("near", "worse", "wild"):
        of_arm = rows.loc[arm]
        tasks = of_arm.drop("mean")
        assert tasks.p_holm.tolist() == holm(tasks.p.to_numpy()).tolist()
        assert (tasks.p_holm >= tasks.p).all()
        assert of_arm.p_holm["mean"] == of_arm.p["mean"]
    assert rows.loc["whole"].p.isna().all()


def test_the_table_is_laid_out_like_the_papers():
    text = format_study(table()[0], [table()[1]])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert head == [
        "linear", "one", "two", "events", "mean", "seeds", "sd over seeds", "difference to whole",
        "ordering",
    ]  # fmt: skip
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["metric", *SCORES]
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells == ["whole", "0.610", "0.710", "0.500", "0.660", "3", "0.010", "", "reference"]


def test_what_noise_leaves_without_an_order_is_said_in_words():
    text = format_study(table()[0], [table()[1]])
    assert "standard deviation of 0.010 in the mean, and differ by up to 0.020" in text
    last = {
        line.split("|")[1].strip(): line.split("|")[-2].strip()
        for line in text.splitlines()
        if line.startswith("|")
    }
    assert last["near"] == "no ordering: inside the noise floor"
    assert last["wild"].startswith("no ordering: p = ")
    assert last["worse"] == "lower"


def test_one_seed_of_the_reference_gives_no_order_at_all():
    chosen, made = table(scores={"whole": [[0.6, 0.7, 0.5]], "worse": SCORES["worse"]})
    text = format_study(chosen, [made])
    assert "Noise floor: unknown, because whole has fewer than two seeds." in text
    assert "no noise floor with one seed" in text
    assert "lower" not in text


def test_the_paper_stands_beside_and_agreement_is_counted_by_pairs():
    chosen, scores = table(PAPER)
    text = format_study(chosen, [scores])
    row = next(line for line in text.splitlines() if line.startswith("| near"))
    assert [cell.strip() for cell in row.strip("|").split("|")][-2:] == ["60.0", "-10.0"]
    # whole > near here by noise alone; worse is below both here, above near in the paper.
    assert "of 3 pairs of arms with a published mean, 2 are ordered here: 1 as in the" in text
    assert "1 as in the paper, 1 the other way round. By the means alone" in text
    assert "- near is above worse here, below it in the paper" in text
    assert "| paper, % " in text
    assert long_form(chosen, [scores]).paper_percent.notna().sum() == 3


def test_a_failed_seed_is_left_out_of_the_mean_and_named():
    nothing = [np.nan] * 3
    scores = {**SCORES, "near": [[0.5, np.nan, np.nan], *SCORES["near"][1:]], "gone": [nothing]}
    chosen, made = table(PAPER, scores)
    text = format_study(chosen, [made], ["near-seed0 · two: no memory"])
    near = next(line for line in text.splitlines() if line.startswith("| near"))
    assert [cell.strip() for cell in near.strip("|").split("|")][3:6:2] == ["0.400", "2"]
    gone = next(line for line in text.splitlines() if line.startswith("| gone"))
    assert "not known" in gone
    assert "Missing:\n- near-seed0 · two: no memory" in text


# From files


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Untrained models, two seeds of two sizes of hop, on every kind of task."""
    root = tmp_path_factory.mktemp("study")
    tasks = [
        task_directories.make_task(root, kind, n=6, seconds=seconds)
        for kind, seconds in {"kfold": 0.3, "multilabel": 0.3, "events": 1.0}.items()
    ]
    arms = {"wide": 80, "narrow": 40}
    specs = [
        ModelSpec("hear_byola", options={"seed": s, "hop_ms": hop}, name=model_name(arm, s))
        for arm, hop in arms.items()
        for s in range(2)
    ]
    settings = Settings(tuple(specs), tuple(map(TaskSource, tasks)), ("linear",), out=root / "out")
    plan = make_plan(settings)
    summary = execute(plan, InlineEngine("cpu"), root / "out")
    assert summary.failures == ()
    return study({"wide": 2, "narrow": 2}), plan, summary.table


def test_scores_and_influences_are_those_of_the_evaluations(evaluated):
    chosen, plan, results = evaluated
    (made,) = gather_scores(chosen, plan, results)
    assert [c.metric for c in made.columns] == [
        "top1_acc", "mAP", "event_onset_200ms_fms",
    ]  # fmt: skip
    assert [(each.n_units, each.freedom) for each in made.units] == [(18, 15), (6, 5), (6, 5)]
    headline = results[results.is_primary & (results.split == "all")]
    for arm, scores in made.arms.items():
        for seed, row in enumerate(scores.values):
            mine = headline[headline.model == model_name(arm, seed)].set_index("task").value
            assert row.tolist() == [mine[c.task] for c in made.columns]
    # Scene embeddings do not depend on the hop, and units are in one order.
    wide, narrow = made.arms["wide"].moves, made.arms["narrow"].moves
    assert all(map(np.array_equal, wide[:2], narrow[:2]))
    assert np.ptp(wide[2]) > 0
    assert all(np.isfinite(each).all() for each in wide)


def test_what_is_not_finished_is_not_there(evaluated):
    chosen, plan, results = evaluated
    gone = dataclasses.replace(plan[0], fingerprint="0" * 64)
    (made,) = gather_scores(chosen, [gone, *plan[1:]], results)
    assert np.isnan(made.arms["wide"].values[0, 0])
    assert np.isfinite(made.arms["wide"].values[1:]).all()


def test_damaged_predictions_are_named(evaluated):
    chosen, plan, results = evaluated
    path = next(plan[-1].directory.glob("*.events.json"))
    whole = path.read_text()
    path.write_text(whole[:-9])
    try:
        with pytest.raises(UserError, match="Delete its folder"):
            gather_scores(chosen, plan, results)
    finally:
        path.write_text(whole)


def test_a_study_on_synthetic_tasks_alone_has_no_mean():
    chosen, scores = table()
    columns = tuple(
        dataclasses.replace(c, task=c.task.replace("full", "synthetic"), averaged=False)
        for c in scores.columns
    )
    made_up = dataclasses.replace(scores, columns=columns)
    text = format_study(chosen, [made_up])
    assert "one (synthetic)" in text
    assert "No task is in the mean" in text
    assert MEAN not in set(long_form(chosen, [made_up]).task)
