"""How well `tasks check` tells copies of a recording from other recordings, and what it costs.

    export HEAR_BYOLA_TEST_DATA=...  # holds fsdd/recordings, the Free Spoken Digit Dataset
    python tests/bench/near_duplicates.py copies
    python tests/bench/near_duplicates.py scale 5000 FOLDER
    python tests/bench/near_duplicates.py nearest 12500 25000 50000

`copies` takes the demo tasks' recordings and the Free Spoken Digits. 50 of each set are copied in
many ways. For each way it prints the recall: the share of copies that `tasks check` would name, its
lowest value in a set, the share that the fingerprints let through, and the lowest and the median
likeness. Then it prints the likenesses of different recordings: of every clip and the five others
that are nearest (demo tasks: in another split, which shares no recording with its own).

`scale` writes a task of that many synthetic clips of 5 s at 16 kHz, 1 % of which are copies of
clips in another split, and checks it twice.

`nearest` times the only step that grows with the square of the number of clips: the choice of
candidates, for tasks of so many clips with 60 % of them in training.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.fft import irfft, rfft

from harness.core.memory import FileMemory
from tasks.check import check_task
from tasks.check.duplicates import CANDIDATE, CANDIDATES
from tasks.check.fingerprint import SIZE, fingerprint, from_text, nearest, to_text
from tasks.check.likeness import SAME, likeness
from tasks.demo import SAMPLE_RATE, demo_directory, demo_names

COPIED = 50
SECONDS = 5.0
BLOCK = 1 << 14  # libsndfile's Vorbis writer overflows its stack when it is given minutes at once

Recording = tuple[str, Path]  # split, file
Change = Callable[[np.ndarray, int], np.ndarray]


def coded(kind: str, coding: str, level: float | None = None) -> Change:
    def change(audio: np.ndarray, rate: int) -> np.ndarray:
        buffer = io.BytesIO()
        more = {} if level is None else {"compression_level": level}
        with soundfile.SoundFile(buffer, "w", rate, 1, coding, format=kind, **more) as file:
            for begin in range(0, len(audio), BLOCK):
                file.write(audio[begin : begin + BLOCK])
        buffer.seek(0)
        return soundfile.read(buffer, dtype="float32")[0]

    return change


def shifted(seconds: float) -> Change:
    def change(audio: np.ndarray, rate: int) -> np.ndarray:
        n = round(abs(seconds) * rate)
        if seconds < 0:
            return np.pad(audio[n:], (0, n))
        return np.pad(audio, (n, 0))[: len(audio)]

    return change


def through(rate_between: int) -> Change:
    return lambda audio, rate: soxr.resample(
        soxr.resample(audio, rate, rate_between), rate_between, rate
    )


def noisy(decibels: float) -> Change:
    def change(audio: np.ndarray, _: int) -> np.ndarray:
        noise = np.random.default_rng(0).standard_normal(len(audio))
        return audio + noise * np.sqrt(np.mean(audio**2)) * 10 ** (-decibels / 20)

    return change


def padded(seconds: float) -> Change:
    return lambda audio, rate: np.pad(audio, round(seconds * rate))


def mp3(level: float | None = None) -> Change:
    """MP3 at the sound's rate, or at 16 kHz where the writer does not take that rate."""
    code = coded("MP3", "MPEG_LAYER_III", level)

    def change(audio: np.ndarray, rate: int) -> np.ndarray:
        if rate >= 16_000:
            return code(audio, rate)
        return soxr.resample(code(soxr.resample(audio, rate, 16_000), 16_000), 16_000, rate)

    return change


def gsm(audio: np.ndarray, rate: int) -> np.ndarray:
    narrow = soxr.resample(audio, rate, 8000)
    return soxr.resample(coded("WAV", "GSM610")(narrow, 8000), 8000, rate)


def all_at_once(audio: np.ndarray, rate: int) -> np.ndarray:
    """Everything promised, each at a strength that the sound's content draws."""
    draw = np.random.default_rng(zlib.crc32(audio.tobytes()))
    audio = noisy(draw.uniform(20, 40))(audio, rate)
    if draw.random() < 0.5:
        audio = shifted(draw.uniform(-0.02, 0.02))(audio, rate)
    else:
        audio = np.pad(audio, [round(seconds * rate) for seconds in draw.uniform(0, 0.5, 2)])
    if draw.random() < 0.5:
        audio = through(11_025 if rate > 11_025 else 7000)(audio, rate)
    audio = (audio * 10 ** (draw.uniform(-20, 0) / 20)).astype(np.float32)
    codecs = [coded("OGG", "VORBIS"), coded("OGG", "OPUS"), mp3(), coded("WAV", "ALAW")]
    return codecs[draw.integers(len(codecs))](audio, rate)


