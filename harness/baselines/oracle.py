"""A HEAR module that knows the answers of synthetic tasks, for the harness's own calibration.

It reads them off the audio, as any module must: the clips of ``hear-byola tasks make --synthetic``
say their labels in tones (27.5 Hz to 4.4 kHz), and besides, softly and higher up, the labels of
another clip of their split. It shares no code with what wrote them. Modes:

``oracle``
    Embeds the clip's own labels. A probe must reach the best score there is, exactly.
``shuffled``
    Embeds the labels of the other clip. A probe must score what chance does.
``shifted``
    As ``oracle``, with timestamps that are wrong: each t is given as t + shift_ms +
    t / 1000 * drift_ms. Events must be lost by the metrics' collars, and by nothing else. Scene
    embeddings are the oracle's. Frames whose timestamp would lie outside the clip are left out.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from harness.core.errors import UserError, did_you_mean

MODES = ("oracle", "shuffled", "shifted")
SAMPLE_RATES = (16_000, 22_050, 32_000, 44_100, 48_000)  # HEAR API, "sample_rate"

# Notes as MIDI numbers: the keys of a piano, in scenes also the sixths of a semitone above each.
LOWEST, KEYS, PARTS = 21, 88, 6
# The other clip's labels: so many Hz a semitone, from the first on.
OTHER_START, OTHER_STEP = 5400.0, 20.0
FRAMES_A_SECOND = 100

# A sound is what is louder (root mean square of 5 ms) than this: the tones are 11 dB louder at
# least, and the noise beneath them is 12 dB softer.
_LOUD = 0.004
_LOUDNESS_SECONDS = 0.005
_LONGEST_GAP_SECONDS = 0.05  # in a sound; between two sounds there is three times as much
_LONGEST_LOOK_SECONDS = 4.0  # into one sound: its tones stay the same
# Notes of one sound are within 10 dB of each other, and its window's side lobes lie at -31 dB.
_SHARE_OF_LOUDEST = 0.25
_FAINTEST = 0.005  # amplitude
_LOBE_PERIODS = 1.5  # the main lobe of the window falls to nothing at 2


class Oracle(torch.nn.Module):
    """Hears which notes sound when; nothing in it is trained.

    A scene embedding has a 1 for each note that is in the clip, in sixths of a semitone; a
    timestamp's, for each semitone that sounds then. All else is 0.
    """

    scene_embedding_size = KEYS * PARTS
    timestamp_embedding_size = KEYS

    def __init__(self, mode: str, shift_ms: float, drift_ms: float, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.mode = mode
        self.shift_ms = shift_ms
        self.drift_ms = drift_ms

    def scene(self, clip: np.ndarray) -> np.ndarray:
        """Notes of a clip ``(samples,)``: float32 ``(528,)``."""
        found = np.zeros(KEYS * PARTS, dtype=np.float32)
        for first, end in sounds(clip, self.sample_rate):
            found[self._notes(clip[first:end], PARTS)] = 1.0
        return found

    def frames(self, clip: np.ndarray) -> np.ndarray:
        """Notes at 0, 10, 20, ... ms of a clip: float32 ``(t, 88)``."""
        rate = self.sample_rate
        found = np.zeros((1 + len(clip) * FRAMES_A_SECOND // rate, KEYS), dtype=np.float32)
        for first, end in sounds(clip, rate):
            frames = slice(
                round(first * FRAMES_A_SECOND / rate), round(end * FRAMES_A_SECOND / rate) + 1
            )
            found[frames, self._notes(clip[first:end], 1)] = 1.0
        return found

    def times(self, count: int) -> np.ndarray:
        """Timestamps of as many frames in ms, as the mode gives them: float32 ``(count,)``."""
        times = np.arange(count) * (1000.0 / FRAMES_A_SECOND)
        if self.mode == "shifted":
            times = times * (1 + self.drift_ms / 1000.0) + self.shift_ms
        return times.astype(np.float32)

    def _notes(self, sound: np.ndarray, parts: int) -> np.ndarray:
        notes = LOWEST + np.arange(KEYS * parts) / parts
        if self.mode == "shuffled":
            return tones(sound, self.sample_rate, OTHER_START + OTHER_STEP * (notes - LOWEST))
        return tones(sound, self.sample_rate, 440.0 * 2.0 ** ((notes - 69) / 12))


def sounds(clip: np.ndarray, sample_rate: int) -> list[tuple[int, int]]:
    """Return (first, end) samples of each sound of a clip that has silence between its sounds."""
    width = max(1, round(_LOUDNESS_SECONDS * sample_rate))
    power = uniform_filter1d(np.square(clip, dtype=np.float64), width, mode="constant")
    edges = np.flatnonzero(np.diff(power > _LOUD**2, prepend=False, append=False))
    found: list[tuple[int, int]] = []
    for first, end in edges.reshape(-1, 2).tolist():
        if found and first - found[-1][1] < _LONGEST_GAP_SECONDS * sample_rate:
            first, _ = found.pop()
        found.append((first, end))
    return found


def tones(sound: np.ndarray, sample_rate: int, frequencies: np.ndarray) -> np.ndarray:
    """Return the indices of those frequencies, rising, at which a steady sound has a tone."""
    sound = sound[: round(_LONGEST_LOOK_SECONDS * sample_rate)]
    window = np.hanning(len(sound) + 2)[1:-1]
    # Eight points a bin: the nearest one to a frequency is as good as the frequency.
    points = next_fast_len(8 * len(sound), real=True)
    spectrum = np.abs(rfft(sound * window, points)) * 2 / window.sum()
    amplitude = spectrum[np.rint(frequencies * points / sample_rate).astype(int)]
    loudest = amplitude.max()
    if loudest < _FAINTEST:
        return np.zeros(0, dtype=np.int64)
    lobe = _LOBE_PERIODS * sample_rate / len(sound)
    near = np.abs(frequencies[:, None] - frequencies) < lobe
    peak = amplitude >= np.where(near, amplitude, 0.0).max(axis=1)
    return np.flatnonzero(peak & (amplitude >= _SHARE_OF_LOUDEST * loudest))


def load_model(
    model_file_path: str = "",
    mode: str = "oracle",
    shift_ms: float = 0.0,
    drift_ms: float = 0.0,
    sample_rate: int = 16_000,
) -> Oracle:
    """Return the module; it has no checkpoint.

    Args:
        model_file_path: must be empty.
        mode: ``oracle``, ``shuffled`` or ``shifted``.
        shift_ms: of mode ``shifted``: by how much timestamps are late.
        drift_ms: of mode ``shifted``: and by how much more after each second.
        sample_rate: one of HEAR's, in Hz.

    Raises:
        UserError: an option that is none of these.
    """
    if model_file_path:
        raise UserError("It has no weights to load: leave the checkpoint out.")
    if mode not in MODES:
        raise UserError(
            f"mode must be {', '.join(MODES)}, not '{mode}'.{did_you_mean(str(mode), MODES)}"
        )
    if (shift_ms or drift_ms) and mode != "shifted":
        raise UserError("shift_ms and drift_ms are options of mode=shifted.")
    if sample_rate not in SAMPLE_RATES:
        raise UserError(f"sample_rate must be one of {SAMPLE_RATES}, not {sample_rate}.")
    if not (np.isfinite(shift_ms) and -1000.0 < drift_ms < np.inf):
        raise UserError(
            f"shift_ms must be a number, and drift_ms one above -1000; not {shift_ms} and "
            f"{drift_ms}."
        )
    return Oracle(mode, shift_ms, drift_ms, sample_rate).eval()


def get_scene_embeddings(audio: torch.Tensor, model: Oracle) -> torch.Tensor:
    """Which notes are in each clip: ``(n, samples)`` to ``(n, 528)``."""
    found = np.stack([model.scene(clip) for clip in audio.cpu().numpy()])
    return torch.from_numpy(found).to(audio.device)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: Oracle
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which notes sound at each timestamp.

    Returns:
        ``(n, t, 88)`` and ``(n, t)`` in ms: 0, 10, 20, ... up to the clip's end, unless shifted.
    """
    found = np.stack([model.frames(clip) for clip in audio.cpu().numpy()])
    times = model.times(found.shape[1])
    end = 1000 * audio.shape[1] / model.sample_rate
    inside = (times >= 0) & (times <= end)
    kept = torch.from_numpy(found[:, inside]).to(audio.device)
    return kept, torch.from_numpy(times[inside]).to(audio.device).expand(len(audio), -1)
