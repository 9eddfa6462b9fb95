from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_encoder import naive_frames, naive_scene
from torch import Tensor

import hear_byola
from hear_byola.core.precision import full_precision_convolutions
from hear_byola.frontend import CONVENTIONS, LOG_FLOOR
from hear_byola.model import ByolA

V1 = {"encoder": "2020", "d": 512}
V2 = {"encoder": "2022", "d": 2048}
CONFIGURATIONS = [
    {**V1, "hop_ms": 80},
    {**V1, "hop_ms": 40},
    {**V1, "hop_ms": 20},
    {**V1, "hop_ms": 10},
    {**V2, "hop_ms": 40},
    {**V2, "hop_ms": 20},
    {**V2, "hop_ms": 10},
]


def load(**options: object) -> ByolA:
    return hear_byola.load_model(seed=0, **options)


def noise(clips: int, samples: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(clips, samples, generator=generator) * 2 - 1


@pytest.fixture(scope="module", params=[V1, V2], ids=["2020", "2022"])
def model(request: pytest.FixtureRequest) -> ByolA:
    return load(**request.param)


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def independent_mel(audio: Tensor) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=audio.numpy(), sr=16_000, n_fft=1024, hop_length=160, n_mels=64, fmin=60, fmax=7_800,
        pad_mode="reflect",
    )  # fmt: skip
    slaney = CONVENTIONS["slaney"]
    return (np.log(power + LOG_FLOOR) - slaney.mean) / slaney.std


@pytest.mark.parametrize("samples", [1120, 7000])
def test_scene_agrees_with_an_independent_pipeline(model: ByolA, samples: int) -> None:
    audio = noise(1, samples)
    expected = naive_scene(model.encoder.state_dict(), independent_mel(audio[0]))
    found = hear_byola.get_scene_embeddings(audio, model)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-5)


def test_timestamps_agree_with_an_independent_pipeline(model: ByolA) -> None:
    model_hop = 80 if model.encoder.version == "2020" else 40
    plain = load(encoder=model.encoder.version, hop_ms=model_hop)
    # Of a clip of this length the unmoved grid covers the end.
    audio = noise(1, 7_600)
    embeddings, timestamps = hear_byola.get_timestamp_embeddings(audio, plain)
    expected = naive_frames(plain.encoder.state_dict(), independent_mel(audio[0]))
    first = 35 if model_hop == 80 else 15
    # The last outputs see what lies to the right of the clip.
    whole = len(expected) - 2
    np.testing.assert_allclose(embeddings[0, :whole].numpy(), expected[:whole], atol=1e-5)
    np.testing.assert_array_equal(
        timestamps[0].numpy(), first + model_hop * np.arange(timestamps.shape[1])
    )


def test_shapes_and_types(model: ByolA) -> None:
    audio = noise(3, 20_000)
    scene = hear_byola.get_scene_embeddings(audio, model)
    embeddings, timestamps = hear_byola.get_timestamp_embeddings(audio, model)
    assert scene.shape == (3, model.scene_embedding_size)
    assert embeddings.shape == (3, timestamps.shape[1], model.timestamp_embedding_size)
    assert timestamps.shape == (3, 31 if model.encoder.version == "2020" else 32)
    for tensor in (scene, embeddings, timestamps):
        assert tensor.dtype == torch.float32
        assert tensor.isfinite().all()
        assert not tensor.requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_floating_point_audio_is_taken(model: ByolA, dtype: torch.dtype) -> None:
    audio = noise(1, 8000).to(dtype)
    found = hear_byola.get_scene_embeddings(audio, model)
    assert found.dtype == torch.float32
    assert torch.equal(found, hear_byola.get_scene_embeddings(audio.float(), model))


def test_no_clips_give_no_embeddings(model: ByolA) -> None:
    assert hear_byola.get_scene_embeddings(torch.zeros(0, 16_000), model).shape == (
        0,
        model.encoder.d,
    )
    embeddings, timestamps = hear_byola.get_timestamp_embeddings(torch.zeros(0, 16_000), model)
    assert embeddings.shape[0] == timestamps.shape[0] == 0


@pytest.mark.parametrize("samples", [500, 12_000])
def test_batch_mates_and_batch_size_do_not_matter(model: ByolA, samples: int) -> None:
    audio = torch.cat([noise(6, samples), torch.zeros(1, samples), 1e-3 * noise(1, samples, 1)])
    scenes = hear_byola.get_scene_embeddings(audio, model)
    frames, _ = hear_byola.get_timestamp_embeddings(audio, model)
    for i in range(len(audio)):
        clip = audio[i : i + 1]
        assert_close(scenes[i : i + 1], hear_byola.get_scene_embeddings(clip, model))
        assert_close(frames[i : i + 1], hear_byola.get_timestamp_embeddings(clip, model)[0])
    order = torch.tensor([7, 0, 3])
    assert_close(hear_byola.get_scene_embeddings(audio[order], model), scenes[order])


def test_the_same_audio_gives_the_same_bits(model: ByolA) -> None:
    audio = noise(2, 24_000)
    for function in (hear_byola.get_scene_embeddings, hear_byola.get_timestamp_embeddings):
        one, two = function(audio, model), function(audio, model)
        for a, b in zip(one, two, strict=True):
            assert torch.equal(a, b)


