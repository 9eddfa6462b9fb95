from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from support.sound_files import noise, pack, write
from torch.utils.data import DataLoader

from hear_byola.core.errors import UserError
from hear_byola.pretraining.corpus import scan
from hear_byola.pretraining.crops import CROP_SAMPLES, CropSource, Sampling, check_audible

LENGTHS = {"speech/a.wav": 3.0, "speech/b.flac": 0.4, "music/c.ogg": 2.0, "music/d.mp3": 1.5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sounds of several formats, rates and channels, longer and shorter than a crop."""
    root = tmp_path / "audio"
    for number, (name, seconds) in enumerate(LENGTHS.items()):
        rate = [16_000, 44_100, 48_000][number % 3]
        write(root / name, np.stack([noise(seconds, rate, number)] * (1 + number % 2), 1), rate)
    sound = write(tmp_path / "e.wav", noise(2.5, 22_050, 7), 22_050).read_bytes()
    pack(root / "effects/1.tar", {"e.wav": sound})
    return root


def whole(path: Path) -> np.ndarray:
    audio, rate = soundfile.read(path, always_2d=True, dtype="float32")
    audio = audio.mean(1)
    return np.clip(audio if rate == 16_000 else soxr.resample(audio, rate, 16_000), -1, 1)


def place_in(audio: np.ndarray, crop: np.ndarray) -> int:
    """Where a crop fits best in a sound, by cross-correlation."""
    size = len(audio) + len(crop)
    product = np.fft.rfft(audio, size) * np.fft.rfft(crop, size).conj()
    return int(np.fft.irfft(product, size)[: len(audio) - len(crop) + 1].argmax())


def test_crops_are_stretches_of_the_whole_sounds(folder: Path) -> None:
    source = CropSource(scan(folder), Sampling(), seed=1)
    assert source.epoch_size == 5
    crops = source.crops(range(20))
    assert crops.shape == (20, CROP_SAMPLES)
    assert crops.dtype == torch.float32
    wholes = {name: whole(folder / name) for name in LENGTHS if name != "speech/b.flac"}
    wholes["1.tar"] = whole(folder.parent / "e.wav")
    found: dict[str, set[int]] = {}
    for crop in crops.numpy():
        for name, audio in wholes.items():
            place = place_in(audio, crop)
            if np.abs(audio[place : place + CROP_SAMPLES] - crop).max() < 2e-5:
                found.setdefault(name, set()).add(place)
    assert {name: len(places) for name, places in found.items()} == dict.fromkeys(wholes, 4)


def test_shorter_sounds_lie_at_the_centre_of_zeros(folder: Path) -> None:
    corpus = scan(folder)
    audio = whole(folder / "speech/b.flac")
    crops = CropSource(corpus, Sampling(), seed=1).crops(range(5)).numpy()
    (padded,) = (crop for crop in crops if crop[0] == 0 == crop[-1])
    begin = (CROP_SAMPLES - len(audio)) // 2
    assert len(audio) == 6_400
    np.testing.assert_allclose(padded[begin : begin + len(audio)], audio, rtol=0, atol=2e-5)
    assert not padded[:begin].any()
    assert not padded[begin + len(audio) :].any()


def test_the_places_of_crops_are_spread_over_a_sound(tmp_path: Path) -> None:
    ramp = np.arange(4 * 16_000) / (4 * 16_000)
    write(tmp_path / "a.wav", ramp)
    starts = CropSource(scan(tmp_path), Sampling(), seed=3).crops(range(400))[:, 0] * 4
    assert starts.min() < 0.05
    assert starts.max() > 3.0
    assert float(starts.mean()) == pytest.approx(3.05 / 2, abs=0.15)


def test_a_crop_depends_on_seed_and_position_alone(folder: Path) -> None:
    corpus = scan(folder)
    sampling = Sampling(unit="seconds", balance=0.5, silence_db=-40)
    crops = CropSource(corpus, sampling, seed=4).crops(range(30))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0)).tolist()
    again = CropSource(corpus, sampling, seed=4)
    for batch in (order[:1], order[1:8], order[8:]):
        assert torch.equal(again.crops(batch), crops[batch])
    assert not torch.equal(CropSource(corpus, sampling, seed=5).crops(range(30)), crops)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_data_loader_read_the_same_crops(folder: Path, start: str) -> None:
    source = CropSource(scan(folder), Sampling(silence_db=-60), seed=6)
    batches = [[0, 1, 2], [7, 3], [12, 11, 10]]
    loader = DataLoader(
        source, batch_size=None, sampler=batches, num_workers=2, multiprocessing_context=start
    )
    expected = [source.crops(batch) for batch in batches]
    for found, crops in zip(loader, expected, strict=True):
        assert torch.equal(found, crops)


def quiet_and_loud(path: Path, loud_part: float) -> Path:
    """Ten seconds of faint noise, loud in its last part."""
    audio = 2e-4 * noise(10)
    audio[round((1 - loud_part) * len(audio)) :] *= 5000
    return write(path, np.clip(audio, -1, 1))


def level_db(crops: torch.Tensor) -> torch.Tensor:
    return 10 * crops.square().mean(1).log10()


def test_silent_crops_are_drawn_again(tmp_path: Path) -> None:
    for number in range(4):
        quiet_and_loud(tmp_path / f"a/{number}.wav", loud_part=0.3)
    corpus = scan(tmp_path)
    assert (level_db(CropSource(corpus, Sampling(), 0).crops(range(40))) < -60).sum() > 15
    assert (level_db(CropSource(corpus, Sampling(silence_db=-60), 0).crops(range(40))) > -60).all()


def test_in_place_of_a_silent_sound_another_of_its_kind_is_drawn(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"speech/{number}.wav", np.zeros(20_000))
        write(tmp_path / f"music/{number}.wav", 0.25 + 0 * noise(2.0))
    write(tmp_path / "music/3.wav", 0.25 + 0 * noise(2.0))
    write(tmp_path / "speech/loud.wav", 0.5 + 0 * noise(2.0))
    source = CropSource(scan(tmp_path), Sampling(balance=0.0, silence_db=-60), seed=0)
    levels = source.crops(range(10 * source.epoch_size)).mean(1)
    assert float((levels > 0.4).float().mean()) == 0.5
    assert float(levels.min()) == pytest.approx(0.25, abs=1e-3)


def test_the_level_of_a_short_sound_is_its_own_without_the_padding(tmp_path: Path) -> None:
    write(tmp_path / "click.wav", 0.01 * noise(0.01) / np.abs(noise(0.01)).max())
    write(tmp_path / "silence.wav", np.zeros(20_000))
    crops = CropSource(scan(tmp_path), Sampling(silence_db=-50), 0).crops(range(4))
    assert (crops.abs().amax(1) > 0.005).all()


@pytest.mark.parametrize("silence_db", [None, -60.0])
def test_nothing_but_silence_is_an_error_before_training(
    tmp_path: Path, silence_db: float | None
) -> None:
    write(tmp_path / "a.wav", np.zeros(40_000))
    write(tmp_path / "b.flac", np.zeros(5_000))
    source = CropSource(scan(tmp_path), Sampling(silence_db=silence_db), 0)
    with pytest.raises(UserError, match="only silence"):
        check_audible(source, draws=5)
    assert not source.crops(range(3)).any()  # a run is not stopped by it
    write(tmp_path / "c.wav", noise(1.0))
    check_audible(CropSource(scan(tmp_path), Sampling(silence_db=silence_db), 0))


def test_a_long_sound_with_a_silent_beginning_is_audible(tmp_path: Path) -> None:
    quiet_and_loud(tmp_path / "a.wav", loud_part=0.2)
    check_audible(CropSource(scan(tmp_path), Sampling(silence_db=-60), 0))


def test_files_that_fail_in_a_run_are_named_once_and_replaced(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / f"{number:02}.flac", noise(2.0, seed=number))
    corpus = scan(tmp_path)
    content = bytearray((tmp_path / "03.flac").read_bytes())
    content[2000:] = bytes(len(content) - 2000)
    (tmp_path / "03.flac").write_bytes(content)
    (tmp_path / "17.flac").unlink()
    source = CropSource(corpus, Sampling(), seed=0)
    with pytest.warns(UserWarning, match="Another sound is drawn") as caught:
        crops = source.crops(range(90))
    assert (crops.abs().amax(1) > 0.1).all()
    assert sorted(str(warning.message)[:7] for warning in caught) == ["03.flac", "17.flac"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = CropSource(corpus, Sampling(), seed=0)
        assert torch.equal(torch.cat([again.crops([i]) for i in range(89, -1, -1)]).flip(0), crops)


def test_sounds_with_nan_are_named_and_replaced(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"{number}.wav", noise(1.0, seed=number))
    audio = noise(0.5)
    audio[100] = np.nan
    soundfile.write(tmp_path / "bad.wav", audio, 16_000, "FLOAT")
    source = CropSource(scan(tmp_path), Sampling(), seed=0)
    with pytest.warns(UserWarning, match=r"bad.wav contains samples that are NaN"):
        crops = source.crops(range(source.epoch_size))
    assert crops.isfinite().all()


@pytest.mark.filterwarnings("ignore:.*Another sound is drawn")
def test_audio_that_is_gone_or_mostly_unreadable_ends_the_run(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"audio/{number}.wav", noise(1.0, seed=number))
    corpus = scan(tmp_path / "audio")
    for number in range(5):
        (tmp_path / f"audio/{number}.wav").unlink()
    source = CropSource(corpus, Sampling(), seed=0)
    source.crops(range(100))
    with pytest.raises(UserError, match=r"of \d+ reads from .*No such file"):
        source.crops(range(100, 400))
    shutil.rmtree(tmp_path / "audio")
    with pytest.raises(UserError, match="64 sounds in a row could not be read"):
        CropSource(corpus, Sampling(), seed=0).crops([0])


def test_crops_may_have_another_length(folder: Path) -> None:
    source = CropSource(scan(folder), Sampling(unit="seconds"), seed=0, crop_samples=1_600)
    assert source.crops([0, 5]).shape == (2, 1_600)
    assert source.epoch_size == pytest.approx((sum(LENGTHS.values()) + 2.5) * 10, abs=2)
