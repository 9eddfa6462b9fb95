from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import torchaudio

from harness.core.errors import UserError
from harness.core.hashing import file_sha256
from harness.models.adapters.torchaudio import (
    get_layer_embeddings,
    get_scene_embeddings,
    get_timestamp_embeddings,
    load_model,
)
from harness.models.conformance.validate import stricter_checks
from harness.models.loading import load_module
from harness.models.spec import parse_model

_CONVOLUTIONS = [(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2]


def tiny(kind: str, **changed: object) -> dict[str, object]:
    """Parameters of a pipeline's model: those of the base model with fewer of everything."""
    bundle = {"Wav2Vec2": "WAV2VEC2_BASE", "WavLM": "WAVLM_BASE"}[kind]
    return {
        **getattr(torchaudio.pipelines, bundle)._params,
        "extractor_conv_layer_config": _CONVOLUTIONS,
        "encoder_embed_dim": 24,
        "encoder_num_layers": 3,
        "encoder_num_heads": 4,
        "encoder_pos_conv_kernel": 16,
        "encoder_pos_conv_groups": 4,
        "encoder_ff_interm_features": 32,
        **changed,
    }


PIPELINES = {
    "TINY": ("Wav2Vec2", tiny("Wav2Vec2"), False),
    "TINY_LARGE": (
        "Wav2Vec2",
        tiny("Wav2Vec2", extractor_mode="layer_norm", encoder_layer_norm_first=True),
        True,
    ),
    "TINY_WAVLM": ("WavLM", tiny("WavLM"), False),
}


@pytest.fixture(autouse=True)
def pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny pipelines beside those of torchaudio, with their weights in the cache of torch.hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    factories = {
        "Wav2Vec2": torchaudio.models.wav2vec2_model,
        "WavLM": torchaudio.models.wavlm_model,
    }
    for name, (kind, params, normalise) in PIPELINES.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = factories[kind](**params)
        torch.save(model.state_dict(), checkpoints / f"{name}.pt")
        bundle = torchaudio.pipelines.Wav2Vec2Bundle(f"{name}.pt", params, 16000, normalise, kind)
        monkeypatch.setattr(torchaudio.pipelines, name, bundle, raising=False)


def sound(seconds: float, n: int = 2) -> torch.Tensor:
    return torch.rand(n, int(16000 * seconds), generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.mark.parametrize("name", PIPELINES)
def test_embeddings_are_those_of_the_pipeline(name):
    model, bundle = load_model(name), getattr(torchaudio.pipelines, name)
    audio = sound(0.9)[:1]  # the pipeline normalises over the batch
    with torch.no_grad():
        output, _ = bundle.get_model()(audio)
        hidden, _ = bundle.get_model().extract_features(audio)
    torch.testing.assert_close(get_scene_embeddings(audio, model), output.mean(1))
    frames, times = get_timestamp_embeddings(sound(400 / 16000 + 0.88)[:1], model)
    assert frames.shape == (*times.shape, 24) == (1, 45, 24)
    assert times[0, :2].tolist() == [12.46875, 32.46875]
    layers, _ = get_layer_embeddings(audio, model, [1, 3])
    torch.testing.assert_close(layers, [hidden[0].mean(1), hidden[2].mean(1)])
    first, _ = get_layer_embeddings(audio, model, [0])
    assert first[0].shape == (1, 24)
    assert model.layer_sizes == [24] * 4


def test_a_clip_does_not_depend_on_its_batch_mates():
    model = load_model("TINY_LARGE")
    audio = sound(0.7, 3)
    audio[1] *= 0.01
    torch.testing.assert_close(
        get_scene_embeddings(audio, model)[:1], get_scene_embeddings(audio[:1], model)
    )


def test_a_state_dict_replaces_the_weights(tmp_path):
    state = torch.load(tmp_path / "hub/checkpoints/TINY.pt", weights_only=True)
    path = tmp_path / "own.pt"
    torch.save({key: 2 * value for key, value in state.items()}, path)
    own = load_module(parse_model(f"torchaudio=TINY,weights={path}"), "cpu")
    known = load_module(parse_model("torchaudio=TINY"), "cpu")
    assert own.fingerprint != known.fingerprint
    assert own.info.label == "torchaudio/TINY(weights=own.pt)"
    assert own.info.checkpoint_sha256 == file_sha256(path)
    (tmp_path / "moved").mkdir()
    moved = shutil.copy(path, tmp_path / "moved")
    again = load_module(parse_model(f"torchaudio=TINY,weights={moved}"), "cpu")
    assert again.fingerprint == own.fingerprint
    assert (known.info.label, known.info.checkpoint_revision) == ("torchaudio/TINY", "TINY.pt")
    del state["encoder.transformer.layers.0.attention.k_proj.weight"]
    torch.save(state, path)
    with pytest.raises(UserError, match="does not contain all weights"):
        load_module(parse_model(f"torchaudio=TINY,weights={path}"), "cpu")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("torchaudio", "name a pipeline"),
        ("torchaudio=WAV2VEC_BASE", "Did you mean 'WAV2VEC2_BASE'"),
        ("torchaudio=SQUIM_OBJECTIVE", "is not an encoder"),
        ("torchaudio=TINY,weights=./absent.pt", "no readable state dict"),
        ("torchaudio=TINY,layers=3", "no option 'layers'"),
    ],
)
def test_a_wrong_pipeline_is_refused(text, said):
    with pytest.raises(UserError, match=said):
        load_module(parse_model(text), "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_the_checks_of_validate_pass(name):
    checks = stricter_checks(
        parse_model(f"torchaudio={name}"), "cpu", quick=True, announce=lambda name: None
    )
    assert [f"{c.name}: {c.detail}" for c in checks if c.status == "FAIL"] == []
