from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.hear_modules import write_module

from harness.core.errors import UserError
from harness.models.conformance.centres import click_train, measure_lag
from harness.models.conformance.long_audio import check_grid, check_long_audio
from harness.models.conformance.official import VERSION, run_official
from harness.models.conformance.subject import Failure
from harness.models.conformance.validate import (
    LONG_AUDIO,
    OFFICIAL,
    CheckResult,
    Report,
    exit_code,
    format_report,
    stricter_checks,
    validate,
)
from harness.models.process_state import changed_settings, random_states, settings
from harness.models.spec import ModelSpec

DEFECTS = Path(__file__).parents[2] / "support" / "defective_module.py"


def with_defect(defect: str) -> ModelSpec:
    return ModelSpec("support.defective_module", options={"defect": defect})


def quick_checks(spec: ModelSpec) -> dict[str, CheckResult]:
    checks = stricter_checks(spec, "cpu", quick=True, announce=lambda name: None)
    return {check.name: check for check in checks}


@pytest.fixture
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_correct_module_passes_every_check_but_the_one_left_out() -> None:
    checks = quick_checks(ModelSpec("support.defective_module"))
    assert {c.status for c in checks.values() if c.name != LONG_AUDIO} == {"PASS"}
    assert checks[LONG_AUDIO].status == "NOT RUN"


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize(
    ("defect", "check"),
    [
        ("batch statistics", "batch mates"),
        ("window starts", "true centres"),
        ("NaN on silence", "silence"),
        ("inf at full scale", "full scale"),
        ("long windows only", "short clips"),
        ("training mode", "evaluation mode"),
        ("dropout at call", "determinism"),
        ("random weights", "determinism"),
        ("flat timestamps", "outputs"),
        ("numpy output", "outputs"),
        ("other device", "outputs"),
        ("double", "dtypes"),
        ("integer timestamps", "dtypes"),
        ("numpy size", "attributes"),
        ("unusual rate", "attributes"),
        ("in place", "input untouched"),
        ("threads", "global state"),
        ("constant", "sounds differ"),
        ("irregular", "timestamp grid"),
        ("past the end", "timestamp grid"),
        ("seconds", "timestamp grid"),
        ("raises", "load"),
        ("no torch module", "load"),
    ],
)
def test_each_defect_fails_one_check_and_that_the_right_one(defect: str, check: str) -> None:
    checks = quick_checks(with_defect(defect))
    assert [c.name for c in checks.values() if c.status == "FAIL"] == [check]


def test_what_stands_on_a_failed_check_is_not_made() -> None:
    def not_run(defect: str) -> set[str]:
        checks = quick_checks(with_defect(defect)).values()
        return {c.name for c in checks if c.status == "NOT RUN"} - {LONG_AUDIO}

    assert not_run("seconds") == {"true centres"}
    assert not_run("double") == set()
    assert {"dtypes", "timestamp grid", "true centres", "gradients"} < not_run("flat timestamps")


def test_timestamps_in_seconds_are_called_so() -> None:
    assert "look like seconds" in quick_checks(with_defect("seconds"))["timestamp grid"].detail


def test_weights_that_are_drawn_at_each_load_are_called_so() -> None:
    detail = quick_checks(with_defect("random weights"))["determinism"].detail
    assert "load_model gives other weights each time it is called" in detail
    assert "name a checkpoint" in detail


def test_a_missing_argument_of_load_model_comes_with_the_way_to_give_it(tmp_path: Path) -> None:
    path = write_module(tmp_path, "needs_path", "def load_model(file, size): ...\n")
    ((_, check),) = quick_checks(ModelSpec(str(path))).items()
    assert (check.name, check.status) == ("load", "FAIL")
    assert "'file', a checkpoint (-m FILE); 'size', an option (-o size=VALUE)" in check.detail


def test_a_module_that_embeds_nothing_fails_with_what_it_raises() -> None:
    check = quick_checks(with_defect("embeds nothing"))["outputs"]
    assert (check.status, check.detail) == ("FAIL", "the module raises ValueError: not today")


@pytest.mark.parametrize(
    ("defect", "check"), [("gradients", "gradients"), ("seeds", "global state")]
)
def test_what_is_only_unwise_is_a_warning(defect: str, check: str) -> None:
    checks = quick_checks(with_defect(defect))
    odd = {c.name: c.status for c in checks.values() if c.status not in ("PASS", "NOT RUN")}
    assert odd == {check: "WARN"}


def test_the_baseline_passes() -> None:
    checks = quick_checks(ModelSpec("harness.baselines.logmel"))
    assert [c for c in checks.values() if c.status == "FAIL"] == []


@pytest.mark.parametrize("encoder", ["2020", pytest.param("2022", marks=pytest.mark.slow)])
def test_byola_passes(encoder: str) -> None:
    checks = quick_checks(ModelSpec("hear_byola", options={"encoder": encoder, "seed": 0}))
    assert [c for c in checks.values() if c.status in ("FAIL", "WARN")] == []


@pytest.mark.parametrize("hop", [7.3, 25.0, 40.0])
@pytest.mark.parametrize("offset", [-35.0, -4.0, 0.0, 12.5])
def test_lag_finds_a_known_offset(hop: float, offset: float) -> None:
    audio, clicks = click_train(16000, 1.5, 32)
    assert np.count_nonzero(audio) == 32 * 32
    times = np.arange(0, 48_000, hop) + hop / 2
    answer = np.exp(-(((times[:, None] - offset - clicks) / 60) ** 2)).sum(1)
    lag = measure_lag(np.stack([1 + answer, 2 - answer], axis=1), times, clicks)
    assert lag is not None
    assert lag.offset == pytest.approx(offset, abs=0.06 * hop)
    assert lag.hop == pytest.approx(hop)


