"""The harness calibrated end to end on tasks with known answers.

Every test goes the whole way, from wav files through a HEAR module's embeddings and trained probes
to the results' rows: an oracle must reach the best there is exactly, who hears another clip must
score exactly what chance does, and wrong timestamps must lose the events that the metrics'
collars say and no other.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from math import ceil, floor
from pathlib import Path

import pandas as pd
import pytest
from support.changed import changed

from harness.analysis.table import format_table
from harness.models.spec import ModelSpec
from harness.probe import PROTOCOLS
from harness.run.engines import InlineEngine
from harness.run.execute import execute, write_layouts
from harness.run.layout_plan import plan_probes
from harness.run.plan import Settings, make_plan
from tasks.format.task import Event, Task, TaskSource, read_task
from tasks.format.writer import write_task
from tasks.synthetic import make_synthetic, new_task
from tasks.synthetic.tones import render

# Test splits of a multiple of (number of answers)² clips, where chance is met exactly; but `pitch`,
# where that would take 845.
SCENES: Mapping[str, Mapping[str, object]] = {
    "multiclass": {"clips": 80, "classes": 4, "seconds": 0.25},
    "multilabel": {"clips": 80, "classes": 4, "seconds": 0.25},
    "pitch": {"clips": 130, "classes": 13, "seconds": 0.16},
    "kfold": {"clips": 27, "classes": 3, "folds": 3, "seconds": 0.25},
    "presplit": {"clips": 36, "classes": 3, "folds": 4, "seconds": 0.25},
}
# As many test files as an interval needs.
EVENTS: Mapping[str, Mapping[str, object]] = {
    "events": {"clips": 30, "classes": 3, "seconds": 4.8},
    "notes": {"clips": 9, "classes": 3, "folds": 3, "seconds": 5.1, "seed": 1},
}
KINDS = {**SCENES, **EVENTS}
SHORT = {"events": {"classes": 2, "seconds": 2.4}, "notes": {"classes": 2, "seconds": 1.7}}
COLLARS = {"events": 200.0, "notes": 50.0}  # ms


def spec(name: str, **options: object) -> ModelSpec:
    return ModelSpec("harness.baselines.oracle", "", options, name)


ORACLE, SHUFFLED = spec("oracle"), spec("shuffled", mode="shuffled")


@pytest.fixture(scope="module")
def directories(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("calibration")
    return {kind: make_synthetic(kind, root, rates=(16000,), **KINDS[kind]) for kind in KINDS}


def run(out: Path, models, tasks, *protocols: str) -> pd.DataFrame:
    """Rows over all folds."""
    chosen = Settings(tuple(models), tuple(map(TaskSource, tasks)), protocols, out=out)
    summary = execute(make_plan(chosen), InlineEngine("cpu"), out)
    assert summary.failures == ()
    return summary.table[summary.table.split == "all"]


@pytest.fixture(scope="module")
def linear(directories, tmp_path_factory) -> pd.DataFrame:
    """The oracle and who hears another clip, on every kind of task."""
    out = tmp_path_factory.mktemp("runs")
    return run(out, [ORACLE, SHUFFLED], directories.values(), "linear")


def of(table: pd.DataFrame, model: str, task: Task, metric: str) -> pd.Series:
    chosen = table[(table.model == model) & (table.task == task.name) & (table.metric == metric)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def known(task: Task, what: str) -> Mapping[str, float]:
    return task.metadata["synthetic"][what]  # type: ignore[index]


def assert_best(table: pd.DataFrame, task: Task, metrics: Sequence[str] | None = None) -> None:
    for metric in metrics or task.evaluation:
        row = of(table, "oracle", task, metric)
        if metric == "d_prime":
            assert row.value == pytest.approx(known(task, "best")[metric], rel=1e-12)
        else:
            assert row.value == known(task, "best")[metric]
            assert row.value == (0.0 if metric == "segment_1s_er" else 1.0)
        if metric == "d_prime" and task.prediction_type == "multiclass":
            # The best d' of classes of one size is the same without any clip, and has no bound.
            assert pd.isna(row.ci_low)
            assert row.ci_method == "none: no clip moves the score"
        else:
            assert row.ci_low <= row.value <= row.ci_high


def assert_chance(table: pd.DataFrame, task: Task, metrics: Sequence[str] | None = None) -> None:
    for metric in metrics or task.evaluation:
        row = of(table, "shuffled", task, metric)
        chance = known(task, "chance")[metric]
        if task.task_name != "pitch":
            assert row.value == pytest.approx(chance, abs=1e-12)
        if pd.isna(row.ci_low):
            # Who tells nothing has the same d' in every resample, and that has no bound.
            assert (metric, row.value) == ("d_prime", pytest.approx(chance))
        else:
            assert row.ci_low - 1e-12 <= chance <= row.ci_high + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_an_oracle_reaches_the_best_there_is_exactly(linear, directories, kind):
    assert_best(linear, read_task(directories[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_who_hears_another_clip_scores_what_chance_does(linear, directories, kind):
    assert_chance(linear, read_task(directories[kind]))


def test_neighbours_are_calibrated_too(directories, tmp_path):
    tasks = [directories[kind] for kind in ("multiclass", "multilabel")]
    table = run(tmp_path, [ORACLE, SHUFFLED], tasks, "knn")
    for directory in tasks:
        assert_best(table, read_task(directory))
        assert_chance(table, read_task(directory))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_protocol_is_calibrated_on_every_kind(tmp_path, kind):
    sizes = {**KINDS[kind], **SHORT.get(kind, {})}
    directory = make_synthetic(kind, tmp_path, rates=(16000,), **sizes)
    task = read_task(directory)
    described = "event" if task.embedding_type == "event" else task.prediction_type
    for protocol in PROTOCOLS.values():
        if described in protocol.kinds and not (protocol.needs_layers or protocol.metrics):
            out = tmp_path / protocol.name
            table = run(out, [ORACLE, SHUFFLED], [directory], protocol.name)
            # An MLP stops when its first metric stands still, whatever the others do then.
            metrics = task.evaluation[: 1 if protocol.classifier.name == "mlp" else None]
            assert_best(table, task, metrics)
            assert_chance(table, task, metrics)


def test_an_error_rate_that_selects_reaches_zero(tmp_path):
    plan = changed(
        new_task("events", **EVENTS["events"]),
        evaluation=("segment_1s_er", "event_onset_200ms_fms"),
    )
    directory = write_task(plan, tmp_path, render, rates=(16000,))
    table = run(tmp_path / "runs", [ORACLE], [directory], "linear")
    task = read_task(directory)
    assert task.primary_metric == "segment_1s_er"
    assert_best(table, task)


def test_the_best_is_reached_through_resampling(tmp_path):
    tasks = [
        make_synthetic("multilabel", tmp_path, rates=(44100,), **SCENES["multilabel"]),
        make_synthetic("notes", tmp_path, rates=(44100,), **EVENTS["notes"]),
    ]
    model = spec("oracle", sample_rate=22050)
    table = run(tmp_path / "runs", [model], tasks, "linear")
    assert set(table.resampled_from) == {44100}
    for directory in tasks:
        assert_best(table, read_task(directory))


# How wrong the timestamps are, by task: shift in ms, drift in ms per second.
WRONG = {
    "events": [(199.0, 0.0), (-199.0, 0.0), (201.0, 0.0), (0.0, 70.0)],
    "notes": [(-49.0, 0.0), (51.0, 0.0), (0.0, 18.0)],
}
CASES = [(kind, *wrong) for kind in WRONG for wrong in WRONG[kind]]


@dataclasses.dataclass(frozen=True)
class Wrong:
    """What became of a task whose timestamps are wrong."""

    task: Task
    table: pd.DataFrame
    events: Mapping[str, list[dict]]
    """By clip, as predicted."""

    def value(self, metric: str) -> float:
        return of(self.table, self.table.model.iloc[0], self.task, metric).value

    def by_fold(self) -> list[list[Event]]:
        return [
            [event for clip in self.task.clips[fold.test] for event in clip.events]
            for fold in self.task.folds
        ]


@pytest.fixture(scope="module")
def wrong(directories, tmp_path_factory) -> dict[tuple[str, float, float], Wrong]:
    found = {}
    for kind in WRONG:
        out = tmp_path_factory.mktemp(kind)
        models = {
            (shift, drift): spec(f"{shift}_{drift}", mode="shifted", shift_ms=shift, drift_ms=drift)
            for shift, drift in WRONG[kind]
        }
        table = run(out, models.values(), [directories[kind]], "linear")
        for case, model in models.items():
            events: dict[str, list[dict]] = {}
            for path in out.glob(f"results/{model.name}/*/*/*.events.json"):
                (of_run,) = json.loads(path.read_text())
                events |= of_run
            chosen = table[table.model == model.name]
            found[(kind, *case)] = Wrong(read_task(directories[kind]), chosen, events)
    return found


@pytest.mark.parametrize("case", [c for c in CASES if not c[2] and abs(c[1]) < COLLARS[c[0]]])
def test_a_shift_within_the_collar_loses_no_event(wrong, case):
    result, shift = wrong[case], case[1]
    assert result.value(result.task.primary_metric) == 1.0
    # Every event is predicted, moved by the shift and by nothing else.
    for fold in result.task.folds:
        for clip in result.task.clips[fold.test]:
            moved = {(e.label, e.start + shift, e.end + shift) for e in clip.events}
            assert {(e["label"], e["start"], e["end"]) for e in result.events[clip.name]} == moved


@pytest.mark.parametrize("case", [c for c in CASES if abs(c[1]) > COLLARS[c[0]]])
def test_a_shift_beyond_the_collar_loses_every_event(wrong, case):
    for metric in wrong[case].task.evaluation:
        if metric.endswith("_fms"):
            assert wrong[case].value(metric) == 0.0


@pytest.mark.parametrize("case", [c for c in CASES if c[2]])
def test_a_drift_loses_the_events_that_it_moves_beyond_the_collar(wrong, case):
    kind, _, drift = case
    shares = []
    for events in wrong[case].by_fold():
        kept = [event for event in events if event.start * drift / 1000 <= COLLARS[kind]]
        assert 0 < len(kept) < len(events)
        # As many events are predicted as there are, so that F is the share that is found.
        shares.append(len(kept) / len(events))
    for part in ("", "_precision", "_recall"):
        value = wrong[case].value(wrong[case].task.primary_metric + part)
        assert value == pytest.approx(sum(shares) / len(shares), rel=1e-12)


def test_offsets_are_forgiven_a_fifth_of_the_length(wrong):
    drift = 18.0
    # The median filter has an odd width in frames, so that it moves no edge.
    assert round(150 / (10 + drift / 100)) % 2 == 1
    shares, of_onsets = [], []
    for events in wrong["notes", 0.0, drift].by_fold():
        onset = [event for event in events if event.start * drift / 1000 <= 50]
        both = [e for e in onset if e.end * drift / 1000 <= max(50, 0.2 * (e.end - e.start))]
        of_onsets.append(len(onset) / len(events))
        shares.append(len(both) / len(events))
    assert 0 < sum(shares) < sum(of_onsets)
    value = wrong["notes", 0.0, drift].value("event_onset_offset_50ms_20perc_fms")
    assert value == pytest.approx(sum(shares) / len(shares), rel=1e-12)


@pytest.mark.parametrize("shift", [199.0, -199.0])
def test_a_shift_errs_in_the_seconds_that_it_moves_events_into_or_out_of(wrong, shift):
    result = wrong["events", shift, 0.0]
    errors = active = 0
    for clip in result.task.clips["test"]:
        seconds: dict[int, tuple[set[str], set[str]]] = {}
        for event in clip.events:
            for side, moved in enumerate((0.0, shift)):
                first, last = floor((event.start + moved) / 1000), ceil((event.end + moved) / 1000)
                for second in range(first, last):
                    seconds.setdefault(second, (set(), set()))[side].add(event.label)
        for truth, told in seconds.values():
            # What is missed and what is wrongly told pair up as substitutions.
            errors += max(len(truth), len(told)) - len(truth & told)
            active += len(truth)
    assert errors > 0
    assert result.value("segment_1s_er") == pytest.approx(errors / active, rel=1e-12)


def test_results_say_that_they_are_synthetic(linear, directories, tmp_path):
    assert set(linear.suite) == {"synthetic"}
    table = format_table(linear)
    drawn = [line for line in table.splitlines() if line.startswith("|")]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in drawn]
    headers = [line for line in lines if line[0].startswith("linear")]
    columns = [column for header in headers for column in header[1:]]
    assert columns == [*(f"{kind} (synthetic)" for kind in sorted(KINDS)), "mean"]
    means = [line[1:] for line in lines[-2:]]  # of two models
    assert means == [["-"], ["-"]]  # no mean stands on what is made up


def test_embeddings_of_the_original_kits_layout_stay_synthetic(directories, tmp_path):
    chosen = Settings((ORACLE,), (TaskSource(directories["kfold"]),), ("linear",), out=tmp_path)
    plan = make_plan(chosen)
    execute(plan, InlineEngine("cpu"), tmp_path, embed_only=True)
    (layout,) = write_layouts(plan, tmp_path / "heareval")
    (evaluation,) = plan_probes([layout], ["linear"], 1, tmp_path / "probed")
    assert evaluation.suite == "synthetic"


def test_a_plain_baseline_does_well_without_being_an_oracle(directories, tmp_path):
    tasks = [directories[kind] for kind in ("multilabel", "kfold", "events")]
    logmel = ModelSpec("harness.baselines.logmel", name="logmel")
    table = run(tmp_path, [logmel], tasks, "linear")
    assert (table[table.is_primary].value > 0.8).all()
