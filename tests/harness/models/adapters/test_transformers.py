from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

import transformers as hf
from support.tiny_transformers import TINY, save_tiny

from harness.core.errors import UserError
from harness.models.adapters.transformers import (
    get_layer_embeddings,
    get_scene_embeddings,
    get_timestamp_embeddings,
    load_model,
)
from harness.models.conformance.centres import click_train, measure_lag
from harness.models.conformance.official import run_official
from harness.models.conformance.validate import stricter_checks, validate
from harness.models.frames import FrameModel
from harness.models.loading import load_module
from harness.models.spec import parse_model

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model, saved once."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(name: str) -> Path:
        return root / name if (root / name).exists() else save_tiny(name, root / name)

    return folder


def sound(model: FrameModel, seconds: float, n: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, int(seconds * model.sample_rate), generator=generator) - 0.5


# Each function below returns the library's own frames (n, t, size) of 16, 24 or 48 kHz audio, made
# with its classes and its feature extractor alone, without those that are padding.


def by_auto_model(folder: Path, audio: torch.Tensor) -> torch.Tensor:
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(list(audio.numpy()), sampling_rate=16000, return_tensors="pt")
    return hf.AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state


def by_ctc_encoder(folder: Path, audio: torch.Tensor) -> torch.Tensor:
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(list(audio.numpy()), sampling_rate=16000, return_tensors="pt")
    model = hf.AutoModel.from_pretrained(folder).eval()
    assert model.adapter is not None
    return model(**inputs, output_hidden_states=True).hidden_states[-1]


def by_sew(folder: Path, audio: torch.Tensor) -> torch.Tensor:
    frames = by_auto_model(folder, audio)
    return frames[:, : frames.shape[1] // 2 * 2]  # an odd last frame is padding


def whisper_encoder(folder: Path) -> torch.nn.Module:
    if folder.name == "whisper-encoder":
        return hf.models.whisper.modeling_whisper.WhisperEncoder.from_pretrained(folder).eval()
    return hf.WhisperForConditionalGeneration.from_pretrained(folder).eval().model.encoder


def by_whisper(folder: Path, audio: torch.Tensor) -> torch.Tensor:
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(list(audio.numpy()), sampling_rate=16000, return_tensors="pt")
    frames = whisper_encoder(folder)(inputs.input_features).last_hidden_state
    return frames[:, : -(-audio.shape[1] // 320)]


def by_ast(folder: Path, audio: torch.Tensor) -> torch.Tensor:
    tokens = by_auto_model(folder, audio)[:, 2:]
    mel_frames = (audio.shape[1] - 400) // 160 + 1
    return tokens.reshape(len(audio), 12, 101, -1).mean(1)[:, : (mel_frames - 16) // 10 + 1]


def clap_tower(folder: Path) -> torch.nn.Module:
    if folder.name == "clap-tower":
        return hf.ClapAudioModel.from_pretrained(folder).eval()
    return hf.ClapModel.from_pretrained(folder).eval().audio_model


def by_clap(folder: Path, audio: torch.Tensor) -> torch.Tensor:
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(list(audio.numpy()), sampling_rate=48000, return_tensors="pt")
    inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])
    image = clap_tower(folder)(**inputs).last_hidden_state  # (n, size, 2 bands, 32 times)
    seconds = audio.shape[1] / 48000
    centres = (32 * np.arange(32) + 15.5) * 1000 / 1023 / 100
    return image.mean(2)[..., : int((centres < seconds).sum())].transpose(1, 2)


def by_encodec(folder: Path, audio: torch.Tensor) -> torch.Tensor:
    import torchaudio

    audio = torchaudio.functional.resample(audio, 48000, 24000)
    model = hf.EncodecModel.from_pretrained(folder).eval()
    return model.encoder(audio[:, None]).transpose(1, 2)


def by_stereo_encodec(folder: Path, audio: torch.Tensor) -> torch.Tensor:
    scale = audio.square().mean(1, keepdim=True).sqrt() + 1e-8
    stereo = (audio / scale)[:, None].repeat(1, 2, 1)
    return hf.EncodecModel.from_pretrained(folder).eval().encoder(stereo).transpose(1, 2)


def layers_of_library(name: str, folder: Path, audio: torch.Tensor) -> list[torch.Tensor]:
    """Return the library's hidden states, each as frames (n, t, size)."""
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    rate = extractor.sampling_rate
    inputs = extractor(list(audio.numpy()), sampling_rate=rate, return_tensors="pt")
    if name.startswith("whisper"):
        encoder = whisper_encoder(folder)
        hidden = encoder(inputs.input_features, output_hidden_states=True).hidden_states
    elif name.startswith("clap"):
        inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])
        images = clap_tower(folder)(**inputs, output_hidden_states=True).hidden_states
        # The rows of an image are four quarters of the time, each with all mel bands.
        quarters = [each.unflatten(2, (4, -1)).mean(3) for each in images]
        hidden = [each.flatten(2).unflatten(2, (32, -1)).mean(3).mT for each in quarters]
    else:
        model = hf.AutoModel.from_pretrained(folder).eval()
        hidden = model(**inputs, output_hidden_states=True).hidden_states
    if name == "ast":
        hidden = [each[:, 2:].unflatten(1, (12, 101)).mean(1) for each in hidden]
    return list(hidden)


