from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.models.conformance.validate import stricter_checks
from harness.models.loading import load_module
from harness.models.spec import ModelSpec

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL_HUBERT = str(EXAMPLES / "small_hubert.py")


def failures(spec: ModelSpec, *, quick: bool = True) -> list[object]:
    checks = stricter_checks(spec, "cpu", quick=quick, whole=not quick, announce=lambda name: None)
    return [c for c in checks if c.status in ("FAIL", "WARN")]


def test_the_wrapped_encoder_passes_every_check() -> None:
    assert failures(ModelSpec(SMALL_HUBERT)) == []


@pytest.mark.slow
def test_the_wrapped_encoder_takes_20_minutes() -> None:
    assert failures(ModelSpec(SMALL_HUBERT), quick=False) == []


def test_the_wrapped_encoder_reads_a_checkpoint(tmp_path: Path) -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 16000)).astype(np.float32)
    one = load_module(ModelSpec(SMALL_HUBERT, options={"seed": 1}), "cpu")
    state = torch.random.get_rng_state()
    zero = load_module(ModelSpec(SMALL_HUBERT), "cpu")
    assert torch.equal(state, torch.random.get_rng_state())
    spec = importlib.util.spec_from_file_location("small_hubert_example", SMALL_HUBERT)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    torch.save(example.load_model(seed=1).state_dict(), tmp_path / "one.pt")
    loaded = load_module(ModelSpec(SMALL_HUBERT, str(tmp_path / "one.pt")), "cpu")
    assert np.array_equal(one.scene(audio), loaded.scene(audio))
    assert not np.allclose(one.scene(audio), zero.scene(audio))


def test_the_wrapped_encoder_gives_a_clip_its_timestamps_to_the_end() -> None:
    module = load_module(ModelSpec(SMALL_HUBERT), "cpu")
    for n_samples in (1, 159, 320, 479, 481, 15_999, 16_000, 16_161, 163_210):
        _, times = module.timestamps(np.zeros((1, n_samples), np.float32))
        end = 1000 * n_samples / 16000
        assert times[0, 0] == pytest.approx(159.5 / 16)
        assert end - 20 <= times[0, -1] <= max(end, times[0, 0])


@pytest.mark.skipif(
    importlib.util.find_spec("hearbaseline") is None, reason="hearbaseline is not installed"
)
def test_the_naive_baseline_of_the_challenge_runs() -> None:
    checks = failures(ModelSpec(str(EXAMPLES / "hearbaseline_naive.py")))
    assert {c.name for c in checks} <= {"global state"}
