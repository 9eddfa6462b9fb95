"""Scores in an experiment tracker, as a run proceeds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cli import call
from harness.run.listener import Listener
from harness.run.tracking import Tracker

RUN = ["run", "-m", "logmel", "-t", "demo_pipe_pitch", "--protocol", "knn", "--jobs", "1"]


class Sentences(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="trackio is not installed")
def test_trackio_has_the_scores_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
    out = tmp_path / "out"
    assert call([*RUN, "--out", str(out), "--log-to", "trackio:pipes"]) == 0
    shown = capsys.readouterr()
    assert "Trackio" in shown.err
    assert "Trackio" not in shown.out
    from trackio.sqlite_storage import SQLiteStorage as storage

    assert list((tmp_path / "store").glob("pipes*"))
    (name,) = storage.get_runs("pipes")
    (logged,) = storage.get_logs("pipes", name)
    (result,) = out.glob("results/*/*/*/result.json")
    rows = json.loads(result.read_text())["rows"]
    row = next(row for row in rows if row["is_primary"] and row["split"] == "all")
    key = "logmel/demo_pipe_pitch-v1-full/knn"
    assert logged[key] == pytest.approx(row["value"])
    assert logged[f"{key}/low"] == pytest.approx(row["ci_low"])
    assert logged[f"{key}/high"] == pytest.approx(row["ci_high"])


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
def test_mlflow_has_the_scores_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    tracker = Tracker("mlflow", "pipes", {"command": "run", "models": ["m"]}, Sentences())
    tracker.scored(write_result(tmp_path / "one", 0.25))  # type: ignore[arg-type]
    tracker.scored(write_result(tmp_path / "two", 0.5, "m@3"))  # type: ignore[arg-type]
    tracker.finish()
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("pipes")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params == {"command": "run", "models": "['m']"}
    assert run.data.metrics == {"m/t/linear": 0.25, "m_3/t/linear": 0.5}
    assert run.info.status == "FINISHED"


def write_result(folder: Path, value: float | None, model: str = "m") -> SimpleNamespace:
    row = {
        "is_primary": True, "split": "all", "value": value, "model": model, "task": "t",
        "protocol": "linear", "ci_low": None, "ci_high": None,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"rows": [row]}))
    return SimpleNamespace(directory=folder)


TRACKER = """
class Run:
    def __init__(self):
        self.logged = []
    def log(self, values):
        print("a line of the tracker")
        if {fails}:
            raise OSError("no connection")
        self.logged.append(values)
    def finish(self):
        self.logged.append("finished")
runs = []
def init(project, config):
    runs.append(Run())
    return runs[-1]
"""


def tracker_named(
    name: str, fails: bool, folder: Path, monkeypatch: pytest.MonkeyPatch, display: Listener
) -> Tracker:
    """A tracker of a module with the two functions that wandb and trackio have."""
    (folder / f"{name}.py").write_text(TRACKER.format(fails=fails))
    monkeypatch.syspath_prepend(str(folder))
    return Tracker(name, "p", {}, display)


def test_a_failing_tracker_does_not_stop_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    display = Sentences()
    tracker = tracker_named("failing_tracker", True, tmp_path, monkeypatch, display)
    evaluation = write_result(tmp_path / "one", 0.5)
    tracker.scored(evaluation)  # type: ignore[arg-type]
    tracker.scored(evaluation)  # type: ignore[arg-type]
    tracker.finish()
    (told,) = display.said
    assert "failing_tracker failed (no connection): the run continues" in told
    assert capsys.readouterr().out == ""


def test_undefined_values_are_not_logged_and_failures_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = tracker_named("good_tracker", False, tmp_path, monkeypatch, Sentences())
    tracker.scored(write_result(tmp_path / "none", None))  # type: ignore[arg-type]
    tracker.scored(write_result(tmp_path / "some", 0.25))  # type: ignore[arg-type]
    tracker.failed("x", "why")
    tracker.finish()
    import good_tracker  # type: ignore[import-not-found]

    assert good_tracker.runs[0].logged == [{"m/t/linear": 0.25}, {"failed": 1}, "finished"]


def test_an_unknown_or_absent_tracker_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([*RUN, "--out", str(tmp_path), "--log-to", "notebook"]) == 2
    assert "--log-to notebook: give trackio, mlflow or wandb" in capsys.readouterr().err
    if importlib.util.find_spec("wandb") is None:
        assert call([*RUN, "--out", str(tmp_path), "--log-to", "wandb"]) == 2
        assert "wandb is not installed: pip install wandb." in capsys.readouterr().err