LIBRARY: dict[str, Callable[[Path, torch.Tensor], torch.Tensor]] = {
    **dict.fromkeys(TINY, by_auto_model),
    "wav2vec2-ctc": by_ctc_encoder,
    "sew": by_sew,
    "sew-d": by_sew,
    **dict.fromkeys(("whisper", "whisper-encoder"), by_whisper),
    "ast": by_ast,
    **dict.fromkeys(("clap", "clap-fused", "clap-tower"), by_clap),
    "encodec": by_encodec,
    "encodec-stereo": by_stereo_encodec,
}

# Distance of timestamps in ms, and the first one.
TIMES = {
    **dict.fromkeys(TINY, (20.0, 199.5 / 16)),
    **dict.fromkeys(("sew", "sew-d"), (40.0, 359.5 / 16)),
    "wav2vec2-bert": (20.0, 17.5),
    **dict.fromkeys(("whisper", "whisper-encoder"), (20.0, 0.0)),
    "ast": (50.0, 25.0),
    **dict.fromkeys(
        ("clap", "clap-fused", "clap-tower"), (15014.6628 / 48 / 7, 15014.6628 / 48 / 14)
    ),
    "encodec": (320 / 24, 240.5 / 24),
    "encodec-stereo": (320 / 48, 155.5 / 48),
}