def test_the_audio_is_left_as_it_is(model: ByolA) -> None:
    audio = noise(2, 9000)
    before = audio.clone()
    hear_byola.get_scene_embeddings(audio, model)
    hear_byola.get_timestamp_embeddings(audio, model)
    assert torch.equal(audio, before)


@pytest.mark.parametrize("samples", [1, 700, 40_000])
def test_silence_is_finite(model: ByolA, samples: int) -> None:
    audio = torch.zeros(1, samples)
    assert hear_byola.get_scene_embeddings(audio, model).isfinite().all()
    assert hear_byola.get_timestamp_embeddings(audio, model)[0].isfinite().all()


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(1, 6000))
def test_every_length_works(model: ByolA, samples: int) -> None:
    audio = noise(1, samples)
    assert hear_byola.get_scene_embeddings(audio, model).isfinite().all()
    embeddings, timestamps = hear_byola.get_timestamp_embeddings(audio, model)
    assert embeddings.isfinite().all()
    assert embeddings.shape[1] == timestamps.shape[1] >= 1


@pytest.mark.parametrize("samples", [1, 200, 479, 1119])
def test_a_clip_too_short_for_one_output_is_centred_in_zeros(samples: int) -> None:
    model = load(**V1)
    audio = noise(1, samples)
    # So placed among zeros, the clip's centre is that of mel frames 28 to 35.
    padded = torch.nn.functional.pad(audio, (4480 - samples // 2 + 560, 6000))
    mel = model.frontend(padded)[:, None, :, 28 : 28 + 8]
    with torch.no_grad():
        expected = 2 * model.encoder(mel)[:, 0]
    if samples <= 512:
        assert_close(hear_byola.get_scene_embeddings(audio, model), expected)
    one_frame, timestamps = hear_byola.get_timestamp_embeddings(audio, load(**V1, hop_ms=80))
    if samples < 560:
        assert timestamps.tolist() == [[samples // 2 / 16]]
        assert_close(2 * one_frame[:, 0], hear_byola.get_scene_embeddings(audio, model))


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("samples", [9_000, 12_347])
def test_passes_give_what_one_pass_gives(options: dict, samples: int) -> None:
    model = load(**options)
    audio = noise(2, samples)
    model.frames_per_pass = 10**9
    scenes = hear_byola.get_scene_embeddings(audio, model)
    frames, times = hear_byola.get_timestamp_embeddings(audio, model)
    for frames_per_pass in (50, 96, 250):
        model.frames_per_pass = frames_per_pass
        assert_close(hear_byola.get_scene_embeddings(audio, model), scenes)
        found = hear_byola.get_timestamp_embeddings(audio, model)
        assert_close(found[0], frames)
        assert torch.equal(found[1], times)


@pytest.mark.parametrize(("clips", "samples"), [(1, 40 * 16_000), (12, 3 * 16_000)])
def test_no_pass_is_larger_than_allowed(clips: int, samples: int) -> None:
    model = load(**V1)
    model.frames_per_pass = 512
    sizes = []
    model.frontend.register_forward_hook(
        lambda _, inputs, mel: sizes.append(mel.shape[0] * mel.shape[2])
    )
    hear_byola.get_timestamp_embeddings(torch.zeros(clips, samples), model)
    assert sum(sizes) >= clips * samples // 160
    assert max(sizes) <= 512 + 3 * model.encoder.window


def test_global_state_is_left_alone(model: ByolA) -> None:
    def state() -> tuple:
        cudnn = torch.backends.cudnn
        return (
            torch.get_rng_state().tolist(),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        )

    before = state()
    hear_byola.get_scene_embeddings(noise(1, 8000), model)
    hear_byola.get_timestamp_embeddings(noise(1, 8000), model)
    assert state() == before


@pytest.fixture
def allow_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.usefixtures("allow_tf32")
def test_full_precision_is_scoped() -> None:
    conv = getattr(torch.backends.cudnn, "conv", None)

    def rounds() -> bool:
        return conv.fp32_precision == "tf32" if conv else torch.backends.cudnn.allow_tf32

    assert rounds()
    with full_precision_convolutions():
        assert not rounds()
    assert rounds()


@pytest.mark.parametrize(
    ("audio", "sentence"),
    [
        (np.zeros((1, 8000), np.float32), "audio is a ndarray.*torch.from_numpy"),
        (torch.zeros(8000), r"shape \(8000,\).*audio\[None, :\]"),
        (torch.zeros(1, 2, 8000), r"shape \(1, 2, 8000\)"),
        (torch.zeros(2, 0), "at least one sample"),
        (torch.zeros(1, 8000, dtype=torch.int16), "torch.int16.*divided by 32768"),
        (torch.zeros(1, 8000, device="meta"), "audio is on meta, the model on cpu"),
    ],
)
def test_unfit_audio_is_refused(model: ByolA, audio: Tensor, sentence: str) -> None:
    for function in (hear_byola.get_scene_embeddings, hear_byola.get_timestamp_embeddings):
        with pytest.raises(ValueError, match=sentence):
            function(audio, model)


def test_training_mode_is_refused() -> None:
    model = load(**V1)
    with pytest.raises(ValueError, match=r"model.eval\(\)"):
        hear_byola.get_scene_embeddings(noise(1, 8000), model.train())
    assert hear_byola.get_scene_embeddings(noise(1, 8000), model.eval()).isfinite().all()
