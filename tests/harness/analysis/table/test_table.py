from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from support.result_rows import row

from harness.analysis.table import format_table, wide
from harness.analysis.table.baseline_models import baseline_models
from harness.analysis.table.cells import Marks, cells
from harness.cli import call
from harness.core.errors import UserError
from harness.results import frame, load, write_csv
from tasks.find import domains

ROOT = Path(__file__).parents[4]


def results():
    return frame(
        [
            row(model="a", task="t1", value=0.5),
            row(model="a", task="t2", value=0.7),
            row(model="b", task="t1", value=0.9),
            row(model="b", task="t2", value=None, ci_low=None, ci_high=None, status="failed"),
            row(model="b", task="t1", split="fold00", value=0.1),
            row(model="b", task="t1", metric="mAP", is_primary=False, value=0.2),
            row(model="a", task="t1", protocol="knn", value=0.3),
        ]
    )


def lines_of(text):
    """The cells of a markdown table, line by line; notes below it are left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_wide_holds_primary_values_of_one_protocol():
    table = wide(results(), "linear")
    assert table.loc["a", ["t1", "t2"]].tolist() == [0.5, 0.7]
    assert table.loc["b", "t1"] == 0.9
    assert np.isnan(table.loc["b", "t2"])


def test_a_protocol_that_was_not_run_is_met_with_the_nearest():
    with pytest.raises(
        UserError, match=r"No results of the protocol 'linar'. Did you mean 'linear'"
    ):
        wide(results(), "linar")


def test_two_models_of_one_name_are_told_apart_below_the_table():
    later = "2026-02-01T00:00:00+00:00"
    twins = [row(model_fingerprint="a" * 64, checkpoint="one.pt")]
    twins.append(row(model_fingerprint="b" * 64, checkpoint="two.pt", started_at=later))
    said = format_table(frame(twins))
    assert f"m@aaaaaaaa (one.pt, {row().run.started_at}), m@bbbbbbbb (two.pt, {later})" in said
    assert "Models with the same name" not in format_table(results())


@pytest.mark.parametrize("style", ["markdown", "csv", "latex", "html"])
def test_without_rows_there_is_a_sentence(style):
    assert format_table(frame([]), style) == "No results.\n"


def test_a_mean_tells_how_many_tasks_it_stands_on():
    table = wide(results(), "linear")
    assert table.loc["a", "mean"] == pytest.approx(0.6)
    assert table.tasks.tolist() == ["2/2", "1/2"]


def test_seeds_are_averaged():
    table = frame([row(seed=s, value=v) for s, v in enumerate([0.2, 0.4])])
    assert wide(table, "linear").loc["m", "t-v1-full"] == pytest.approx(0.3)


def test_a_minimised_metric_stays_out_of_the_mean():
    table = frame([row(task="t1", value=0.5), row(task="t2", value=3.0, higher_is_better=False)])
    assert wide(table, "linear").loc["m", "mean"] == 0.5


def test_a_synthetic_task_is_said_to_be_one_and_stays_out_of_the_mean():
    table = frame([row(task="t1-v1-full", value=0.5), row(task="t2-v1-synthetic", value=1.0)])
    assert wide(table, "linear").loc["m", ["mean", "tasks"]].tolist() == [0.5, "1/1"]
    assert lines_of(format_table(table))[0][1:] == ["t1", "t2 (synthetic)", "mean"]
    alone = format_table(table[table.task == "t2-v1-synthetic"])
    assert lines_of(alone)[-1][1:] == ["1.000 [0.900, 1.100]", "-"]


def test_a_failed_cell_reads_failed_and_a_missing_one_a_dash():
    both = pd.concat([results(), frame([row(model="c", task="t1", value=0.1)])])
    lines = {line[0]: line for line in lines_of(format_table(both[both.protocol == "linear"]))}
    assert lines["b"][2:] == ["failed", "0.900‡ (1/2)"]
    assert lines["c"][2:] == ["-", "0.100‡ (1/2)"]


def test_protocols_never_share_a_table():
    knn, linear, *_ = format_table(results()).split("\n\n")
    assert knn.startswith("| knn ")
    assert linear.startswith("| linear ")
    assert "0.300" in knn
    assert "0.300" not in linear


def test_a_task_goes_by_its_name_alone_where_that_is_enough():
    rows = [row(task=task) for task in ("pitch-v1-5h", "pitch-v1-50h", "chord-v1-full")]
    assert lines_of(format_table(frame(rows)))[0][1:4] == ["chord", "pitch-v1-50h", "pitch-v1-5h"]


@pytest.mark.parametrize("style", ["markdown", "latex", "html"])
def test_every_format_shows_every_value(style):
    text = format_table(results(), style)
    for value in ("0.500", "0.700", "0.900", "failed"):
        assert value in text


def test_an_unknown_format_is_refused():
    with pytest.raises(UserError, match="'word'"):
        format_table(results(), "word")


def test_an_undefined_value_is_said_to_be_undefined():
    rows = [row(task="t1", value=None, ci_low=None, ci_high=None), row(task="t2", value=0.25)]
    line = lines_of(format_table(frame(rows)))[-1]
    assert line[1:] == ["undefined", "0.250 [0.150, 0.350]", "0.250‡ (1/2)"]


def test_the_best_of_a_column_is_bold_and_of_means_only_a_complete_one():
    lines = {
        line[0]: line[1:]
        for line in lines_of(format_table(results()[lambda t: t.protocol == "linear"]))
    }
    assert lines["a"] == ["0.500 [0.400, 0.600]", "0.700 [0.600, 0.800]", "0.600 (2/2)"]
    assert lines["b"] == ["**0.900** [0.800, 1.000]", "failed", "0.900‡ (1/2)"]


def test_what_only_rounding_tells_apart_is_equal_and_reads_alike():
    # 0.7985 and what a mean over folds may make of it.
    rows = [row(model=m, value=v) for m, v in (("a", 0.7985), ("b", 0.79849999999999999 - 2e-16))]
    assert rows[0].measurement.value != rows[1].measurement.value
    table = frame(rows)
    assert cells(table, "linear").best.all()
    _, first, second = [line[1] for line in lines_of(format_table(table))[1:]][-3:]
    assert first == second


def test_the_best_of_a_minimised_metric_is_the_lowest_and_equals_share_it():
    rows = [row(model=m, value=v, higher_is_better=False) for m, v in zip("abc", [2.0, 1.0, 1.0])]
    assert cells(frame(rows), "linear").set_index(["task", "model"]).best["t-v1-full"].tolist() == [
        False, True, True,
    ]  # fmt: skip


SEEDED = {"model": "mine", "model_options": '{"seed": 1}'}
COMMAND = (
    "hear-byola run -m harness.baselines.logmel,name=logmel -m hear_byola,seed=1,name=random "
    "--model ./mine.py,seed=1,name=mine -m hear_byola=a.pt,name=pt"
)
BASELINES = [
    ({"model": "lm", "module": "harness.baselines.logmel"}, True),
    (SEEDED | {"module": "hear_byola"}, True),
    (SEEDED | {"module": "hear_byola", "checkpoint": "a.pt"}, False),
    ({"model": "mine", "module": "hear_byola", "model_options": '{"d": 512}'}, False),
    (SEEDED | {"module": "./mine.py"}, False),
    (SEEDED | {"module": "mine"}, False),
    ({"model": "logmel", "module": "logmel"}, False),
    ({"model": "logmel", "module": "./logmel.py"}, False),
    # Rows of schema version 1 record the command alone.
    ({"model": "logmel", "command": COMMAND}, True),
    ({"model": "logmel@1a2b3c4d", "command": COMMAND}, True),
    ({"model": "random", "model_options": '{"seed": 1}', "command": COMMAND}, True),
    (SEEDED | {"command": COMMAND}, False),
    ({"model": "pt", "checkpoint": "a.pt", "command": COMMAND}, False),
    ({"model": "logmel", "command": "hear-byola run -m 'harness.baselines.logmel"}, False),
    ({"model": "logmel"}, False),
    (SEEDED, False),
]


@pytest.mark.parametrize(("changes", "is_one"), BASELINES)
def test_which_rows_are_baselines(changes, is_one):
    model = changes["model"]
    table = frame([row(**changes)])
    assert baseline_models(table) == [model] * is_one
    assert baseline_models(table, [model]) == [model]
    with pytest.raises(UserError, match="No results of the model 'not here'"):
        baseline_models(table, ["not here"])


def test_baselines_stand_on_top_in_every_format():
    rows = [row(model=m, value=v) for m, v in (("a", 0.5), ("zoo", 0.3))]
    rows.append(row(model="logmel", module="harness.baselines.logmel", value=0.4))
    table = frame(rows)
    for style, pattern in (
        ("markdown", r"^\| ([a-z]+) .* (?:\*\*)?0\."),
        ("latex", r"^([a-z]+) & .*0\."),
        ("html", r'row">(\w+)<'),
        ("csv", r"^linear,([a-z]+),\w+,t-v1"),
    ):
        found = re.findall(pattern, format_table(table, style, baselines=["zoo"]), re.MULTILINE)
        assert found == ["logmel", "zoo", "a"], style
    assert "baselines are at the top: logmel, zoo." in format_table(table, baselines=["zoo"])


@pytest.mark.parametrize(
    ("style", "mark"),
    [
        ("markdown", "0.900‡ (1/2)"),
        ("latex", r"0.900$^{\ddagger}$ (1/2)"),
        ("html", "0.900‡ (1/2)"),
        ("csv", ",0.9,,,,,,,,partial,"),
    ],
)
def test_means_over_fewer_tasks_stand_last_and_are_marked(style, mark):
    rows = [row(model="a", task="t", value=0.9)]
    rows += [row(model=m, task=t, value=v) for m, v in (("b", 0.4), ("c", 0.5)) for t in "tu"]
    text = format_table(frame(rows), style)
    assert text.count(mark) == 1
    assert text.count("0.500‡") == text.count("0.400‡") == 0
    if style != "csv":
        assert "a mean over fewer tasks" in text
    assert list(dict.fromkeys(cells(frame(rows), "linear").model)) == ["b", "c", "a"]
    assert "‡" not in format_table(frame(rows[1:]))


def test_tasks_that_a_protocol_does_not_support_have_a_dash_and_no_part_in_means():
    kinds = {"s-v1-full": "multiclass", "l-v1-full": "multilabel", "e-v1-full": "event"}
    rows = [row(task=task, task_kind=kind) for task, kind in kinds.items()]
    rows += [row(task="s-v1-full", task_kind="multiclass", protocol=p) for p in ("byola", "knn")]
    rows += [row(task="l-v1-full", task_kind="multilabel", protocol="knn")]
    text = format_table(frame(rows))
    by_protocol = {line[0]: line for line in lines_of(text) if line[0] in ("byola", "knn")}
    assert by_protocol["knn"][1:] == by_protocol["byola"][1:] == ["e", "l", "s", "mean"]
    values = [line[1:] for line in lines_of(text) if line[0] == "m"]
    assert values[0] == ["-", "-", "0.500 [0.400, 0.600]", "0.500 (1/1)"]
    assert values[1] == ["-", "0.500 [0.400, 0.600]", "0.500 [0.400, 0.600]", "0.500 (2/2)"]
    assert values[2][-1] == "0.500 (3/3)"
    assert "-: byola does not support e, l; knn does not support e." in text
    csv = pd.read_csv(io.StringIO(format_table(frame(rows), "csv")))
    assert csv[csv.status == "unsupported"].task.tolist() == ["e-v1-full", "l-v1-full", "e-v1-full"]
    older = frame(rows).assign(task_kind="")
    assert "does not support" not in format_table(older)


DOMAINS = {"s1-v1-full": "speech", "s2-v1-full": "speech", "m1-v1-full": "music"}


def test_domains_order_the_tasks_and_have_means_where_they_have_several():
    tasks = ("x1-v1-full", "m1-v1-full", "s2-v1-full", "s1-v1-full", "x2-v1-full")
    table = frame([row(task=task, value=v / 10) for v, task in enumerate(tasks)])
    header, _, _, line = lines_of(format_table(table, domains=DOMAINS))
    assert header[1:] == ["s1", "s2", "m1", "x1", "x2", "mean speech", "mean other", "mean"]
    assert line[-3:] == ["0.250 (2/2)", "0.200 (2/2)", "0.200 (5/5)"]
    alone = lines_of(format_table(table[table.task.str.startswith("s")], domains=DOMAINS))
    assert alone[0][1:] == ["s1", "s2", "mean"]  # one domain: its mean is the mean


def test_a_mean_of_a_domain_leaves_nothing_out_silently():
    rows = [row(model="a", task=task) for task in DOMAINS]
    rows += [row(model="b", task="s1-v1-full", value=0.9), row(model="b", task="m1-v1-full")]
    found = cells(frame(rows), "linear", domains=DOMAINS).set_index(["model", "task"])
    speech = found.loc[("b", "mean speech")]
    assert (speech.value, speech.n_tasks, speech.of_tasks) == (0.9, 1, 2)
    assert not speech.best
    assert found.loc[("b", "s2-v1-full")].status == "missing"


def test_what_is_within_noise_of_the_best_is_marked_and_the_rule_said():
    table = frame([row(model=m, value=v) for m, v in zip("abc", [0.5, 0.6, 0.7])])
    marks = Marks(
        {("linear", "t-v1-full"): {"a": False, "b": True}},
        "no difference of 2 points.",
        ["d on x (gone)"],
    )
    text = format_table(table, marks=marks)
    assert [line[1] for line in lines_of(text)[3:]] == [
        "0.500 [0.400, 0.600]", "0.600† [0.500, 0.700]", "**0.700** [0.600, 0.800]",
    ]  # fmt: skip
    assert "†: no difference of 2 points." in text
    assert "without a mark: d on x (gone)" in text
    near = cells(table, "linear", marks=marks).set_index(["model", "task"]).near
    assert [near[m, "t-v1-full"] for m in "ab"] == [False, True]
    assert pd.isna(near["c", "t-v1-full"])


def test_without_predictions_nothing_is_marked_and_that_is_said():
    text = format_table(results(), marks=Marks())
    assert "†" not in text
    assert "No model is marked as not significantly different from the best" in text


def test_seeds_show_their_spread_beside_the_interval():
    table = frame([row(seed=s, value=v) for s, v in enumerate([0.4, 0.5, 0.6])])
    text = format_table(table)
    assert lines_of(text)[-1][1] == "0.500 [0.400, 0.600] (sd 0.100)"
    assert "sd: standard deviation between probe seeds" in text
    failed = frame([row(seed=0), row(seed=1, value=None, status="failed")])
    assert lines_of(format_table(failed))[-1][1] == "0.500 [0.400, 0.600] (a seed failed)"


def test_csv_has_numbers_in_columns_and_loses_no_digit():
    table = load(ROOT / "results" / "demo.csv")
    table = table[table.protocol == "linear"]  # of one seed
    read = pd.read_csv(io.StringIO(format_table(table, "csv")))
    for column in ("value", "ci_low", "ci_high", "seed_sd", "n_seeds", "of_tasks"):
        assert pd.api.types.is_numeric_dtype(read[column]), column
    primary = table[table.is_primary & (table.split == "all")]
    merged = read.merge(primary, on=["protocol", "model", "task"], suffixes=("", "_row"))
    assert len(merged) == len(primary) == 15
    for column in ("value", "ci_low", "ci_high"):
        assert (merged[column] == merged[f"{column}_row"]).all()


A, B = {"model": "a"}, {"model": "b", "value": 0.6}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": "mAP"}, "a: top1_acc; b: mAP"),
        ({"n_test": 99}, "a: 100 clips; b: 99 clips"),
        ({"task_sha256": "f" * 64}, "a: version abc; b: version ffffffff"),
    ],
)
def test_a_task_that_not_all_were_tested_on_alike_has_no_best_and_no_part_in_a_mean(changes, said):
    rows = [row(model=m, task="o-v1-full", value=v, n_test=5) for m, v in (("a", 0.1), ("b", 0.2))]
    rows += [row(**A, n_test=100), row(**B | {"n_test": 100} | changes)]
    marks = Marks({("linear", "t-v1-full"): {"a": True}}, "rule.")
    text = format_table(frame(rows), marks=marks)
    header, _, below, a, b = lines_of(text)
    assert (header[1:], below[1:]) == (["o", "t", "mean"], ["top1_acc", "mixed", ""])
    metric = changes.get("metric", "top1_acc")
    assert a[1:] == ["0.100 [0.000, 0.200]", "0.500 top1_acc [0.400, 0.600]", "0.100 (1/1)"]
    assert b[1:] == [
        "**0.200** [0.100, 0.300]",
        f"0.600 {metric} [0.500, 0.700]",
        "**0.200** (1/1)",
    ]
    assert f"so these tasks have no best value and are in no mean: t-v1-full ({said})." in text
    for style in ("latex", "html"):
        assert "Mixed" in format_table(frame(rows), style)
    read = pd.read_csv(io.StringIO(format_table(frame(rows), "csv"))).set_index(["model", "task"])
    assert read.mixed[[("a", "t-v1-full"), ("b", "t-v1-full")]].tolist() == [said, said]
    assert read.metric["b", "t-v1-full"] == metric
    assert wide(frame(rows), "linear").loc["b", ["t-v1-full", "mean", "tasks"]].tolist() == [
        0.6, 0.2, "1/1",
    ]  # fmt: skip


def test_failures_and_unknown_numbers_of_clips_mix_nothing():
    failed = {"value": None, "ci_low": None, "ci_high": None, "status": "failed"}
    rows = [row(**A, n_test=100), row(**B), row(model="c", metric="mAP", **failed)]
    found = cells(frame(rows), "linear").set_index(["model", "task"])
    assert set(found.mixed) == {""}
    assert found.best["b", "t-v1-full"]


def test_seeds_that_were_not_tested_alike_have_no_mean():
    rows = [row(**A, seed=s, task_sha256=str(s)) for s in (0, 1)] + [row(**B)]
    found = cells(frame(rows), "linear").set_index(["model", "task"])
    own = found.loc[("a", "t-v1-full")]
    assert own.status == "mixed"
    assert np.isnan([own.value, own.ci_low, own.seed_sd]).all()
    assert found.value["b", "t-v1-full"] == 0.6
    assert lines_of(format_table(frame(rows)))[3][1:] == ["mixed", "-"]


def test_a_mixed_task_names_few_of_many_models():
    rows = [row(model=f"m{i}", n_test=9 + i // 5) for i in range(6)]
    assert "(m0, m1, m2, and 2 more: 9 clips; m5: 10 clips)" in format_table(frame(rows))


@pytest.mark.parametrize("style", ["markdown", "latex", "html"])
def test_a_name_cannot_break_lines_or_steer_the_terminal(style):
    said = Marks({("linear", "t-v1-full"): {"a\nb": True}}, "rule.", ["c\x1b[31m on x (gone)"])
    table = frame([row(model="a\nb\x1b[2J"), row(model="z", value=0.9)])
    plain = frame([row(model="a b [2J"), row(model="z", value=0.9)])
    text = format_table(table, style, marks=said)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    rows_of = [part for part in text.splitlines() if "[2J" in part or "{[}2J" in part]
    assert rows_of == [
        part for part in format_table(plain, style).splitlines() if "[2J" in part or "{[}2J" in part
    ]


NASTY = r"a&b_50%{x}^~\#$ <i>|[y]"


def test_html_is_well_formed_and_shows_any_name_as_it_is():
    table = frame([row(model=NASTY), row(model="*b*", value=0.9)])
    tree = ElementTree.fromstring(format_table(table, "html"))
    names = ["".join(cell.itertext()) for cell in tree.iter("th") if cell.get("scope") == "row"]
    assert names == ["*b*", NASTY]
    assert [each.text for each in tree.iter("strong")] == ["0.900", "0.900"]


def test_latex_escapes_every_special_character():
    text = format_table(frame([row(model=NASTY), row(model="b", value=0.9)]), "latex")
    (line,) = (line for line in text.splitlines() if line.startswith("a"))
    assert line.startswith(
        r"a\&b\_50\%\{x\}\textasciicircum{}\textasciitilde{}\textbackslash{}\#\$ "
        r"\textless{}i\textgreater{}\textbar{}{[}y{]} & 0.500 {[}0.400, 0.600{]} & "
    )
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert r"\label{tab:linear}" in text
    for row_line in (each for each in text.splitlines() if each.endswith(r" \\")):
        assert len(re.findall(r"(?<!\\)&", row_line)) == 2


def test_a_name_with_a_bar_keeps_the_columns_of_markdown():
    line = format_table(frame([row(model="a|b")])).splitlines()[3]
    assert len(re.findall(r"(?<!\\)\|", line)) == 4


def many():
    domains = {
        f"task_number_{i:02d}-v1-full": ["speech", "music", "environment"][i % 3] for i in range(25)
    }
    rows = [
        row(model=f"a_model_of_some_name-{m:02d}", task=task, value=(m + i) / 100)
        for m in range(40)
        for i, task in enumerate(domains)
    ]
    return frame(rows), domains


def test_forty_models_on_twentyfive_tasks_stay_readable():
    table, domains = many()
    texts = [format_table(table, domains=known) for known in (domains, None)]
    for text in texts:
        assert max(map(len, text.split("Bold:")[0].splitlines())) < 200
        for task in domains:
            assert text.count(f" {task.removesuffix('-v1-full')} ") == 1
    parts = texts[0].split("\n\n")
    titles = [part.split("|")[1].strip() for part in parts if part.startswith("|")]
    assert titles == [
        *("linear: speech",) * 2, *("linear: music",) * 2, *("linear: environment",) * 2,
        "linear: means",
    ]  # fmt: skip
    assert (
        len(list(ElementTree.fromstring(format_table(table, "html", domains)).iter("table"))) == 1
    )


def test_the_readme_shows_the_table_that_the_command_prints():
    domains_of_cards = domains(ROOT / "tasks" / "demo" / "data")
    printed = format_table(load(ROOT / "results" / "demo.csv"), domains=domains_of_cards)
    # The CSV has no predictions, from which the marks of the README's table are computed.
    shown = re.sub("†([^|]*)", r"\1 ", (ROOT / "README.md").read_text())
    assert printed.split("\n\nBold:")[0] in shown


def test_failures_say_why():
    rows = [row(value=0.5), row(task="u-v1-full", value=None, status="failed", error="no memory.")]
    text = format_table(frame(rows))
    assert "Failed: m on u-v1-full by linear (no memory)." in text
    assert "marked" not in text
    many = [row(task=f"t{i}-v1-full", value=None, status="failed", error="x") for i in range(5)]
    assert ", and 2 more." in format_table(frame(many))


@pytest.mark.parametrize(("older", "named"), [(1, "1"), (None, "not recorded")])
def test_scores_of_different_probe_versions_are_named(older, named):
    new = [row(model=m, task=t, probe_version=2) for m in "ab" for t in ("t-v1-full", "u-v1-full")]
    old = row(model="c", probe_version=older)
    said = (
        "linear: scores of different probe versions, which cannot be compared. Version 2: a, b. "
        f"Older: c on t-v1-full ({named}). Run these again; embeddings are kept."
    )
    assert said in format_table(frame([*new, old]))
    # Versions are compared within a protocol.
    other = row(model="c", protocol="knn", probe_version=older)
    for rows in (new, [*new, other], [old]):
        assert "probe versions" not in format_table(frame(rows))


def test_the_command_puts_several_runs_in_one_table(tmp_path, capsys):
    for name, value in (("a", 0.3), ("b", 0.4)):
        write_csv(frame([row(model=name, value=value)]), tmp_path / f"{name}.csv")
    assert call(["results", "table", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) == 0
    assert [line[0] for line in lines_of(capsys.readouterr().out)[-2:]] == ["a", "b"]


def test_the_command_chooses_tasks_and_leaves_out_others(tmp_path, capsys):
    rows = [row(task=f"{name}-v1-full") for name in ("one", "two", "three")]
    write_csv(frame(rows), tmp_path / "r.csv")

    def columns(*arguments):
        assert call(["results", "table", str(tmp_path / "r.csv"), *arguments]) == 0
        return lines_of(capsys.readouterr().out)[0][1:-1]

    assert columns("-t", "one", "-t", "two-v1-full") == ["one", "two"]
    assert columns("--exclude", "one") == ["three", "two"]
    assert columns("-t", "one", "-t", "two", "--exclude", "two") == ["one"]
    for arguments, said in (
        (["-t", "tow"], "Did you mean 'two'?"),
        (["--exclude", "tow"], "Did you mean 'two'?"),
        (["-t", "two", "--exclude", "two"], "No task is left"),
    ):
        assert call(["results", "table", str(tmp_path / "r.csv"), *arguments]) == 2
        assert said in capsys.readouterr().err


def test_the_command_chooses_models_and_protocols(tmp_path, capsys):
    kinds = [(model, protocol) for model in ("a", "b", "c") for protocol in ("knn", "linear")]
    rows = [row(model=model, protocol=protocol) for model, protocol in kinds]
    write_csv(frame(rows), tmp_path / "r.csv")
    command = ["results", "table", str(tmp_path / "r.csv"), "-m", "c", "-m", "a"]
    assert call([*command, "--protocol", "linear", "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(zip(table.model, table.protocol)) == {("a", "linear"), ("c", "linear")}
    assert call([*command, "--protocol", "linaer"]) == 2
    assert "Did you mean 'linear'?" in capsys.readouterr().err


def test_ungrouped_intervals_are_given_where_groups_are_too_few():
    few = row(
        value=0.6,
        ci_low=None,
        ci_high=None,
        standard_error=0.1,
        freedom=2.0,
        training_error=0.0,
        n_groups=3,
        clip_error=0.05,
        n_test=100,
    )
    over_groups, over_clips = (cells(frame([few]), "linear", grouped=g) for g in (True, False))
    assert np.isnan(over_groups.ci_low.iloc[0])
    assert 0.49 < over_clips.ci_low.iloc[0] < 0.52


def known(**changes):
    """A row of schema version 2, with what its interval was made of."""
    made = {"standard_error": 0.05, "freedom": 19.0, "training_error": 0.0, "n_test": 200}
    return row(**made | changes)


def test_seeds_add_their_variance_to_the_interval():
    values = [0.50, 0.56, 0.53]
    rows = [known(seed=s, value=v, training_error=0.02) for s, v in enumerate(values)]
    (cell,) = cells(frame(rows), "linear").query("task != 'mean'").itertuples()
    variances = [0.05**2, np.var(values, ddof=1) / 3]
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 19 + variances[1] ** 2 / 2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sum(variances)) / (0.53 * 0.47)
    assert special.logit([cell.ci_low, cell.ci_high]) == pytest.approx(
        special.logit(0.53) + np.array([-half, half])
    )
    assert cell.training == "seeds"
    text = format_table(frame(rows))
    assert "the noise of training, measured over seeds (linear)" in text
    assert "(sd" not in text


def test_notes_name_the_units_and_the_tasks_with_an_allowance():
    rows = [
        known(n_groups=24, design_effect=2.0, clip_error=0.03),
        known(task="e-v1-full", metric="event_onset_200ms_fms", training_error=0.03, n_test=16),
    ]
    text = format_table(frame(rows))
    assert "95 % confidence interval over test groups or test files (event tasks); it" in text
    assert "an allowance for training noise (linear on e)." in text
    assert "Test groups: t 24 (design effect 2.0). Below 40 groups coverage" in text
    alone = format_table(frame(rows[:1]), grouped=False)
    assert "Ungrouped: intervals take clips as independent" in alone
    assert "confidence interval over test clips." in alone
    assert "Test groups" not in alone