def quick_first(*names: str) -> list:
    """All models; those that are not named are slow tests."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in TINY]


def assert_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(
        found, expected, rtol=0, atol=tolerance * float(expected.abs().max())
    )


@pytest.mark.parametrize(
    "name", quick_first("wav2vec2", "wav2vec2-ctc", "sew", "wav2vec2-bert", "ast", "clap")
)
def test_a_scene_embedding_is_the_mean_of_the_librarys_frames(saved, name):
    folder = saved(name)
    model = load_model(str(folder))
    audio = sound(model, 0.9)
    with torch.no_grad():
        expected = LIBRARY[name](folder, audio)
    assert expected.shape[1] in (
        n := model.encoder.geometry.count(int(0.9 * model.encoder.rate)),
        2 * n,
    )
    found = get_scene_embeddings(audio, model)
    assert found.shape == (2, model.scene_embedding_size)
    assert_close(found, expected.mean(1))


@pytest.mark.parametrize("name", quick_first("wav2vec2", "wav2vec2-bert"))
def test_timestamps_are_regular_centres_that_cover_the_clip(saved, name):
    model = load_model(str(saved(name)))
    hop, first = TIMES[name]
    for seconds in (0.4, 0.907, 1.0):
        embeddings, times = get_timestamp_embeddings(sound(model, seconds), model)
        assert embeddings.shape == (*times.shape, model.timestamp_embedding_size)
        expected = first + hop * np.arange(times.shape[1])
        np.testing.assert_allclose(times[0].numpy(), expected, atol=0.02)
        assert 1000 * seconds - hop - 0.1 <= float(times[0, -1]) <= 1000 * seconds


@pytest.mark.parametrize("name", ["whisper", "wav2vec2-bert"])
def test_timestamps_are_the_centres_of_frames_before_attention(saved, name):
    """Both normalise over the clip, so that a click changes all embeddings: `validate` cannot see
    where it is. Every silent frame changes by the same, which is subtracted here."""
    model = load_model(str(saved(name)))
    if name == "whisper":  # random kernels answer up to 5 ms early or late, symmetric ones do not
        for conv in (model.encoder.model.conv1, model.encoder.model.conv2):
            conv.weight.data += conv.weight.data.flip(-1)
    clip, clicks = click_train(16000, 1.5, 16)
    audio = torch.from_numpy(np.stack([clip, np.zeros_like(clip)]))
    (frames,), times = get_layer_embeddings(audio, model, [0], timestamps=True)
    lag = measure_lag((frames[0] - frames[1]).numpy(), times[0].numpy(), clicks)
    assert lag is not None
    assert abs(lag.offset) < 2.0  # ms
    assert lag.spread < 30


@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2-bert"])
def test_timestamp_embeddings_are_the_librarys_frames(saved, name):
    folder = saved(name)
    model = load_model(str(folder))
    # As long as 45 whole windows: nothing is padded.
    audio = sound(model, model.encoder.geometry.samples(45) / 16000)
    with torch.no_grad():
        expected = LIBRARY[name](folder, audio)
    embeddings, times = get_timestamp_embeddings(audio, model)
    assert times.shape == (2, 45)
    assert_close(embeddings, expected)


@pytest.mark.parametrize("name", quick_first("wav2vec2", "wav2vec2-bert"))
def test_a_clip_does_not_depend_on_its_batch_mates(saved, name):
    model = load_model(str(saved(name)))
    audio = sound(model, 0.7, n=3) * torch.tensor([[0.3], [1.0], [0.0]])
    alone = get_scene_embeddings(audio[:1], model), get_timestamp_embeddings(audio[:1], model)[0]
    assert_close(get_scene_embeddings(audio, model)[:1], alone[0])
    assert_close(get_timestamp_embeddings(audio, model)[0][:1], alone[1])


@pytest.mark.parametrize("name", quick_first("wav2vec2", "wav2vec2-bert"))
def test_short_and_silent_clips_have_embeddings(saved, name):
    model = load_model(str(saved(name)))
    for audio in (sound(model, 0.01), torch.zeros(1, model.sample_rate // 5), sound(model, 1e-4)):
        embeddings, times = get_timestamp_embeddings(audio, model)
        assert get_scene_embeddings(audio, model).isfinite().all()
        assert embeddings.isfinite().all()
        assert times.shape[1] >= 1
        assert float(times.min()) >= 0
        assert float(times.max()) <= max(1000 * audio.shape[1] / model.sample_rate, 0.1)


@pytest.mark.slow
def test_chunks_of_a_recurrent_encoder_nearly_equal_the_whole(saved):
    whole = load_model(str(saved("encodec")), chunk_length_s=60)
    chunks = load_model(str(saved("encodec")), chunk_length_s=6)
    audio = sound(whole, 17.3, n=1)
    assert_close(get_scene_embeddings(audio, chunks), get_scene_embeddings(audio, whole), 1e-3)
    found, times = get_timestamp_embeddings(audio, chunks)
    expected, same = get_timestamp_embeddings(audio, whole)
    assert torch.equal(times, same)
    assert_close(found, expected, 1e-3)


def test_chunks_equal_the_whole_where_a_frame_sees_less_than_the_overlap(saved):
    """The first hidden state; after it, attention sees the whole chunk."""
    folder = str(saved("wav2vec2-large"))
    audio = sound(load_model(folder), 17.3, n=1)
    whole, chunks = (load_model(folder, chunk_length_s=length) for length in (60, 6))
    for timestamps in (True, False):
        (expected,), times = get_layer_embeddings(audio, whole, [0], timestamps=timestamps)
        (found,), same = get_layer_embeddings(audio, chunks, [0], timestamps=timestamps)
        assert_close(found, expected)
        assert (times is None) or torch.equal(times, same)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ast", "clap", "clap-tower"])
def test_the_models_own_pooled_output(saved, name):
    folder = saved(name)
    model = load_model(str(folder), pooling="model")
    audio = sound(model, 0.9)
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(list(audio.numpy()), sampling_rate=model.sample_rate, return_tensors="pt")
    with torch.no_grad():
        if name == "ast":
            expected = hf.ASTModel.from_pretrained(folder).eval()(**inputs).pooler_output
        elif name == "clap-tower":
            expected = clap_tower(folder)(**inputs).pooler_output
        else:
            tower = hf.ClapAudioModelWithProjection.from_pretrained(folder).eval()
            expected = tower(**inputs).audio_embeds
    assert model.scene_embedding_size == expected.shape[1]
    assert_close(get_scene_embeddings(audio, model), expected)
    long = get_scene_embeddings(sound(model, 23.0, n=1), model)
    assert long.shape == (1, expected.shape[1])


@pytest.mark.parametrize(
    ("alone", "whole"), [("whisper-encoder", "whisper"), ("clap-tower", "clap")]
)
def test_an_encoder_that_was_saved_alone_is_that_of_the_whole_model(saved, alone, whole):
    found, expected = (load_model(str(saved(name))) for name in (alone, whole))
    audio = sound(expected, 0.5)
    assert_close(get_scene_embeddings(audio, found), get_scene_embeddings(audio, expected))
    assert found.layer_sizes == expected.layer_sizes


def test_layers_of_the_models_own_pooled_output_are_refused(saved):
    with pytest.raises(UserError, match=r"no layers .*with these options.*option layer out"):
        load_module(parse_model(f"transformers={saved('ast')},pooling=model,layer=1"), "cpu")


@pytest.mark.parametrize("name", quick_first("wav2vec2", "wav2vec2-large", "sew", "ast", "clap"))
def test_layers_are_the_librarys_hidden_states(saved, name):
    folder = saved(name)
    model = load_model(str(folder), hop_ms=1000)  # one pass of coarse frames
    if not model.layer_sizes:
        pytest.skip("it has one layer")
    # As long as 20 whole windows: nothing is padded.
    audio = sound(model, model.encoder.geometry.samples(20) / model.sample_rate)
    with torch.no_grad():
        expected = [frames[:, :20] for frames in layers_of_library(name, folder, audio)]
    numbers = range(len(model.layer_sizes))
    assert [frames.shape for frames in expected] == [(2, 20, size) for size in model.layer_sizes]
    frames, times = get_layer_embeddings(audio, model, numbers, timestamps=True)
    scenes, none = get_layer_embeddings(audio, model, numbers)
    assert times.shape == (2, 20)
    assert none is None
    for number in numbers:
        assert_close(frames[number], expected[number])
        assert_close(scenes[number], expected[number].mean(1))
    for number in numbers:
        (alone,), _ = get_layer_embeddings(audio, model, [number])
        assert_close(alone, expected[number].mean(1))


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.05), ("fp16", 0.01)])
def test_half_precision_is_close(saved, precision, tolerance):
    whole = load_model(str(saved("wav2vec2")))
    half = load_model(str(saved("wav2vec2")), precision=precision)
    audio = sound(whole, 0.5)
    found = get_scene_embeddings(audio, half)
    assert found.dtype == torch.float32
    assert_close(found, get_scene_embeddings(audio, whole), tolerance)


# Loading


def test_a_model_is_a_module_with_the_name_of_its_folder(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved("wav2vec2"), tmp_path / "tiny.en")
    module = load_module(parse_model("transformers=./tiny.en"), "cpu")
    info = module.info
    assert (info.label, info.sample_rate) == ("transformers/tiny.en", 16000)
    assert info.module == "harness.models.adapters.transformers"
    assert len(info.checkpoint_sha256) == 64
    again = load_module(parse_model("transformers=./tiny.en"), "cpu")
    assert again.fingerprint == module.fingerprint
    other = load_module(parse_model("transformers=./tiny.en,chunk_length_s=20"), "cpu")
    assert other.fingerprint != module.fingerprint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("transformers", "no model is named"),
        ("transformers=./absent", r"no folder './absent'"),
        ("transformers=./whol", r"no folder './whol'.*Did you mean 'whole'"),
        ("transformers=empty", r"no config\.json"),
        ("transformers=whole,revision=main", "no revisions"),
        ("transformers=whole,pooling=model", "no pooled output"),
        ("transformers=whole,pooling=max", "one of mean, model"),
        ("transformers=whole,precision=int8", "one of float32, bf16, fp16"),
        ("transformers=whole,chunk_length_s=1", "at least 5.0"),
        ("transformers=whole,chunk_length_s=abc", "'chunk_length_s' .*'abc': it must be a number"),
        ("transformers=whole,hop_ms=0.05", "hop_ms=0.05: .*milliseconds, at least 1"),
        ("transformers=whole,trust_remote_code=never", "must be true or false"),
        ("transformers=whole,revision=2024", "no revisions"),
        ("transformers=whole,layr=3", r"no option 'layr'"),
        ("transformers=unheard", "no feature extractor"),
        ("transformers=parts", "does not contain all weights.*encoder.layers.0"),
        ("transformers=speech", "type 'speecht5' is not supported.*own code"),
        ("transformers=text", "type 'bert' is not supported.*wav2vec2"),
    ],
)
def test_a_wrong_model_is_refused(saved, tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("whole", "unheard", "parts"):
        shutil.copytree(saved("wav2vec2"), tmp_path / name)
    (tmp_path / "unheard/preprocessor_config.json").unlink()
    weights = tmp_path / "parts/model.safetensors"
    from safetensors.torch import load_file, save_file

    kept = {k: v for k, v in load_file(weights).items() if "layers.0" not in k}
    save_file(kept, weights, {"format": "pt"})
    hf.BertConfig().save_pretrained(tmp_path / "text")
    hf.SpeechT5Config().save_pretrained(tmp_path / "speech")
    with pytest.raises(UserError, match=said):
        load_module(parse_model(text), "cpu")


def unfused(**options: int) -> hf.ClapFeatureExtractor:
    return hf.ClapFeatureExtractor(truncation="rand_trunc", **options)


@pytest.mark.parametrize(
    ("name", "extractor", "said"),
    [
        ("ast", hf.ASTFeatureExtractor(max_length=512), "512 mel frames, .* takes 1024"),
        ("ast", hf.ASTFeatureExtractor(num_mel_bins=64), "64 mel bands, .* takes 128"),
        ("whisper", hf.WhisperFeatureExtractor(feature_size=128), "128 mel bands, .* takes 80"),
        ("whisper", hf.WhisperFeatureExtractor(chunk_length=10), "1000 mel frames, .* takes 3000"),
        ("clap", unfused(feature_size=32), "32 mel bands, .* takes 64"),
        ("clap", unfused(max_length_s=20), "2001 mel frames, .* takes 1024"),
        ("clap", hf.ClapFeatureExtractor(), "4 spectrograms a clip, .* takes 1"),
        ("clap-fused", unfused(), "1 spectrograms a clip, .* takes 4"),
        ("wav2vec2-bert", hf.SeamlessM4TFeatureExtractor(stride=1), "80 values a frame, .* 160"),
        ("encodec", hf.EncodecFeatureExtractor(sampling_rate=16000), "16000 samples a second"),
        ("wav2vec2", unfused(), "ClapFeatureExtractor, is not made for .* 'wav2vec2'"),
        ("wav2vec2", hf.ASTFeatureExtractor(), "ASTFeatureExtractor, is not made for"),
        ("whisper", hf.Wav2Vec2FeatureExtractor(), "is not made for .* 'whisper'"),
    ],
)
def test_a_feature_extractor_that_does_not_fit_is_refused(saved, tmp_path, name, extractor, said):
    folder = shutil.copytree(saved(name), tmp_path / "model")
    extractor.save_pretrained(folder)
    with pytest.raises(UserError, match=f"feature extractor in '{folder}'.*{said}.* in its place"):
        load_module(parse_model(f"transformers={folder}"), "cpu")


def test_weights_that_only_training_uses_may_be_absent(saved, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(saved("wav2vec2"), tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    del state["masked_spec_embed"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    first, second = (load_module(parse_model(f"transformers={folder}"), "cpu") for _ in range(2))
    assert first.fingerprint == second.fingerprint


CUSTOM = """
from transformers import HubertConfig, HubertModel
class OwnConfig(HubertConfig):
    model_type = "own_model"