PROMISED: dict[str, Change] = {
    "24 dB quieter, 16 bits": lambda audio, _: audio / 16,
    "20 ms later": shifted(0.02),
    "20 ms earlier, start cut": shifted(-0.02),
    "250 ms of silence before it": lambda audio, rate: np.pad(audio, (rate // 4, 0)),
    "500 ms of silence on both sides": padded(0.5),
    "resampled to 11,025 Hz and back": through(11_025),
    "white noise 30 dB below it": noisy(30),
    "white noise 20 dB below it": noisy(20),
    "Vorbis": coded("OGG", "VORBIS"),
    "Opus": coded("OGG", "OPUS"),
    "MP3": mp3(),
    "MP3 at nearly its lowest quality": mp3(0.9),
    "A-law, 8 bits": coded("WAV", "ALAW"),
    "IMA ADPCM, 4 bits": coded("WAV", "IMA_ADPCM"),
    "all at once, at random strengths": all_at_once,
}
BEYOND: dict[str, Change] = {
    "50 ms earlier, start cut": shifted(-0.05),
    "resampled to 6,000 Hz and back": through(6000),
    "white noise 10 dB below it": noisy(10),
    "Vorbis at its lowest quality": coded("OGG", "VORBIS", 1.0),
    "Opus at its lowest quality": coded("OGG", "OPUS", 1.0),
    "GSM 6.10": gsm,
}
CHANGES = PROMISED | BEYOND


def demo_recordings(name: str) -> list[Recording]:
    folder = demo_directory(name) / str(SAMPLE_RATE)
    return [(path.parent.name, path) for path in sorted(folder.glob("*/*.wav"))]


def spoken_digits() -> list[Recording]:
    folder = Path(os.environ["HEAR_BYOLA_TEST_DATA"]) / "fsdd" / "recordings"
    return [(path.name, path) for path in sorted(folder.glob("*.wav"))]


def prints(sounds: list[tuple[np.ndarray, int]]) -> np.ndarray:
    return np.stack([from_text(to_text(fingerprint(*sound))) for sound in sounds])


def copies(folder: Path) -> None:
    sets = {name: demo_recordings(name) for name in demo_names()}
    sets["spoken digits"] = spoken_digits()
    sounds = {
        name: [soundfile.read(path, dtype="float32") for _, path in recordings]
        for name, recordings in sets.items()
    }
    taken = {name: prints(heard) for name, heard in sounds.items()}
    print("| copy | recall | in the worst set | candidates | least likeness | median |")
    print("|---|---|---|---|---|---|")
    for change in CHANGES:
        near: dict[str, list[bool]] = {}
        alike: dict[str, list[float]] = {}
        for name, recordings in sets.items():
            chosen = np.random.default_rng(0).permutation(len(recordings))[:COPIED]
            near[name], alike[name] = [], []
            for i in chosen:
                audio, rate = sounds[name][i]
                copy = folder / "copy.wav"
                changed = np.clip(CHANGES[change](audio, rate), -1.0, 1.0)
                soundfile.write(copy, changed, rate, subtype="PCM_16")
                heard = prints([soundfile.read(copy, dtype="float32")])
                rows, similarity = nearest(heard, taken[name], CANDIDATES)
                near[name].append(i in rows[similarity >= CANDIDATE])
                alike[name].append(likeness(copy, recordings[i][1]))
        named = {name: np.array(near[name]) & (np.array(alike[name]) >= SAME) for name in sets}
        everything = np.concatenate(list(alike.values()))
        print(
            f"| {change} | {np.concatenate(list(named.values())).mean():.1%} | "
            f"{min(of_set.mean() for of_set in named.values()):.0%} | "
            f"{np.concatenate(list(near.values())).mean():.1%} | {everything.min():.2f} | "
            f"{np.median(everything):.2f} |",
            flush=True,
        )
    print("\n| different recordings | clips | compared | largest likenesses | named |")
    for name, recordings in sets.items():
        similarity = taken[name] @ taken[name].T
        splits = np.array([split for split, _ in recordings])
        similarity[splits[:, None] == splits[None, :]] = -1.0
        best = np.argsort(-similarity, axis=1)[:, :CANDIDATES]
        pairs = {tuple(sorted((i, j))) for i, row in enumerate(best.tolist()) for j in row}
        pairs = {(i, j) for i, j in pairs if similarity[i, j] >= CANDIDATE}
        found = sorted(likeness(recordings[i][1], recordings[j][1]) for i, j in sorted(pairs))
        largest = " ".join(f"{value:.2f}" for value in found[-3:])
        named = sum(value >= SAME for value in found)
        print(f"| {name} | {len(recordings)} | {len(pairs)} | {largest} | {named} |", flush=True)


@cache
def note(pitch: int, variant: int) -> np.ndarray:
    """A decaying note of a scale from 220 Hz: one of its harmonics' many phases."""
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    phases = np.random.default_rng([pitch, variant]).uniform(0, 2 * np.pi, 5)
    harmonics = np.arange(1, 6)
    tones = np.sin(2 * np.pi * 220 * 2 ** (pitch / 12) * np.outer(harmonics, t) + phases[:, None])
    return (0.1 * np.exp(-4 * t) * (tones / harmonics[:, None]).sum(0)).astype(np.float32)


def scene(seed: int) -> np.ndarray:
    """Six notes over noise that is louder at low frequencies: clips look much like each other."""
    random = np.random.default_rng(seed)
    n = round(SECONDS * SAMPLE_RATE)
    spectrum = rfft(random.standard_normal(n, np.float32))
    audio = 0.03 * irfft(spectrum / np.sqrt(1 + np.arange(len(spectrum)) / (100 * SECONDS)), n)
    for begin in random.integers(0, n - SAMPLE_RATE, 6):
        audio[begin : begin + SAMPLE_RATE] += note(random.integers(12), random.integers(16))
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)


def scale(n: int, folder: Path) -> None:
    directory = folder / f"scale-v1-{n}"
    planted = write_task(directory, n)
    for call in ("first", "second"):
        memory = FileMemory(folder / "heard.json")
        began, worked = time.monotonic(), time.process_time()
        found = check_task(directory, closely=True, memory=memory)
        memory.save()
        took, worked = time.monotonic() - began, time.process_time() - worked
        pairs = {(p.split, p.clip): p.other_clip for f in found for p in f.pairs}
        right = sum(pairs.get(place) == original for place, original in planted.items())
        others = len(set(pairs) - set(planted))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(
            f"{call} check: {took:.0f} s ({worked:.0f} s of processor time), {peak:.0f} MiB; "
            f"{right} of {len(planted)} copies found, {others} other clips named",
            flush=True,
        )


def time_nearest(n: int) -> None:
    made = np.random.default_rng(0).standard_normal((n, SIZE), np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    began, worked = time.monotonic(), time.process_time()
    for begin, end in ((n * 6 // 10, n * 8 // 10), (n * 8 // 10, n)):
        nearest(made[begin:end], made[:begin], CANDIDATES)
    took, worked = time.monotonic() - began, time.process_time() - worked
    print(f"{n} clips: {took:.0f} s ({worked:.0f} s of processor time)", flush=True)


def write_task(directory: Path, n: int) -> dict[tuple[str, str], str]:
    splits = {"train": n * 6 // 10, "valid": n * 2 // 10, "test": n - n * 8 // 10}
    kinds = [
        None,
        *(CHANGES[k] for k in ("24 dB quieter, 16 bits", "20 ms later", "Vorbis", "MP3")),
    ]
    planted = {}
    seed = 0
    for split, count in splits.items():
        target = directory / str(SAMPLE_RATE) / split
        target.mkdir(parents=True, exist_ok=True)
        names = []
        for i in range(count):
            audio, seed = scene(seed), seed + 1
            if split != "train" and i % 40 == 0:
                original = i // 40 * 2 + (split == "test")
                change = kinds[i // 40 % len(kinds)]
                audio = scene(original)
                audio = change(audio, SAMPLE_RATE) if change else audio
                planted[split, f"{split}{i:06d}.wav"] = f"train{original:06d}.wav"
            names.append(f"{split}{i:06d}.wav")
            soundfile.write(target / names[-1], audio, SAMPLE_RATE, subtype="PCM_16")
        truth = {name: [str(i % 4)] for i, name in enumerate(names)}
        (directory / f"{split}.json").write_text(json.dumps(truth))
    metadata = {
        "task_name": "scale",
        "version": "v1",
        "mode": str(n),
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest",
        "splits": list(splits),
        "sample_duration": SECONDS,
        "evaluation": ["top1_acc"],
    }
    (directory / "task_metadata.json").write_text(json.dumps(metadata))
    (directory / "labelvocabulary.csv").write_text("idx,label\n0,0\n1,1\n2,2\n3,3\n")
    return planted


if __name__ == "__main__":
    if sys.argv[1:2] == ["scale"] and len(sys.argv) == 4:
        scale(int(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1:2] == ["nearest"]:
        for number in sys.argv[2:]:
            time_nearest(int(number))
    elif sys.argv[1:2] == ["copies"]:
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            copies(Path(place))
    else:
        sys.exit(__doc__)
