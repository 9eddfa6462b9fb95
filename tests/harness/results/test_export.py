"""Results in formats of other projects, read back by those projects' own code where it is there."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from harness.analysis.compare.gather import load
from harness.cli import call
from harness.commands.export import export
from harness.results.export import FORMATS, Publication
from harness.results.export import export as exported_text

DEMO = str(Path(__file__).parents[3] / "results" / "demo.csv")


def exported(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert call(["results", "export", DEMO, *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert call(["results", "export", DEMO, *arguments]) == 2
    return capsys.readouterr().err


def test_json_lines_have_a_row_for_each_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in exported(capsys, "--format", "jsonl").splitlines()]
    assert {row["model"] for row in rows} == {"hear_byola", "hear_byola-random", "logmel"}
    assert all(row["split"] == "all" and row["is_primary"] is True for row in rows)
    linear = [r for r in rows if r["protocol"] == "linear" and r["model"] == "hear_byola"]
    chord = next(r for r in linear if r["task"] == "demo_guitar_chord-v1-full")
    assert chord["value"] == pytest.approx(0.749, abs=5e-4)
    assert chord["n_test"] == 287
    assert chord["layer"] is None


def test_a_model_index_is_one_for_the_hub(capsys: pytest.CaptureFixture[str]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    text = exported(
        capsys, "--format", "model-index", "-m", "hear_byola", "--name", "me/my-byola",
        "--dataset", "demo_pipe_pitch=me/pipes",
    )  # fmt: skip
    card = hub.ModelCard(f"---\n{text}---\n# A model\n")
    results = card.data.eval_results
    assert card.data.model_name == "me/my-byola"
    assert len(results) == 10
    by_place = {(r.dataset_name, r.metric_args["protocol"]): r for r in results}
    chord = by_place["demo_guitar_chord-v1-full", "linear"]
    assert (chord.task_type, chord.metric_type) == ("audio-classification", "accuracy")
    assert chord.metric_value == pytest.approx(0.749, abs=5e-4)
    low, high = chord.metric_args["ci_low"], chord.metric_args["ci_high"]
    assert low == pytest.approx(0.683, abs=5e-4)
    assert high == pytest.approx(0.805, abs=5e-4)
    # Several seeds: their mean and its interval, as in `results table`.
    several = by_place["demo_guitar_chord-v1-full", "hear2021"]
    assert several.metric_args["seeds"] == 3
    assert several.metric_value == pytest.approx(0.709, abs=5e-4)
    low, high = several.metric_args["ci_low"], several.metric_args["ci_high"]
    assert low == pytest.approx(0.634, abs=5e-4)
    assert high == pytest.approx(0.773, abs=5e-4)
    assert by_place["demo_pipe_pitch-v1-full", "linear"].dataset_type == "me/pipes"


def test_eval_results_are_those_of_the_hub(capsys: pytest.CaptureFixture[str]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    if not hasattr(hub, "parse_eval_result_entries"):
        pytest.skip("this huggingface_hub is older than the format")
    text = exported(
        capsys, "--format", "eval-results", "-m", "logmel", "--protocol", "linear",
        "--dataset", "demo_pipe_pitch=me/pipes:pitch", "--dataset", "demo_sample_mix=me/mixes",
    )  # fmt: skip
    entries = hub.parse_eval_result_entries(yaml.safe_load(text))
    assert hub.eval_result_entries_to_yaml(entries) == yaml.safe_load(text)
    assert [(e.dataset_id, e.task_id) for e in entries] == [
        ("me/pipes", "pitch"),
        ("me/mixes", "mAP"),
    ]
    assert entries[0].value == pytest.approx(0.736, abs=5e-4)
    assert "protocol linear, pitch_acc, 95 % interval [0.6" in entries[0].notes


def test_the_hub_needs_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "--format", "eval-results", "-m", "logmel")
    assert "--dataset TASK=ORG/NAME" in told
    assert "demo_pipe_pitch-v1-full" in told


def test_the_hub_gets_one_protocol_of_a_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(
        capsys, "--format", "eval-results", "-m", "logmel", "--dataset", "demo_pipe_pitch=me/pipes"
    )
    assert "hear2021, linear" in told
    assert "--protocol hear2021" in told


def test_the_commit_of_a_checkpoint_is_exported() -> None:
    rows = load([Path(DEMO)]).select(models=["logmel"], protocols=["linear"]).rows
    rows = rows.assign(checkpoint_revision="abc1234")
    chosen = Publication("me/mine", datasets={task: f"me/{task}" for task in rows.task})
    for style in FORMATS:
        assert "abc1234" in exported_text(rows, style, chosen), style


def test_every_eval_ever_has_each_value_with_its_uncertainty(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "byola.json"
    exported(
        capsys, "--format", "every-eval-ever", "-m", "hear_byola", "--name", "me/my-byola",
        "--organization", "me", "--relationship", "first_party", "-o", str(out),
        "--dataset", "demo_pipe_pitch=me/pipes",
    )  # fmt: skip
    record = json.loads(out.read_text())
    results = {each["evaluation_result_id"]: each for each in record["evaluation_results"]}
    chord = results["demo_guitar_chord-v1-full/linear/0"]["score_details"]
    assert chord["score"] == pytest.approx(0.749, abs=5e-4)
    interval = chord["uncertainty"]["confidence_interval"]
    assert interval["lower"] < chord["score"] < interval["upper"]
    assert results["demo_pipe_pitch-v1-full/linear/0"]["source_data"]["hf_repo"] == "me/pipes"
    assert len(results) == len(record["evaluation_results"])


def test_every_eval_ever_is_valid_by_the_schema_of_its_package(
    capsys: pytest.CaptureFixture[str],
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    package = importlib.util.find_spec("every_eval_ever")
    if package is None or package.origin is None:
        pytest.skip("every-eval-ever, for Python 3.12, is not installed")
    schema = json.loads((Path(package.origin).parent / "schemas/eval.schema.json").read_text())
    text = exported(
        capsys, "--format", "every-eval-ever", "-m", "hear_byola",
        "--dataset", "demo_pipe_pitch=me/pipes",
    )  # fmt: skip
    record = json.loads(text)
    jsonschema.validate(record, schema)
    assert record["schema_version"] == schema["version"]


def test_the_command_offers_every_format() -> None:
    (option,) = (each for each in export.params if "--format" in each.opts)
    assert list(option.type.choices) == list(FORMATS)  # type: ignore[attr-defined]


def test_a_file_about_one_model_needs_one(capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "--format", "model-index")
    assert "choose it with -m. The models are hear_byola, hear_byola-random, logmel." in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-m", "nobody"), "No results of the model 'nobody'."),
        (("--dataset", "demo_pipe_pitch"), "give a task and its dataset, as esc50=me/esc50."),
        (("--protocol", "byola"), "No results of the protocol 'byola'."),
        (
            ("-t", "demo_pipe_pitch", "--protocol", "byola"),
            "No results of the protocol 'byola' with the task demo_pipe_pitch-v1-full. Known: ",
        ),
        (
            ("-t", "demo_pipe_pitch", "--dataset", "demo_guitar_chord=me/chords"),
            "No results of the task 'demo_guitar_chord' among the chosen ones.",
        ),
    ],
)
def test_wrong_names_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert told in refused(capsys, "--format", "jsonl", *arguments)