class OwnModel(HubertModel):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(saved, tmp_path, monkeypatch) -> Callable[[str], Path]:
    """The folder of a model with code of its own, which continues ``CUSTOM``."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def folder(more: str) -> Path:
        folder = shutil.copytree(saved("hubert"), tmp_path / "own")
        (folder / "own.py").write_text(CUSTOM + more)
        config = json.loads((folder / "config.json").read_text())
        config |= {
            "model_type": "own_model",
            "architectures": ["OwnModel"],
            "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"},
        }
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return folder


def test_code_of_a_model_runs_only_if_it_is_trusted(saved, own_code):
    folder = own_code("")
    with pytest.raises(UserError, match="trust_remote_code=true"):
        load_module(parse_model(f"transformers={folder}"), "cpu")
    own = load_module(parse_model(f"transformers={folder},trust_remote_code=true"), "cpu")
    known = load_module(parse_model(f"transformers={saved('hubert')}"), "cpu")
    audio = RNG.uniform(-1, 1, (1, 8000)).astype(np.float32)
    np.testing.assert_allclose(own.scene(audio), known.scene(audio), rtol=1e-5, atol=1e-6)
    layers = load_module(
        parse_model(f"transformers={folder},trust_remote_code=true,layer=all"), "cpu"
    )
    assert layers.n_layers == 4


NO_HIDDEN_STATES = """
    def forward(self, input_values, output_hidden_states=None):
        return super().forward(input_values)
