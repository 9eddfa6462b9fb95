"""The examples that wrap encoders of other packages; ``make examples`` installs those."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from harness.models.conformance.validate import stricter_checks
from harness.models.loading import load_module
from harness.models.spec import ModelSpec
from tasks.demo import demo_directory

EXAMPLES = Path(__file__).parents[1] / "examples"
PACKAGES = {
    "crepe_pitch": ("torchcrepe", "resampy"),
    "resemblyzer_voice": ("resemblyzer", "librosa"),
    "basic_pitch_notes": ("basic_pitch", "onnxruntime"),
    "speech_embedding": ("pyopen_wakeword", "ai_edge_litert"),
    "silero_speech": ("silero_vad", "onnxruntime"),
}


def is_installed(example: str) -> bool:
    return all(importlib.util.find_spec(package) for package in PACKAGES[example])


def needs(example: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not is_installed(example), reason=f"{PACKAGES[example][0]} is not installed: make examples"
    )


def imported(example: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{example}", EXAMPLES / f"{example}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recordings(seconds: float, count: int = 2, rate: int = 16000) -> np.ndarray:
    """Beginnings of real recordings of a guitar, float32 (count, samples)."""
    import soundfile
    import soxr

    folder = demo_directory("demo_guitar_chord") / "16000"
    found = []
    for path in sorted(folder.glob("*/*.wav"))[:count]:
        audio, own = soundfile.read(path, dtype="float32")
        audio = np.tile(soxr.resample(audio, own, rate), 4)
        found.append(audio[: round(seconds * rate)])
    return np.stack(found)


def relative(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


def test_every_example_of_a_package_is_tested() -> None:
    own = {"small_hubert", "hearbaseline_naive"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == own | PACKAGES.keys()


EVERY = [pytest.param(example, marks=needs(example)) for example in PACKAGES]


@pytest.mark.parametrize("example", EVERY)
def test_an_example_embeds_clips_of_any_length(example: str) -> None:
    module = load_module(ModelSpec(str(EXAMPLES / f"{example}.py")), "cpu")
    for seconds in (0.01, 0.3, 2.5):
        audio = recordings(seconds, rate=module.sample_rate)
        scene = module.scene(audio)
        embeddings, times = module.timestamps(audio)
        assert scene.shape == (2, module.scene_embedding_size)
        assert np.isfinite(scene).all()
        assert np.isfinite(embeddings).all()
        if times.shape[1] > 1:
            assert -1e-3 <= times.min() < times.max() <= 1000 * seconds + 1e-3
            assert np.diff(times[0]).max() <= 50.01
        assert not np.allclose(scene[0], scene[1])


@pytest.mark.slow
@pytest.mark.parametrize("example", EVERY)
def test_an_example_passes_every_check(example: str) -> None:
    spec = ModelSpec(str(EXAMPLES / f"{example}.py"))
    checks = stricter_checks(spec, "cpu", quick=True, whole=False, announce=lambda name: None)
    # What a package sets in the environment is its own affair.
    bad = [c for c in checks if c.status in ("FAIL", "WARN") and c.name != "global state"]
    assert bad == []


@needs("crepe_pitch")
def test_crepe_computes_what_its_package_computes() -> None:
    import torchcrepe

    audio = torch.from_numpy(recordings(1.3))
    model = imported("crepe_pitch").load_model(capacity="tiny")
    with torch.no_grad():
        ours = model.encoder.frames(audio, None)[0].numpy()
        theirs = torch.cat(
            [torchcrepe.embed(each[None], 16000, 4000, "tiny", pad=False) for each in audio]
        )
    # The package orders the values (time, channel), the example as the network does.
    shaped = theirs.reshape(ours.shape).numpy()
    assert relative(np.sort(ours, 2), np.sort(shaped, 2)) < 1e-4
    assert relative(ours, shaped) < 1e-4


@needs("resemblyzer_voice")
@pytest.mark.parametrize("seconds", [0.4, 1.6, 2.0, 2.9, 5.2])
def test_resemblyzer_computes_what_its_package_computes(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package imports webrtcvad for its cutting of pauses, which is not used here.
    if importlib.util.find_spec("webrtcvad") is None:
        monkeypatch.setitem(sys.modules, "webrtcvad", ModuleType("webrtcvad"))
    resemblyzer = pytest.importorskip("resemblyzer")
    audio = recordings(seconds) * 0.02
    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
    loud = [resemblyzer.normalize_volume(each, -30, increase_only=True) for each in audio]
    theirs = np.stack([encoder.embed_utterance(each.astype(np.float32)) for each in loud])
    module = imported("resemblyzer_voice")
    ours = module.get_scene_embeddings(torch.from_numpy(audio), module.load_model()).numpy()
    assert relative(ours, theirs) < 1e-3


@needs("basic_pitch_notes")
def test_basic_pitch_hears_the_note_that_sounds() -> None:
    module = imported("basic_pitch_notes")
    model = module.load_model()
    time = np.arange(3 * module.RATE) / module.RATE
    for key in (48, 60):  # of a piano's 88 keys; key 48 is A4, 440 Hz
        hertz = 440 * 2 ** ((key - 48) / 12)
        harmonics = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in (1, 2, 3, 4))
        tone = torch.from_numpy((0.1 * harmonics).astype(np.float32))[None]
        embeddings, times = module.get_timestamp_embeddings(tone, model)
        inside = (times[0] > 500) & (times[0] < 2500)
        blocks = embeddings[0, inside].mean(0).split([88, 88, 264])
        sounding = next(b for b in blocks[:2] if b.max() > 0.5)
        assert int(sounding.argmax()) == key
        assert abs(int(blocks[2].argmax()) // 3 - key) <= 1


@needs("speech_embedding")
def test_the_speech_embedding_is_that_of_its_package() -> None:
    """The package streams: it takes 80 ms at a time."""
    openwakeword = pytest.importorskip("pyopen_wakeword.openwakeword")
    audio = recordings(2.0, 1)
    pcm = np.round(audio[0] * 32767).astype(np.int16)
    features = openwakeword.OpenWakeWordFeatures.from_builtin()
    features.new_audio_samples = 0
    theirs = [
        emb[0, 0, 0]
        for begin in range(0, len(pcm), 1280)
        for emb in features.process_streaming(pcm[begin : begin + 1280].tobytes())
    ]
    model = imported("speech_embedding").load_model()
    whole = torch.from_numpy(pcm[None].astype(np.float32) / 32768)
    ours = model.encoder.frames(whole, None)[0][0].numpy()
    assert len(ours) >= 5
    # Its spectrogram has a floor relative to the loudest value of 110 ms, ours of the clip.
    for mine, other in zip(ours, theirs):
        assert np.corrcoef(mine, other)[0, 1] > 0.9


@needs("silero_speech")
def test_silero_gives_the_probabilities_of_its_package() -> None:
    found = importlib.util.find_spec("silero_vad")
    assert found is not None
    package = torch.jit.load(str(Path(str(found.origin)).parent / "data" / "silero_vad.jit"))
    audio = torch.from_numpy(recordings(3.0, 1))[:, : 512 * 90]
    # The package puts 64 zeros before the audio, and its last layer on the LSTM's output.
    padded = torch.nn.functional.pad(audio, (64, 0))
    weights = package.state_dict()
    last = "_model.decoder.decoder.2."
    hidden = imported("silero_speech").load_model().encoder.frames(padded, None)[0][0]
    scores = hidden.relu() @ weights[f"{last}weight"][0, :, 0] + weights[f"{last}bias"]
    with torch.no_grad():
        theirs = [package(frame, 16000).item() for frame in audio.split(512, 1)]
    assert np.abs(scores.sigmoid().numpy() - np.array(theirs)).max() < 1e-4
    assert np.ptp(theirs) > 0.01