def test_lag_is_not_guessed_where_no_click_is_answered() -> None:
    _, clicks = click_train(16000, 1.5, 8)
    times = np.arange(0, 12_000, 25.0)
    noise = np.random.default_rng(0).standard_normal((len(times), 4))
    assert measure_lag(np.ones((len(times), 4)), times, clicks) is None
    assert measure_lag(noise, times, clicks) is None


def test_the_checks_leave_the_process_as_it_was() -> None:
    before, states = settings(), random_states()
    quick_checks(with_defect("seeds"))
    assert changed_settings(before) == []
    assert random_states() == states


def test_random_states_notice_a_draw_from_each_generator() -> None:
    before = random_states()
    torch.rand(1)
    random.random()
    np.random.random()  # noqa: NPY002
    now = random_states()
    assert [name for name in now if now[name] != before[name]] == ["torch", "numpy", "random"]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.append(np.arange(4000) * 25.0, 100_010.0), "10.0 ms past"),
        (np.cumsum(np.full(4000, 25.0) + np.linspace(-0.01, 0.01, 4000)), "deviate"),
        (np.arange(3900) * 25.0, "before the clip's end"),
        (np.zeros(1), "fewer than two"),
    ],
)
def test_long_grid_must_be_regular_and_reach_the_end(times: np.ndarray, message: str) -> None:
    with pytest.raises(Failure, match=message):
        check_grid(times, 100_000.0)


def test_long_audio_reports_time_memory_and_drift() -> None:
    said = check_long_audio(ModelSpec("support.defective_module"), "cpu", seconds=150)
    assert said.startswith("timestamps in")
    assert "GB beyond the loaded model" in said
    assert "ms of drift" in said
    assert "This was a clip of 150 s; 20 minutes would take about" in said


def test_a_slow_module_gets_a_shorter_clip_and_an_estimate(monkeypatch) -> None:
    lengths, said = [], []
    monkeypatch.setattr(
        "harness.models.conformance.validate.check_long_audio",
        lambda spec, device, seconds: lengths.append(seconds) or "",
    )
    for pace, whole in ((0.01, False), (1.0, False), (1.0, True), (None, False)):
        monkeypatch.setattr("harness.models.conformance.validate.measure_pace", lambda _, p=pace: p)
        stricter_checks(
            ModelSpec("support.defective_module"),
            "cpu",
            quick=False,
            whole=whole,
            announce=lambda name: None,
            say=said.append,
        )
    assert lengths == [1200, 100, 1200, 100]
    assert said == [f"this takes about {each}" for each in ("42 s", "8 min", "45 min")]


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        ("drift", "drift by"),
        ("hungry", "allocate"),
    ],
)
def test_long_audio_fails_what_drifts_or_needs_too_much(defect: str, message: str) -> None:
    with pytest.raises(Failure, match=message):
        check_long_audio(with_defect(defect), "cpu", seconds=200)


def test_the_official_validator_passes_byola() -> None:
    verdict = run_official(ModelSpec("hear_byola"), "cpu")
    assert (verdict.outcome, verdict.warnings, verdict.shim) == ("passed", (), False)
    assert "Looks good!" in verdict.transcript
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("spec", "outcome", "message"),
    [
        (with_defect("double"), "refused", "Expected embeddings to be torch.float32"),
        (ModelSpec(str(DEFECTS), options={"defect": "raises"}), "crashed", "OSError: no weights"),
        (with_defect("dies"), "crashed", "signal 6"),
    ],
)
def test_the_official_validator_fails_a_defect(spec: ModelSpec, outcome: str, message: str) -> None:
    verdict = run_official(spec, "cpu")
    assert verdict.outcome == outcome
    assert message in verdict.message


def test_another_version_of_the_official_validator_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hearvalidator-2021.0.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: hearvalidator\nVersion: 2021.0.2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    report = validate(ModelSpec("support.defective_module"), "cpu", quick=True)
    official = report.checks[0]
    assert (official.name, official.status) == (OFFICIAL, "NOT RUN")
    assert "hearvalidator 2021.0.2 is installed" in official.detail
    assert f"--no-deps --ignore-requires-python hearvalidator=={VERSION}" in official.detail
    assert exit_code(report) == 3


def test_the_report_names_the_stand_in_and_lists_every_check() -> None:
    names = []
    report = validate(
        ModelSpec("support.defective_module"), "cpu", quick=True, progress=names.append
    )
    text = format_report(report)
    assert exit_code(report) == 0
    assert "replaced tf.Module" in " ".join(text.split())
    assert [check.name for check in report.checks] == [OFFICIAL, *names[1:-1], LONG_AUDIO]
    assert text.endswith("17 passed, 0 warned, 0 failed, 1 not run")
    assert max(map(len, text.splitlines())) <= 110


def test_exit_codes() -> None:
    def code(official: str, own: str) -> int:
        checks = (CheckResult(OFFICIAL, official, ""), CheckResult("silence", own, ""))
        return exit_code(Report("m", "cpu", checks))

    assert code("PASS", "PASS") == 0
    assert code("WARN", "NOT RUN") == 0
    assert code("NOT RUN", "PASS") == 3
    assert code("NOT RUN", "FAIL") == 1
    assert code("FAIL", "PASS") == 1


def test_an_unknown_module_is_a_mistake_of_the_user() -> None:
    with pytest.raises(UserError, match="Did you mean 'hear_byola'"):
        validate(ModelSpec("hear_biola"), "cpu", quick=True)
