"""Whole runs, tiny ones, in this process: what they leave behind, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.pretraining_runs import make_audio, tiny
from support.sound_files import noise, write
from support.whole_run import CPU, rows, run, state

from hear_byola import load_model
from hear_byola.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from hear_byola.core.errors import UserError
from hear_byola.pretraining.run import Machines, pretrain
from hear_byola.random_weights import random_encoder


def test_a_run_leaves_a_checkpoint_with_all_that_it_needs(audio: Path, whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {
        "config.yaml",
        "corpus.json",
        "metrics.csv",
        "curves.png",
        "resume.ckpt",
        "byola.safetensors",
    }
    checkpoint = read_checkpoint(whole / "byola.safetensors")
    corpus = json.loads((whole / "corpus.json").read_text())
    assert (checkpoint.encoder, checkpoint.d, checkpoint.convention) == ("2020", 512, "slaney")
    assert checkpoint.licence == "CC0-1.0"
    assert checkpoint.data_sha256 == corpus["sha256"]
    assert len(checkpoint.data_sha256) == 64
    assert checkpoint.data == corpus["description"]
    assert "7 sounds" in checkpoint.data
    assert {"mean": checkpoint.mean, "std": checkpoint.std} == corpus["statistics"]
    config = dict(checkpoint.training_config)
    assert config.pop("progress") == {"step": 6, "steps": 6, "crops": 24}
    assert config == json.loads(json.dumps(tiny().as_dict()))
    model = load_model(str(whole / "byola.safetensors"))
    from hear_byola import get_scene_embeddings

    assert get_scene_embeddings(torch.rand(2, 16_000), model).shape == (2, 512)


def test_the_encoder_that_is_written_is_the_online_one(whole: Path) -> None:
    found = state(whole)["state_dict"]
    for name, value in read_checkpoint(whole / "byola.safetensors").state.items():
        assert value.equal(found[f"online.encoder.{name}"]), name
    start = random_encoder("2020", 512, 42).state_dict()
    assert not start["fc.0.weight"].equal(found["online.encoder.fc.0.weight"])
    assert not found["target.encoder.fc.0.weight"].equal(found["online.encoder.fc.0.weight"])


def test_curves_have_every_step(whole: Path) -> None:
    found = rows(whole)
    assert [row["step"] for row in found] == ["1", "2", "3", "4", "5", "6"]
    assert all(0 < float(row["loss"]) < 8 for row in found)
    assert [bool(row["embedding_std"]) for row in found] == [False, True] * 3
    assert {"projection_std", "embedding_rank", "projection_rank"} <= found[0].keys()
    # Six steps, the first two of which are for warming up.
    assert [float(row["lr"]) for row in found[:3]] == pytest.approx([5e-4, 1e-3, 1e-3])
    assert 0 < float(found[-1]["lr"]) < float(found[-2]["lr"]) < 1e-3


def test_statistics_are_those_of_the_spectrograms(whole: Path, audio: Path) -> None:
    from hear_byola.frontend import LogMel
    from hear_byola.pretraining.corpus import scan
    from hear_byola.pretraining.crops import CropSource, Sampling

    crops = CropSource(scan(audio), Sampling(), seed=42).crops(range(7))
    bins = LogMel("slaney").log_mel(crops).double()
    checkpoint = read_checkpoint(whole / "byola.safetensors")
    assert checkpoint.mean == pytest.approx(float(bins.mean()), rel=1e-4)
    assert checkpoint.std == pytest.approx(float(bins.std()), rel=1e-3)


def test_accumulated_batches_are_one_step_of_their_mean_gradient(
    audio: Path, tmp_path: Path
) -> None:
    run(audio, tmp_path, tiny(accumulate=2, crops=24))
    found = state(tmp_path)
    assert (found["global_step"], found["batches"]) == (3, 6)
    steps = {int(entry["step"]) for entry in found["optimizer_states"][0]["state"].values()}
    assert steps == {3}
    tracked = found["state_dict"]["online.projector.1.num_batches_tracked"]
    assert int(tracked) == 12  # two views of six batches


def test_a_folder_that_cannot_be_made_is_told(audio: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run cannot be made"):
        run(audio, tmp_path / "file/run")


def test_reduced_precision_on_a_cpu(audio: Path, tmp_path: Path) -> None:
    path = run(audio, tmp_path, tiny(precision="bf16-mixed", crops=8))
    checkpoint = read_checkpoint(path)
    assert checkpoint.state["fc.0.weight"].dtype == torch.float32
    assert all(value.isfinite().all() for value in checkpoint.state.values())


def test_second_encoder_with_every_augmentation(audio: Path, tmp_path: Path) -> None:
    path = run(
        audio,
        tmp_path,
        tiny(
            encoder="2022",
            d=2048,
            crops=8,
            augmentations=["linear_fader", "gaussian", "mixup", "random_resize_crop"],
            crop_canvas=[1.2, 1.5],
            mixup_log_exp=False,
        ),
    )
    assert read_checkpoint(path).d == 2048


@pytest.mark.parametrize(("pre", "post"), [(True, False), (False, True), (False, False)])
def test_a_checkpoint_says_what_its_encoder_was_fed(
    audio: Path, tmp_path: Path, pre: bool, post: bool
) -> None:
    path = run(audio, tmp_path, tiny(pre_norm=pre, post_norm=post, crops=4))
    checkpoint = read_checkpoint(path)
    measured = json.loads((tmp_path / "corpus.json").read_text())["statistics"]
    expected = measured if pre or post else {"mean": 0.0, "std": 1.0}
    assert {"mean": checkpoint.mean, "std": checkpoint.std} == expected


def test_a_warm_start(audio: Path, whole: Path, tmp_path: Path) -> None:
    start = whole / "byola.safetensors"
    config = tiny(crops=4, learning_rate=1e-30)
    path = run(audio, tmp_path, config, start=start)
    found, before = read_checkpoint(path), read_checkpoint(start)
    assert found.training_config["start"] == "byola.safetensors"
    for name, value in before.state.items():
        if not name.startswith("features") or "weight" in name:
            torch.testing.assert_close(found.state[name], value)
    with pytest.raises(UserError, match=r"start: .*byola\.safetensors' -> None"):
        run(audio, tmp_path, config)


@pytest.mark.parametrize("what", ["missing", "damaged", "size", "convention"])
def test_a_start_that_does_not_fit_is_told_before_anything_is_read(
    tmp_path: Path, what: str
) -> None:
    start = tmp_path / "start.safetensors"
    if what == "damaged":
        start.write_bytes(b"damaged")
    elif what != "missing":
        d, convention = (1024, "slaney") if what == "size" else (512, "htk")
        weights = random_encoder("2020", d, 0).state_dict()
        save_checkpoint(start, Checkpoint("2020", d, weights, convention, -9.7, 4.7))
    with pytest.raises(UserError, match=r"cannot start from .*start\.safetensors") as caught:
        run(tmp_path / "no audio", tmp_path / "run", start=start)
    assert "\n" not in str(caught.value)


def test_a_run_leaves_the_global_random_generator_alone(audio: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run(audio, tmp_path, tiny(crops=8))
    assert torch.rand(3).equal(expected)


def test_a_warm_up_that_the_run_does_not_outlast_is_told(audio: Path, tmp_path: Path) -> None:
    told: list[str] = []
    run(audio, tmp_path / "short", tiny(crops=8, warmup_steps=2), say=told.append)
    assert not any("WARNING" in text for text in told)
    run(audio, tmp_path / "long", tiny(crops=8, warmup_steps=10), say=told.append)
    (warning,) = (text for text in told if "WARNING" in text)
    assert "warmup_steps is 10, and the run has 2 steps" in warning
    assert "reaches only 0.0002, not 0.001" in warning
    assert float(rows(tmp_path / "long")[-1]["lr"]) == pytest.approx(0.0002)


def test_a_probe_is_called_and_logged(audio: Path, tmp_path: Path) -> None:
    seen: list[Checkpoint] = []

    def probe(path: Path) -> dict[str, float]:
        seen.append(read_checkpoint(path))
        return {"pitch": len(seen) / 4}

    told: list[str] = []
    config = tiny(probe_every=4, crops=20)
    run(audio, tmp_path, config, probe=probe, say=told.append)
    assert [entry.training_config["progress"]["step"] for entry in seen] == [4, 5]
    assert [row["probe/pitch"] for row in rows(tmp_path)] == ["", "", "", "0.25", "0.5"]
    assert any("pitch 0.250" in text for text in told)


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose projections are all alike."""
    from hear_byola.pretraining.networks import Branch

    plain = Branch.forward

    def forward(self: Branch, mel: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        embedding, projections = plain(self, mel)
        return embedding, {level: found * 1e-6 + 1 for level, found in projections.items()}

    monkeypatch.setattr(Branch, "forward", forward)


def test_a_collapse_is_told_once(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch)
    told: list[str] = []
    run(audio, tmp_path, say=told.append)
    warned = [text for text in told if "WARNING" in text]
    assert len(warned) == 1
    assert "step 2: the network has collapsed: " in warned[0]
    assert "projection (std 0.0" in warned[0]


def test_a_collapse_stops_by_option(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch)
    with pytest.raises(UserError, match="step 4: the network has collapsed"):
        run(audio, tmp_path, tiny(stop_on_collapse=True, monitor_every=4))
    assert state(tmp_path)["global_step"] == 2


def test_further_loggers_by_config(audio: Path, tmp_path: Path) -> None:
    run(audio, tmp_path, tiny(logger={"CSVLogger": {"name": "more"}}, crops=8))
    header = (tmp_path / "more/version_0/metrics.csv").read_text().splitlines()[0]
    assert {"loss", "lr", "step"} <= set(header.split(","))


def test_a_further_logger_that_fails_is_left_out_with_a_warning(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytorch_lightning.loggers import CSVLogger

    calls: list[int] = []

    def fail(self: CSVLogger, metrics: object, step: int) -> None:
        calls.append(step)
        if step == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(CSVLogger, "log_metrics", fail)
    with pytest.warns(UserWarning, match=r"CSVLogger failed .*No space left.* metrics\.csv has"):
        run(audio, tmp_path, tiny(logger={"CSVLogger": {}}))
    assert calls == [1, 2]
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3", "4", "5", "6"]


def test_probes_may_be_due_by_passes_over_the_corpus(audio: Path, tmp_path: Path) -> None:
    # 7 sounds a pass, 4 crops a step: after 1.75 steps, and 3.5.
    config = tiny(probe_every_epochs=2, logger={})
    run(audio, tmp_path, config, probe=lambda _: {"x": 0.5})
    assert [row["step"] for row in rows(tmp_path) if row["probe/x"]] == ["4", "6"]


def test_several_processes_are_asked_of_collapse_where_it_was_measured_alone(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytorch_lightning.strategies import SingleDeviceStrategy

    asked: list[bool] = []
    plain = SingleDeviceStrategy.reduce_boolean_decision

    def reduce(self: SingleDeviceStrategy, decision: bool, all: bool = True) -> bool:
        if not all:
            asked.append(decision)
        return plain(self, decision, all)

    monkeypatch.setattr(SingleDeviceStrategy, "reduce_boolean_decision", reduce)
    run(audio, tmp_path, tiny(monitor_every=3))
    assert asked == [False, False]


def test_a_scan_that_takes_its_time_is_told_of(
    audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hear_byola.pretraining import prepare

    told: list[str] = []
    prepare.find_sounds(audio, told.append)
    assert told == []
    monkeypatch.setattr(prepare, "_LINE_EVERY", 0.0)
    prepare.find_sounds(audio, told.append)
    assert "scanned 1 of 7 files, " in told[0]
    assert told[-1] == "scanned 7 of 7 files, 7 sounds"


@pytest.mark.parametrize(
    ("fields", "machines", "message"),
    [
        ({"precision": "16-mixed"}, CPU, "precision 16-mixed is for GPUs"),
        ({"logger": {"NoLogger": {}}}, CPU, "no class 'NoLogger'"),
        ({"logger": {"CSVLogger": {"colour": 1}}}, CPU, "logger CSVLogger: "),
        ({}, Machines("abacus", 1), "accelerator 'abacus'"),
        ({}, Machines("cpu", "many"), "devices 'many'"),
        ({}, Machines("cpu", 0), "devices 0"),
    ],
)
def test_what_lightning_cannot_do_is_told_before_anything_is_read(
    tmp_path: Path, fields: dict[str, object], machines: Machines, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pretrain(tmp_path / "no audio", tiny(**fields), tmp_path / "run", machines=machines)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crops": 3}, "the run has 3 crops, but one step needs 4"),
        ({"accumulate": 50}, "the run has 24 crops, but one step needs 200"),
        ({"shares": {"no such kind": 1}}, "no such kind"),
    ],
)
def test_a_config_that_does_not_fit_the_audio(
    audio: Path, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(audio, tmp_path, tiny(**fields))


def silence(root: Path) -> None:
    write(root / "quiet.wav", np.zeros(32_000))


def low_rate(root: Path) -> None:
    write(root / "telephone.wav", noise(2, 8_000), 8_000)


@pytest.mark.parametrize(
    ("fill", "message"),
    [(lambda _: None, "no audio"), (silence, "silence"), (low_rate, "16")],
    ids=["empty", "silence", "low rate"],
)
def test_bad_audio_is_told(tmp_path: Path, fill: Callable[[Path], None], message: str) -> None:
    root = tmp_path / "audio"
    root.mkdir()
    fill(root)
    with pytest.raises(UserError, match=message):
        run(root, tmp_path / "run", tiny(silence_db=-60))


@pytest.mark.filterwarnings("ignore:.*Another sound is drawn")
@pytest.mark.parametrize("workers", [0, 1])
def test_audio_that_goes_away_is_told_in_a_sentence(tmp_path: Path, workers: int) -> None:
    audio = make_audio(tmp_path / "audio")

    def vanish(text: str) -> None:
        if "log-mel" in text and "±" in text:  # all is scanned and measured
            for path in audio.rglob("*.wav"):
                path.unlink()

    with pytest.raises(UserError, match="Check that") as caught:
        run(audio, tmp_path / "run", tiny(workers=workers), say=vanish)
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)