"""
NO_SUCH_ARGUMENT = """
    def forward(self, input_values):
        return super().forward(input_values)
"""
THE_LAST_ONES = """
    def forward(self, input_values, output_hidden_states=None):
        output = super().forward(input_values, output_hidden_states=True)
        output.hidden_states = output.hidden_states[2:]
        return output
"""


@pytest.mark.parametrize("code", [NO_HIDDEN_STATES, NO_SUCH_ARGUMENT])
def test_layers_of_own_code_without_hidden_states_are_refused(own_code, code):
    text = f"transformers={own_code(code)},trust_remote_code=true"
    assert load_module(parse_model(text), "cpu").scene_embedding_size == 24
    with pytest.raises(UserError, match=r"no layers \(hidden states\).*Leave the option layer out"):
        load_module(parse_model(f"{text},layer=1"), "cpu")


def test_the_layers_of_own_code_are_those_that_it_returns(own_code):
    text = f"transformers={own_code(THE_LAST_ONES)},trust_remote_code=true,layer=all"
    assert load_module(parse_model(text), "cpu").n_layers == 2


COMMIT = "0123456789abcdef0123456789abcdef01234567"
OFFLINE = """
import sys
from harness.models.loading import load_module
from harness.models.spec import parse_model
info = load_module(parse_model(sys.argv[1]), "cpu").info
print(info.label, info.checkpoint_revision, info.checkpoint)
"""


@pytest.mark.slow
def test_the_hubs_cache_is_used_without_a_connection(saved, tmp_path):
    model = tmp_path / "hub" / "models--some--tiny"
    shutil.copytree(saved("wav2vec2"), model / "snapshots" / COMMIT)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}

    def run(text: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", OFFLINE, text],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    for text in ("transformers=some/tiny", f"transformers=some/tiny,revision={COMMIT}"):
        done = run(text)
        assert done.returncode == 0, done.stderr
        assert COMMIT in done.stdout.split()
    assert "the hub nor its cache" in run("transformers=some/absent").stderr


@pytest.mark.parametrize("name", ["models/wav2vec2", "models2/wav2vec"])
def test_a_misspelt_folder_that_may_be_a_name_on_the_hub(saved, tmp_path, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved("wav2vec2"), tmp_path / "models" / "wav2vec")
    near = "Did you mean 'wav2vec'" if name.startswith("models/") else "no folder 'models2'"
    spec = parse_model(f"transformers={name}")
    with pytest.raises(UserError, match=f"transformers: '{name}' is no folder.*hub.*{near}"):
        load_module(spec, "cpu")
    with pytest.raises(UserError, match=f"'{name}' is no folder"):  # and no report
        validate(spec, "cpu", quick=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_the_checks_of_validate_pass(saved, name):
    spec = parse_model(f"transformers={saved(name)}")
    checks = stricter_checks(spec, "cpu", quick=False, announce=lambda name: None)
    assert [f"{c.name}: {c.detail}" for c in checks if c.status == "FAIL"] == []
    assert {c.name: c.status for c in checks}["true centres"] in ("PASS", "NOT RUN")
    official = run_official(spec, "cpu")
    assert (official.outcome, official.message) == ("passed", "")
