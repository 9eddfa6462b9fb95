"""The table of models × tasks as a page shows it."""

from __future__ import annotations

import dataclasses

import pytest
from support.result_rows import row

from harness.analysis.table.cells import Marks
from harness.report.material import TaskFacts, gather
from harness.report.overview import Mean, overview
from harness.results import frame, write_csv


@pytest.fixture
def table(tmp_path):
    """Make the overview of rows."""

    def make(*rows, marks=None):
        write_csv(frame(rows), tmp_path / "results.csv")
        return overview(gather([tmp_path / "results.csv"]), "linear", marks)

    return make


def test_a_task_that_not_all_were_tested_on_alike_has_no_best_and_no_part_in_the_mean(table):
    rows = [row(model="a", n_test=9), row(model="b", n_test=9, metric="mAP", value=0.6)]
    rows += [row(model=m, task="o-v1-full", value=0.1) for m in "ab"]
    found = table(*rows)
    metrics = {column.name: (column.metric, column.averaged) for column in found.columns}
    assert metrics == {"t": ("mixed", False), "o": ("top1_acc", True)}
    assert found.means == (("", 1),)
    mixed = {each.model: each.cells[-1] for each in found.rows}
    assert [mixed[m].rest for m in "ab"] == ["top1_acc [0.400, 0.600]", "mAP [0.500, 0.700]"]
    assert not any(cell.best or cell.near for cell in mixed.values())
    assert [each.means for each in found.rows] == [(Mean(0.1, 1, best=True),)] * 2  # they tie
    assert any("in no mean: t-v1-full (a: top1_acc; b: mAP)." in note for note in found.notes)


def test_baselines_come_first_and_domains_of_several_tasks_have_means(tmp_path):
    domains = {"a-v1-full": "music", "b-v1-full": "music", "c-v1-full": "speech"}
    values = {"logmel": (0.9, 0.8, 0.1), "best": (0.8, 0.6, 0.4), "worse": (0.1, 0.1, 0.1)}
    rows = [
        row(model=model, task=task, value=value)
        for model, own in values.items()
        for task, value in zip(domains, own)
    ]
    write_csv(frame(rows), tmp_path / "results.csv")
    material = dataclasses.replace(
        gather([tmp_path / "results.csv"]),
        facts={task: TaskFacts(task, domain) for task, domain in domains.items()},
        baselines=("worse", "logmel"),
    )
    found = overview(material, "linear", None)
    assert [each.model for each in found.rows if each.baseline][-1] == "worse"
    assert [each.model for each in found.rows][-1] == "best"
    assert found.means == (("", 3), ("music", 2))
    assert [mean.value for mean in found.rows[-1].means] == pytest.approx([0.6, 0.7])
    best = {each.model: [mean.best for mean in each.means] for each in found.rows}
    assert best == {"logmel": [True, True], "best": [True, False], "worse": [False, False]}


def test_what_was_not_compared_is_named_as_far_as_it_can_be_read(table):
    marks = Marks(unpaired=[f"m{i} on t by linear (gone)" for i in range(9)])
    *_, note = table(row(model="a"), row(model="b", value=0.6), marks=marks).notes
    assert "Could not be compared, so without a mark: m0 on t by linear (gone); m1" in note
    assert note.endswith("m2 on t by linear (gone); and 6 more.")


@pytest.mark.parametrize("n_tasks", [1, 6, 7, 19, 40])
def test_parts_for_paper_have_every_column_once(table, n_tasks):
    found = table(*[row(task=f"t{number}-v1-full") for number in range(n_tasks)])
    parts = found.parts()
    assert [place for means, _ in parts for place in means] == list(range(len(found.means)))
    assert [place for _, columns in parts for place in columns] == list(range(n_tasks))
    sizes = [len(means) + len(columns) for means, columns in parts]
    assert max(sizes) <= 7
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("protocol", "between", "said"),
    [
        ("linear", "probe seeds", "of 2 seeds 0.1414"),
        ("linear-4-shot", "draws of training clips", "of 2 draws 0.1414"),
    ],
)
def test_the_deviation_is_of_seeds_or_of_draws(tmp_path, protocol, between, said):
    rows = [row(protocol=protocol, seed=s, value=v) for s, v in enumerate([0.4, 0.6])]
    write_csv(frame(rows), tmp_path / "results.csv")
    found = overview(gather([tmp_path / "results.csv"]), protocol, None)
    assert f"sd: standard deviation between {between}; the value is their mean." in found.notes
    assert said in found.rows[0].cells[0].said
