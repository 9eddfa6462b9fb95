"""Comparing models of finished runs, whole and damaged, from Python and from the command line."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import soundfile
from support import task_directories
from support.erring_runs import make_errors_run
from support.hear_modules import write_module
from support.records import records_of

import harness
from harness.analysis.compare import (
    compare,
    compare_all,
    format_comparison,
    format_comparisons,
)
from harness.analysis.compare.measured import measure
from harness.analysis.compare.paired import difference
from harness.analysis.compare.plan import power
from harness.analysis.table.marks import find_marks
from harness.cli import call
from harness.core.errors import UserError
from harness.metrics.event_metric import EventMetric
from harness.models.spec import parse_model
from harness.results import load, seed_spread, write_csv
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource

KINDS = ("scene", "kfold", "multilabel", "events")
MODELS = ("logmel", "toy", "half")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Three models on every kind of task, one of them synthetic; one protocol, and a second."""
    root = tmp_path_factory.mktemp("compare")
    tasks = [task_directories.make_task(root / "tasks", kind, n=8, seconds=1.0) for kind in KINDS]
    tasks.append(
        task_directories.make_task(
            root / "tasks", "events", n=6, seconds=1.0, name="errors", evaluation=["segment_1s_er"]
        )
    )
    tasks.append(
        task_directories.make_task(root / "tasks", "scene", n=8, name="made_up", mode="synthetic")
    )
    toy = write_module(root, "toy_module")
    specs = [
        "harness.baselines.logmel,name=logmel",
        f"{toy},name=toy",
        f"{toy},scale=0.5,name=half",
    ]
    for protocol, chosen in (("linear", tasks), ("knn", tasks[:1])):
        settings = Settings(
            models=tuple(map(parse_model, specs)),
            tasks=tuple(map(TaskSource, chosen)),
            protocols=(protocol,),
            out=root / "run",
        )
        with pytest.MonkeyPatch.context() as patch:
            # So that frames of the event tasks are sampled, and their probes depend on a seed.
            patch.setattr("harness.probe.protocols.linear._LEAST_NEGATIVES", 1)
            execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    return root / "run"


