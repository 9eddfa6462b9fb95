"""Options of the method in whole runs: losses, auxiliary task, averages, precision."""

from __future__ import annotations

import copy
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from support.pretraining_runs import killer, tiny
from support.whole_run import assert_same_run, rows, run, state
from torch import nn

from hear_byola.checkpoint import read_checkpoint
from hear_byola.core.errors import UserError
from hear_byola.encoder import restore_encoder
from hear_byola.frontend import LogMel
from hear_byola.pretraining import precision
from hear_byola.pretraining.auxiliary import Targets
from hear_byola.pretraining.byol import ByolTraining
from hear_byola.pretraining.config import differing
from hear_byola.pretraining.corpus import scan
from hear_byola.pretraining.crops import CropSource, Sampling
from hear_byola.pretraining.precision import choose_precision


@pytest.mark.parametrize("loss", ["barlow_twins", "vicreg"])
def test_losses_without_a_target_network(audio: Path, tmp_path: Path, loss: str) -> None:
    config = tiny(loss=loss, learning_rate=3e-3, schedule="constant", crops=48)
    path = run(audio, tmp_path, config)
    found = [float(row["loss"]) for row in rows(tmp_path)]
    assert found[-1] < found[0]
    names = state(tmp_path)["state_dict"]
    assert not any(name.startswith(("target", "predictor")) for name in names)
    assert all(value.isfinite().all() for value in read_checkpoint(path).state.values())


def test_an_auxiliary_task_is_learnt_and_not_kept(audio: Path, tmp_path: Path) -> None:
    config = tiny(auxiliary={"weight": 10.0}, schedule="constant", warmup_steps=0, crops=80)
    path = run(audio, tmp_path, config)
    found = [float(row["auxiliary"]) for row in rows(tmp_path)]
    assert np.mean(found[-4:]) < 0.8 * np.mean(found[:4])
    assert any(name.startswith("regression.") for name in state(tmp_path)["state_dict"])
    plain = restore_encoder("2020", 512, read_checkpoint(path).state)
    assert read_checkpoint(path).state.keys() == plain.state_dict().keys()


def test_an_auxiliary_task_is_begun_once_with_its_targets_statistics(
    audio: Path, tmp_path: Path
) -> None:
    config, told = tiny(auxiliary={"targets": ["chroma"]}, probe_every=1), []
    with pytest.raises(KeyboardInterrupt):
        run(audio, tmp_path, config, probe=killer(signal.SIGTERM, 1), say=told.append)
    crops = CropSource(scan(audio), Sampling(), seed=42).crops(range(8))  # 7 sounds, batches of 4
    plain = Targets("slaney", ["chroma"])(crops).double()
    begun = state(tmp_path)["state_dict"]
    for name, expected in (("mean", plain.mean(0)), ("std", plain.std(0, correction=0))):
        torch.testing.assert_close(
            begun[f"regression.{name}"].double(), expected.clamp(min=1e-4), rtol=1e-3, atol=1e-6
        )
    run(audio, tmp_path, config, say=told.append)
    assert told.count("fitting the head of the auxiliary task") == 1
    assert state(tmp_path)["state_dict"]["regression.mean"].equal(begun["regression.mean"])


def test_an_auxiliary_task_sees_the_crop_as_users_of_the_checkpoint_do(audio: Path) -> None:
    clips = CropSource(scan(audio), Sampling(), seed=1).crops(range(4))
    for pre, post in [(True, True), (False, True), (True, False), (False, False)]:
        module = ByolTraining(tiny(pre_norm=pre, post_norm=post), -9.7, 4.7, 10)
        expected = LogMel("slaney", *((-9.7, 4.7) if pre or post else (0.0, 1.0)))(clips)
        found = module.as_deployed(module.spectrograms(clips))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_weight_of_the_auxiliary_task_scales_its_loss(audio: Path) -> None:
    clips = CropSource(scan(audio), Sampling(), seed=1).crops(range(4))

    def losses(weight: float | None) -> tuple[float, float]:
        auxiliary = None if weight is None else {"weight": weight}
        module = ByolTraining(tiny(auxiliary=auxiliary), -9.7, 4.7, 10)
        module.training_step(clips, 0)
        found = module.take_mean_losses()
        return found["loss"], found.get("auxiliary", 0.0)

    plain, _ = losses(None)
    for weight in (0.5, 2.0):
        total, own = losses(weight)
        assert total == pytest.approx(plain + weight * own, rel=1e-6)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 0.99),
        ({"ema_batch": 256, "batch_size": 64}, 0.9974905701),  # 0.99 ** (1 / 4)
        ({"ema_batch": 256, "batch_size": 64, "accumulate": 4}, 0.99),
        ({"ema_batch": 8, "batch_size": 16}, 0.9801),
    ],
)
def test_ema_decay_is_scaled_with_the_crops_of_a_step(
    fields: dict[str, int], expected: float
) -> None:
    assert ByolTraining(tiny(**fields), 0.0, 1.0, 10).ema_decay == pytest.approx(expected)


