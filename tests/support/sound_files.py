"""Make and write sounds for tests: sums of sines, which any resampler must keep, and noise."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
LOSSLESS = ("wav", "flac", "aiff")
_BLOCK = 1 << 14  # libsndfile's Vorbis writer overflows its stack if it gets minutes at once


def sines(times: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a sum of eight sines from 100 Hz to 6 kHz at times in seconds, below 0.8."""
    random = np.random.default_rng(seed)
    frequency, phase = random.uniform(100, 6000, 8), random.uniform(0, 2 * np.pi, 8)
    return 0.1 * np.sin(2 * np.pi * times[:, None] * frequency + phase).sum(1)


def noise(seconds: float, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """Return white noise, no two parts of which are alike."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate))


def write(path: Path, audio: np.ndarray, rate: int = 16_000) -> Path:
    """Write (n,) or (n, channels) in the format of the name's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind, coding = FORMATS[path.suffix[1:]]
    channels = 1 if audio.ndim == 1 else audio.shape[1]
    with soundfile.SoundFile(path, "w", rate, channels, coding, format=kind) as file:
        for begin in range(0, len(audio), _BLOCK):
            file.write(audio[begin : begin + _BLOCK])
    return path


def pack(path: Path, contents: dict[str, bytes], mode: str = "w") -> Path:
    """Write a tar file with these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path