@pytest.fixture
def copied(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def evaluation(run: Path, model: str, task: str, protocol: str = "linear") -> Path:
    (found,) = (run / "results" / model).glob(f"{task}-*/{protocol}-*")
    return found


def row(found: pd.DataFrame, task: str) -> pd.Series:
    (chosen,) = (r for _, r in found.iterrows() if r.task.startswith(f"{task}-"))
    return chosen


def test_every_task_is_compared_as_its_records_are(run):
    found = compare([run], ["logmel", "toy"], "linear")
    assert len(found.tasks) == 6
    records = {(r.directory.parent.parent.name, r.task): r for r in records_of(run)
               if r.directory.name.startswith("linear")}  # fmt: skip
    for each in found.tasks.itertuples():
        alone = difference(*([measure(records[model, each.task])] for model in ("logmel", "toy")))
        assert (each.difference, each.ci_low, each.p) == (alone.value, alone.low, alone.p)
        assert each.difference == pytest.approx(each.value_a - each.value_b)
        assert each.p <= each.p_holm
    values = load(run)
    values = values[(values.split == "all") & values.is_primary & (values.protocol == "linear")]
    reported = values[values.model == "toy"].set_index("task").value
    assert dict(zip(found.tasks.task, found.tasks.value_b)) == pytest.approx(reported.to_dict())


def test_the_mean_is_over_tasks_that_are_real_and_maximised(run):
    found = compare([run], ["logmel", "toy"], "linear")
    (over,) = found.overall.to_dict("records")
    counted = found.tasks[~found.tasks.task.str.contains("errors|made_up")]
    assert over["n_tasks"] == 4
    assert over["mean_difference"] == pytest.approx(counted.difference.mean())
    assert over["ci_low"] < over["mean_difference"] < over["ci_high"]
    assert {"errors", "made_up"} == {t.split("-")[0] for t in over["left_out"].split(", ")}
    # A minimised metric still wins or loses; a synthetic task does not.
    assert over["wins"] + over["losses"] + over["ties"] + over["unpaired"] == 5


def test_a_lower_error_is_better(tmp_path):
    errors = make_errors_run(tmp_path)
    for models, verdict in ((["logmel", "deaf"], "a better"), (["deaf", "logmel"], "b better")):
        found = compare([errors], models, "linear")
        assert found.tasks.verdict.tolist() == [verdict]
        assert found.ranks.model.tolist() == ["logmel", "deaf"]
        assert found.ranks.mean_rank.tolist() == [1, 2]
        assert "| logmel better " in format_comparison(found)


def test_others_are_compared_with_the_first_or_all_with_each_other(run):
    found = compare([run], MODELS, "linear")
    assert set(zip(found.overall.a, found.overall.b)) == {("logmel", "toy"), ("logmel", "half")}
    found = compare([run], MODELS, "linear", all_pairs=True)
    assert len(found.overall) == 3
    assert set(found.ranks.model) == set(MODELS)
    # Scaling embeddings changes nothing after they are standardised.
    same = found.tasks[(found.tasks.a == "toy") & (found.tasks.b == "half")]
    assert set(same.verdict) == {"not separable"}


def test_predictions_that_are_gone_leave_the_row_and_say_so(copied):
    next(evaluation(copied, "toy", "tiny_scene").glob("*.npz")).unlink()
    (evaluation(copied, "toy", "tiny_kfold") / "evaluation.json").unlink()
    damaged = next(evaluation(copied, "toy", "tiny_events").glob("*.events.json"))
    damaged.write_text(damaged.read_text()[:-9])
    found = compare([copied], ["logmel", "toy"], "linear")
    for task, why in (
        ("tiny_scene", "No such file"),
        ("tiny_kfold", "has no predictions of it"),
        ("tiny_events", "Delete its folder"),
    ):
        each = row(found.tasks, task)
        assert each.verdict.startswith("cannot be paired: seed 0 of toy")
        assert why in each.verdict
        assert each.value_a - each.value_b == pytest.approx(each.difference)
        assert np.isnan(each.p)
    (over,) = found.overall.to_dict("records")
    assert (over["n_tasks"], over["unpaired"]) == (1, 3)
    text = format_comparison(found)
    assert "no verdict on 3" in text
    assert "Cannot be paired: seed 0 of toy" in text


def damage_record(directory: Path, **changes) -> None:
    path = directory / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_arrays(directory: Path, **changes) -> None:
    path = next(directory.glob("*.predictions.npz"))
    with np.load(path) as saved:
        content = dict(saved)
    np.savez(path, **{name: changes.get(name, lambda a: a)(a) for name, a in content.items()})


def test_what_is_damaged_is_left_out_and_the_rest_goes_on(copied):
    damage_record(evaluation(copied, "toy", "tiny_scene"), evaluation=[])
    damage_record(evaluation(copied, "toy", "tiny_multilabel"), folds=[])
    edit_arrays(evaluation(copied, "toy", "tiny_kfold"), probabilities=lambda p: p[:, :-1])
    events = evaluation(copied, "toy", "tiny_events") / "test.events.json"
    events.write_text(events.read_text().replace('"start": ', '"start": "soon", "x": '))
    found = compare([copied], ["logmel", "toy"], "linear")
    for task, why in (
        ("tiny_scene", "evaluation.json: evaluation is []"),
        ("tiny_multilabel", "evaluation.json: folds is []"),
        ("tiny_kfold", "targets are not of"),
        ("tiny_events", "not 'soon'"),
    ):
        each = row(found.tasks, task)
        assert each.verdict.startswith("cannot be paired: seed 0 of toy")
        assert why in each.verdict
    assert row(found.tasks, "made_up").p >= 0
    marks = find_marks(load(copied), copied)
    assert any(said.startswith("toy on tiny_scene-") for said in marks.unpaired)


def test_predictions_of_another_result_than_the_row_are_refused(copied):
    directory = evaluation(copied, "toy", "tiny_scene")
    with np.load(next(directory.glob("*.npz"))) as saved:
        right = np.eye(saved["probabilities"].shape[2], dtype=np.float32)[saved["targets"]][None]
    edit_arrays(directory, probabilities=lambda p: right)
    each = row(compare([copied], ["logmel", "toy"], "linear").tasks, "tiny_scene")
    assert "give another result (top1_acc 1) than its row (top1_acc 0" in each.verdict
    assert np.isnan(each.p)


def test_a_part_of_a_run_is_compared_as_the_run_is(run, monkeypatch):
    whole = compare([run], ["logmel", "toy"], "linear")
    for folder, path in ((run.parent, run / "results"), (run / "results", Path())):
        monkeypatch.chdir(folder)
        pd.testing.assert_frame_equal(
            compare([path], ["logmel", "toy"], "linear").tasks, whole.tasks
        )


def test_the_table_of_a_run_has_its_predictions_and_a_foreign_one_has_none(copied):
    own = compare([copied / "results.csv"], ["logmel", "toy"], "linear")
    assert own.tasks.p.notna().all()
    foreign = load(copied).assign(run_id="another")
    for name, said in (("foreign.csv", "contains no pred"), ("results.csv", "contains no pred")):
        write_csv(foreign, copied / name)
        found = compare([copied / name], ["logmel", "toy"], "linear")
        assert found.tasks.verdict.str.contains(said).all()
        assert find_marks(foreign, copied / name).near == {}


def test_what_was_gathered_is_measured_once(run, monkeypatch):
    matched = []

    count = EventMetric.count

    def counting(*arguments):
        matched.append(arguments)
        return count(*arguments)

    monkeypatch.setattr(EventMetric, "count", counting)
    results = harness.load([run])
    found = compare(results, ["logmel", "toy"], "linear", ["tiny_events"])
    assert len(matched) == 2  # a fold and a run of each model
    again = compare(results, ["toy", "logmel"], "linear", ["tiny_events"])
    assert len(matched) == 2
    assert again.tasks.difference[0] == -found.tasks.difference[0]


def test_ranks_say_on_how_many_tasks_they_stand(copied):
    shutil.rmtree(evaluation(copied, "half", "tiny_kfold"))
    edit_rows(evaluation(copied, "toy", "tiny_scene"), task_sha256="f" * 64)
    found = compare([copied], MODELS, "linear")
    assert set(found.ranks.n_tasks) == {3}
    said = "3 of 5 tasks (left out: 1 without a score of some model, 1 tested differently)"
    assert found.rank_tasks == said
    assert f"Ranks, over {said}: " in format_comparison(found)


def test_a_csv_alone_cannot_be_paired_and_the_folder_is_preferred(copied, tmp_path):
    csv = tmp_path / "elsewhere.csv"
    shutil.copy(copied / "results.csv", csv)
    alone = compare([csv], ["logmel", "toy"], "linear")
    assert alone.tasks.verdict.str.contains("contains no predictions").all()
    both = compare([copied, csv], ["logmel", "toy"], "linear")
    assert both.tasks.p.notna().all()


def edit_rows(directory: Path, **changes) -> None:
    document = json.loads((directory / "result.json").read_text())
    for each in document["rows"]:
        each.update(changes)
    (directory / "result.json").write_text(json.dumps(document))


def test_one_run_may_be_named_alone_and_as_text(run):
    assert harness.load(str(run)).rows.equals(harness.load([run]).rows)


def test_copies_of_a_run_that_contradict_each_other_are_refused(copied, run, tmp_path):
    table = load(run)
    table.loc[table.model == "toy", "value"] -= 1e-3
    table[["ci_low", "ci_high"]] = np.nan
    write_csv(table, tmp_path / "edited.csv")
    for order in ([run, tmp_path / "edited.csv"], [tmp_path / "edited.csv", run]):
        with pytest.raises(UserError, match=r"are of one run .* but have different values"):
            harness.load(order)


def test_runs_that_tell_different_values_are_told_of(copied, run, tmp_path):
    table = load(run)
    table["run_id"], table["started_at"] = "later", "2999-01-01T00:00:00+00:00"
    table.loc[table.metric == "segment_1s_er", "value"] += 1e-9
    write_csv(table, tmp_path / "later.csv")
    with pytest.warns(UserWarning, match=f"have different values of .*{tmp_path / 'later.csv'}"):
        harness.load([run, tmp_path / "later.csv"])


def test_a_name_of_two_models_is_refused_with_both(copied, tmp_path):
    table = load(copied)
    twin = table[table.model == "toy"].assign(model_fingerprint="f" * 64, checkpoint="new.pt")
    write_csv(twin, tmp_path / "twin.csv")
    with pytest.raises(UserError, match=r"'toy' is the name of several models.*toy@ffffffff \(new"):
        compare([copied, tmp_path / "twin.csv"], ["toy", "logmel"], "linear")


def test_a_name_of_two_models_is_accepted_where_only_one_has_results(copied, tmp_path):
    table = load(copied)
    rows = table[(table.model == "toy") & table.task.str.startswith("tiny_scene")]
    twin = rows.assign(model_fingerprint="f" * 64, task="other-v1-full", checkpoint="new.pt")
    write_csv(twin, tmp_path / "twin.csv")
    results = harness.load([copied, tmp_path / "twin.csv"]).select(exclude=["other"])
    name, _ = compare(results, ["toy", "logmel"], "linear").models
    assert name.startswith("toy@")
    assert name != "toy@ffffffff"


def test_another_version_of_the_task_is_refused(copied):
    edit_rows(evaluation(copied, "toy", "tiny_scene"), task_sha256="f" * 64)
    each = row(compare([copied], ["logmel", "toy"], "linear").tasks, "tiny_scene")
    assert "different versions of tiny_scene" in each.verdict
    assert "ffffffff" in each.verdict
    assert np.isnan(each.difference)


def test_other_recordings_of_the_same_names_are_refused(tmp_path):
    task = task_directories.make_task(tmp_path / "a", "scene", n=8, seconds=1.0)
    other = shutil.copytree(task, tmp_path / "b" / task.name)
    sound = next((other / "16000" / "test").iterdir())
    samples, rate = soundfile.read(sound)
    soundfile.write(sound, samples[::-1], rate)
    for name, directory in (("one", task), ("two", other)):
        settings = Settings(
            (parse_model(f"harness.baselines.logmel,name={name}"),), (TaskSource(directory),),
            ("knn",), 1, tmp_path / name,
        )  # fmt: skip
        execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    (each,) = compare([tmp_path / "one", tmp_path / "two"], ["one", "two"]).tasks.verdict
    assert "were tested on different recordings of tiny_scene" in each


def test_other_clips_are_refused(copied):
    path = next(evaluation(copied, "toy", "tiny_scene").glob("*.predictions.npz"))
    with np.load(path) as saved:
        content = dict(saved)
    content["clips"] = np.array([f"other-{i}" for i in range(len(content["clips"]))])
    np.savez(path, **content)
    each = row(compare([copied], ["logmel", "toy"], "linear").tasks, "tiny_scene")
    assert "different clips of tiny_scene" in each.verdict


def test_a_failed_unit_and_one_never_run_are_said(copied):
    directory = evaluation(copied, "toy", "tiny_scene")
    edit_rows(directory, status="failed", value=None, error="no memory")
    shutil.rmtree(evaluation(copied, "toy", "tiny_kfold"))
    found = compare([copied], ["logmel", "toy"], "linear")
    assert row(found.tasks, "tiny_scene").verdict.endswith("seed 0 of toy failed: no memory")
    assert row(found.tasks, "tiny_kfold").verdict == "cannot be paired: toy not run on it"


def test_two_runs_are_compared_with_each_other(copied, run, tmp_path):
    other = tmp_path / "other"
    shutil.move(copied / "results" / "toy", other / "results" / "toy")
    found = compare([copied, other], ["logmel", "toy"], "linear")
    whole = compare([run], ["logmel", "toy"], "linear")
    pd.testing.assert_frame_equal(found.tasks, whole.tasks)


def test_protocols_are_never_mixed(copied):
    with pytest.raises(UserError, match=r"Choose a protocol: .* knn, linear"):
        compare([copied], ["logmel", "toy"])
    assert [c.protocol for c in compare_all([copied], ["logmel", "toy"])] == ["knn", "linear"]
    shutil.rmtree(evaluation(copied, "toy", "tiny_scene", "knn"))
    with pytest.raises(UserError, match=r"by knn \(logmel: knn, linear; toy: linear\)"):
        compare([copied], ["logmel", "toy"], "knn")
    assert compare([copied], ["logmel", "toy"]).protocol == "linear"


def test_power_of_a_model_is_planned_by_the_protocols_that_it_has(copied):
    shutil.rmtree(evaluation(copied, "logmel", "tiny_scene", "knn"))
    assert set(power([copied], ["logmel"]).protocol) == {"linear"}
    with pytest.raises(UserError, match="No results of the model 'logmel' with the protocol knn"):
        power([copied], ["logmel"], "knn")


def test_a_difference_in_percent_is_refused(copied):
    with pytest.raises(UserError, match=r"difference 5 is impossible.* between 0 and 1"):
        power([copied], ["logmel", "toy"], "linear", difference=5)


def test_several_protocols_define_their_columns_once(copied):
    found = compare_all([copied], ["logmel", "toy"])
    text = format_comparisons(found)
    assert text.count("detects: the smallest") == text.count("difference: the first model") == 1
    assert text.index("detects: the smallest") > text.index("| linear: ")
    table = pd.read_csv(io.StringIO(format_comparisons(found, "csv")))
    assert list(table.protocol.drop_duplicates()) == ["knn", "linear"]


@pytest.mark.parametrize(
    ("models", "tasks", "named"),
    [
        (["logmle", "toy"], None, "Did you mean 'logmel'"),
        (["logmel"], None, "Name two models"),
        (["logmel", "logmel"], None, "Name two models"),
        (["logmel", "toy"], ["tiny_scena"], "Did you mean 'tiny_scene"),
    ],
)
def test_unknown_names_are_met_with_the_nearest(run, models, tasks, named):
    with pytest.raises(UserError, match=named):
        compare([run], models, "linear", tasks)


def test_the_formats_say_the_same(run):
    found = compare([run], MODELS, "linear")
    markdown = format_comparison(found)
    assert "| linear: logmel and toy" in markdown
    assert "| linear: ranks" in markdown
    assert "Not in a mean, because minimised or synthetic: errors, made_up (synthetic)." in markdown
    page = ElementTree.fromstring(format_comparison(found, "html"))
    assert len(page.findall(".//table")) == 3
    assert format_comparison(found, "latex").count(r"\begin{tabular}") == 3
    table = pd.read_csv(io.StringIO(format_comparison(found, "csv")))
    assert table.task.tolist()[-2:] == ["mean", "mean"]
    assert table.difference[0] == pytest.approx(found.tasks.difference[0])
    with pytest.raises(UserError, match="--format must be one of"):
        format_comparison(found, "pdf")


def test_the_command_prints_every_shared_protocol(run, capsys):
    arguments = ["results", "compare", "logmel", "toy", "--run", str(run), "-t", "tiny_scene"]
    assert call(arguments) == 0
    out = capsys.readouterr().out
    assert "| knn: logmel and toy" in out
    assert "| linear: logmel and toy" in out
    assert call([*arguments, "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(table.protocol) == {"knn", "linear"}
    assert call(["results", "compare", "logmel", "toi", "--run", str(run)]) == 2
    assert "Did you mean 'toy'?" in capsys.readouterr().err


def test_a_single_seed_of_trained_probes_is_warned_of(run):
    assert compare([run], ["logmel", "toy"], "knn").warnings == ()
    # Events sample their frames by the seed.
    found = compare([run], ["logmel", "toy"], "linear")
    allowed = found.tasks[found.tasks.method.str.contains("allowance")].task
    assert sorted(name.split("-")[0] for name in allowed) == ["tiny_events"]
    (warning,) = found.warnings
    assert "One probe seed per model on tiny_events:" in warning


def test_models_of_different_probe_versions_are_named(copied):
    file = evaluation(copied, "toy", "tiny_scene") / "result.json"
    content = json.loads(file.read_text())
    now = content["rows"][0]["probe_version"]
    for each in content["rows"]:
        each["probe_version"] = now - 1
    file.write_text(json.dumps(content))
    found = compare([copied], ["logmel", "toy"], "linear")
    (said,) = (each for each in found.warnings if "probe versions" in each)
    assert f"Version {now}: " in said
    assert f"Older: toy on tiny_scene-v1-full ({now - 1})." in said
    assert said in format_comparison(found)
    others = compare([copied], ["logmel", "toy"], "linear", ["tiny_events"]).warnings
    assert not any("probe versions" in each for each in others)


def test_protocols_that_not_all_models_share_are_named(copied):
    for result in (copied / "results" / "toy").glob("*/knn-*"):
        shutil.rmtree(result)
    (found,) = compare_all([copied], ["logmel", "toy"])
    assert found.protocol == "linear"
    assert "Not compared by knn: not run with toy." in found.warnings


def test_synthetic_tasks_do_not_weigh_on_the_others(run):
    with_it = compare([run], ["logmel", "toy"], "linear").tasks.set_index("task")
    recorded = [task for task in with_it.index if not task.endswith("-synthetic")]
    assert len(recorded) < len(with_it)
    alone = compare([run], ["logmel", "toy"], "linear", recorded).tasks.set_index("task")
    assert with_it.p_holm[recorded].tolist() == alone.p_holm[recorded].tolist()


def test_one_task_has_no_mean_of_its_own(run):
    (task,) = set(compare([run], ["logmel", "toy"], "knn").tasks.task)
    text = format_comparison(compare([run], ["logmel", "toy"], "knn", [task]))
    assert "| mean" not in text
    whole = format_comparison(compare([run], ["logmel", "toy"], "linear"))
    assert "| mean" in whole
    assert "mean: t with" in whole


def test_the_spread_of_seeds_stands_beside_the_interval_over_clips(run):
    table = load(run)
    table = table[(table.model == "toy") & (table.task.str.startswith("tiny_scene"))]
    table = table[table.protocol == "linear"]
    parts = [
        table.assign(seed=seed, value=table.value + seed / 10, started_at=f"2030-01-0{seed + 1}")
        for seed in range(3)
    ]
    spread = seed_spread(pd.concat(parts, ignore_index=True))
    (found,) = spread.to_dict("records")
    primary = table[(table.split == "all") & table.is_primary].iloc[0]
    assert list(spread.columns) == [
        "model", "task", "protocol", "n_seeds", "value", "seed_sd", "ci_low", "ci_high",
    ]  # fmt: skip
    assert found["n_seeds"] == 3
    assert found["value"] == pytest.approx(primary.value + 0.1)
    assert found["seed_sd"] == pytest.approx(0.1)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((primary.ci_low, primary.ci_high))
    alone = seed_spread(table).iloc[0]
    assert np.isnan(alone.seed_sd)
    repeated = pd.concat([table.assign(seed=seed) for seed in range(3)], ignore_index=True)
    assert seed_spread(repeated).seed_sd.tolist() == [0.0]


def test_small_differences_are_equivalent_within_a_margin(run):
    found = compare([run], ["toy", "half"], "linear", margin=0.9)
    recorded = found.tasks[found.tasks.p_equivalent.notna()]
    assert len(recorded) > 3
    assert (recorded.p_equivalent <= recorded.p_equivalent_holm).all()
    assert "equivalent" in set(found.tasks.verdict)
    (over,) = found.overall.to_dict("records")
    assert over["equivalent"] > 0
    assert sum(over[each] for each in ("wins", "losses", "equivalent", "ties", "unpaired")) == 5
    text = format_comparison(found)
    assert "p (±0.9, Holm)" in text
    assert f"equivalent on {over['equivalent']}" in text
    assert "Schuirmann" in text
    # The difference itself is tested as without a margin.
    without = compare([run], ["toy", "half"], "linear")
    assert without.tasks.p_holm.tolist() == found.tasks.p_holm.tolist()
    assert without.tasks.p_equivalent.isna().all()
    assert "equivalent" not in format_comparison(without)
    for margin in (0, 1.5):
        with pytest.raises(UserError, match="margin must be between 0 and 1"):
            compare([run], ["toy", "half"], "linear", margin=margin)


def test_each_comparison_has_what_it_could_detect(run):
    found = compare([run], ["logmel", "toy"], "linear")
    paired = found.tasks[found.tasks.p.notna()]
    assert (paired.detectable > 0).all()
    assert found.overall.detectable[0] < paired.detectable.max()
    text = format_comparison(found)
    assert "| detects " in text
    assert "would detect with 80 % power" in text
    table = pd.read_csv(io.StringIO(format_comparison(found, "csv")))
    assert table.detectable[: len(found.tasks)].tolist() == pytest.approx(
        found.tasks.detectable.tolist(), nan_ok=True
    )


def test_power_is_of_each_pair_with_the_best_model_or_of_those_named(run):
    rows = power([run], protocol="linear")
    best = compare([run], MODELS, "linear").ranks.model[0]
    assert set(rows.a) == {best}
    assert set(rows.b) == set(MODELS) - {best}
    rows = power([run], ["logmel", "toy"], "linear", difference=0.3, power=0.9)
    found = compare([run], ["logmel", "toy"], "linear").tasks.set_index("task")
    assert rows.task.tolist() == [*found.index, "mean"]
    assert set(rows.protocol) == {"linear"}
    tasks = rows.set_index("task").loc[found.index]
    known = tasks.detectable.notna() & np.isfinite(tasks.detectable)
    assert known.any()
    assert (tasks.detectable[known] > found.detectable[known]).all()  # 90 % beside 80 %
    enough = tasks.power >= 0.9
    assert (tasks.n_units[enough] >= tasks.units_needed[enough]).all()
    events = row(rows, "tiny_events")
    assert (events.unit, events.training_noise > 0) == ("files", True)
    planned = power([run], ["logmel", "toy"], "linear", difference=0.3, seeds=5)
    assert row(planned, "tiny_events").seeds_a == 5
    assert row(planned, "tiny_scene").seeds_a == 1  # its probes have no randomness


def test_the_power_command_prints_tables_and_csv(run, capsys):
    arguments = ["results", "power", str(run), "-m", "logmel", "-m", "toy"]
    assert call(arguments) == 0
    out = capsys.readouterr().out
    assert "| knn: logmel and toy" in out
    assert "| linear: logmel and toy" in out
    assert "needed" not in out
    assert call([*arguments, "--difference", "0.02", "--protocol", "linear"]) == 0
    out = capsys.readouterr().out
    assert "| power at 0.02 | test set needed" in out
    assert "not with seeds alone" in out
    assert call([*arguments, "--difference", "0.02", "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(table.protocol) == {"knn", "linear"}
    assert (table.target_power == 0.8).all()
    assert call(["results", "power", str(run), "-m", "logmle"]) == 2
    assert "Did you mean 'logmel'?" in capsys.readouterr().err


def test_power_needs_two_models(copied):
    for model in ("toy", "half"):
        shutil.rmtree(copied / "results" / model)
    (copied / "results.csv").unlink()
    with pytest.raises(UserError, match="the results have only one"):
        power([copied])


def test_power_names_a_model_without_scores(copied):
    for result in (copied / "results" / "toy").rglob("result.json"):
        edit_rows(result.parent, status="failed", value=None, error="no memory")
    (copied / "results.csv").unlink()
    with pytest.raises(UserError, match="'toy' has no scores"):
        power([copied], ["toy"])


def test_what_cannot_be_paired_has_no_power(copied):
    next(evaluation(copied, "toy", "tiny_scene").glob("*.npz")).unlink()
    rows = power([copied], ["logmel", "toy"], "linear", difference=0.1)
    each = row(rows, "tiny_scene")
    assert np.isnan(each.detectable)
    assert pd.isna(each.units_needed)
    assert rows.detectable.notna().any()