def test_checkpoint_averages_the_last_weights(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    plain = ByolTraining.optimizer_step

    def update(self: ByolTraining, *args: object, **kwargs: object) -> None:
        plain(self, *args, **kwargs)
        seen.append(copy.deepcopy(self.online.encoder.state_dict()))

    monkeypatch.setattr(ByolTraining, "optimizer_step", update)
    config = tiny(average_steps=3, batchnorm_crops=8)
    found = read_checkpoint(run(audio, tmp_path / "a", config)).state
    assert len(seen) == 6
    for name in ("fc.0.weight", "features.4.weight", "features.1.bias"):
        expected = torch.stack([weights[name].double() for weights in seen[-3:]]).mean(0)
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-5, atol=1e-7)
        assert not found[name].equal(seen[-1][name])


def test_batch_statistics_are_those_of_plain_crops(audio: Path, tmp_path: Path) -> None:
    found = read_checkpoint(run(audio, tmp_path, tiny(batchnorm_crops=8)))
    crops = CropSource(scan(audio), Sampling(), seed=42).crops(range(8))
    mel = LogMel("slaney", found.mean, found.std)(crops)[:, None].double()
    encoder = restore_encoder("2020", 512, found.state).double()
    means: dict[str, list[torch.Tensor]] = {}
    variances: dict[str, list[torch.Tensor]] = {}
    for x in mel.split(4):  # batches of the run
        for name, layer in encoder.features.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                means.setdefault(name, []).append(x.mean((0, 2, 3)))
                variances.setdefault(name, []).append(x.var((0, 2, 3)))
                x = nn.functional.batch_norm(x, None, None, layer.weight, layer.bias, True)
            else:
                x = layer(x)
    for name, values in means.items():
        for kind, expected in (("mean", values), ("var", variances[name])):
            buffer = found.state[f"features.{name}.running_{kind}"].double()
            torch.testing.assert_close(buffer, torch.stack(expected).mean(0), rtol=1e-3, atol=1e-4)
        assert int(found.state[f"features.{name}.num_batches_tracked"]) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"auxiliary": {}},
        {"average_steps": 4, "batchnorm_crops": 8, "ema_batch": 16},
        {"loss": "vicreg"},
        {"augmentations": ["mixup"], "frames": {"hidden": 16}},
    ],
)
def test_a_stopped_run_with_options_resumes_to_the_same_end(
    audio: Path, tmp_path: Path, fields: dict[str, object]
) -> None:
    config = tiny(**fields, probe_every=1)
    whole = tmp_path / "whole"
    run(audio, whole, config)
    with pytest.raises(KeyboardInterrupt):
        run(audio, tmp_path / "stopped", config, probe=killer(signal.SIGTERM, 4))
    run(audio, tmp_path / "stopped", config)
    assert_same_run(tmp_path / "stopped", whole)


def test_averaged_weights_need_statistics_of_their_own() -> None:
    with pytest.raises(UserError, match="average_steps needs batchnorm_crops"):
        tiny(average_steps=3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"weight": 0}, "weight"),
        ({"targets": []}, "targets"),
        ({"targets": ["pitch"]}, "log_mel"),
        ({"wieght": 1.0}, "weight"),
    ],
)
def test_faults_of_an_auxiliary_task_are_named(value: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(auxiliary=value)


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_precision_of_a_cpu(monkeypatch: pytest.MonkeyPatch, has: bool, expected: str) -> None:
    monkeypatch.setattr(precision, "has_arithmetic", lambda *_: has)
    chosen, reason = choose_precision("cpu")
    assert chosen == expected
    assert "AVX512-BF16" in reason


def test_a_run_reports_its_precision_and_keeps_it(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_arithmetic", lambda *_: False)
    told: list[str] = []
    path = run(audio, tmp_path, tiny(precision="auto"), say=told.append)
    assert "precision 32-true: the CPU has neither AVX512-BF16 nor AMX" in told
    assert read_checkpoint(path).training_config["precision"] == "32-true"
    monkeypatch.setattr(precision, "has_arithmetic", lambda *_: True)
    run(audio, tmp_path, tiny(precision="auto"), say=told.append)
    assert "precision 32-true: the run began with it" in told
    assert not differing(tiny().as_dict(), tiny(precision="auto").as_dict())
    with pytest.raises(UserError, match="precision: '32-true' -> 'bf16-mixed'"):
        run(audio, tmp_path, tiny(precision="bf16-mixed"))
