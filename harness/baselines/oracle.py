"""A HEAR module that decodes the labels of synthetic tasks, to check the harness itself.

The clips of ``hear-byola tasks make --synthetic`` contain their labels as tones (27.5 Hz to
4.4 kHz) and, softly and at higher frequencies, the labels of another clip of their split. The
module decodes them from the audio alone and shares no code with their generator. Modes:

``oracle``
    Embed the clip's own labels. A probe must reach exactly the best possible score.
``shuffled``
    Embed the labels of the other clip. A probe must have the score of chance.
``shifted``
    Like ``oracle``, but each timestamp t is reported as t + shift_ms + t / 1000 * drift_ms. Events
    must be missed because of the metrics' collars and for no other reason. Frames whose timestamp
    would be outside the clip are left out. Scene embeddings are those of ``oracle``.
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
# The other clip's labels, in Hz: the frequency of the first note, and the step per semitone.
OTHER_START, OTHER_STEP = 5400.0, 20.0
FRAMES_A_SECOND = 100

# A sound is louder than this (root mean square over 5 ms). Tones are at least 11 dB louder, and the
# noise is 12 dB softer.
_LOUD = 0.004
_LOUDNESS_SECONDS = 0.005
_LONGEST_GAP_SECONDS = 0.05  # within a sound; between two sounds it is three times as long
_LONGEST_LOOK_SECONDS = 4.0  # analysed part of a sound, whose tones are constant
# The notes of a sound are within 10 dB of each other, and the window's side lobes are at -31 dB.
_SHARE_OF_LOUDEST = 0.25
_FAINTEST = 0.005  # amplitude
_LOBE_PERIODS = 1.5  # the main lobe of the window ends at 2


class Oracle(torch.nn.Module):
    """Detects the notes of a clip; it has no trained parameters.

    A scene embedding is 1 for each note in the clip, in sixths of a semitone. A timestamp embedding
    is 1 for each semitone that sounds at that time. All other entries are 0.
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
        """Return the notes of a clip ``(samples,)``: float32 ``(528,)``."""
        found = np.zeros(KEYS * PARTS, dtype=np.float32)
        for first, end in sounds(clip, self.sample_rate):
            found[self._notes(clip[first:end], PARTS)] = 1.0
        return found

    def frames(self, clip: np.ndarray) -> np.ndarray:
        """Return the notes at 0, 10, 20, ... ms of a clip: float32 ``(t, 88)``."""
        rate = self.sample_rate
        found = np.zeros((1 + len(clip) * FRAMES_A_SECOND // rate, KEYS), dtype=np.float32)
        for first, end in sounds(clip, rate):
            frames = slice(
                round(first * FRAMES_A_SECOND / rate), round(end * FRAMES_A_SECOND / rate) + 1
            )
            found[frames, self._notes(clip[first:end], 1)] = 1.0
        return found

    def times(self, count: int) -> np.ndarray:
        """Return the timestamps of ``count`` frames in ms, by the mode: float32 ``(count,)``."""
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
    """Return the (first, end) samples of each sound of a clip; silence separates sounds."""
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
    """Return the indices of the frequencies, which must rise, at which a sound has a tone."""
    sound = sound[: round(_LONGEST_LOOK_SECONDS * sample_rate)]
    window = np.hanning(len(sound) + 2)[1:-1]
    # With eight points per bin, the point nearest to a frequency is close enough to it.
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
    """Return the module, which has no checkpoint.

    Args:
        model_file_path: must be empty.
        mode: ``oracle``, ``shuffled`` or ``shifted``.
        shift_ms: delay of timestamps, for mode ``shifted``.
        drift_ms: further delay per second of audio, for mode ``shifted``.
        sample_rate: in Hz, one of HEAR's sample rates.

    Raises:
        UserError: an option has a value that is not allowed.
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
            f"shift_ms must be a finite number and drift_ms a number above -1000, not {shift_ms} "
            f"and {drift_ms}."
        )
    return Oracle(mode, shift_ms, drift_ms, sample_rate).eval()


def get_scene_embeddings(audio: torch.Tensor, model: Oracle) -> torch.Tensor:
    """Return the notes in each clip, ``(n, 528)``, of audio ``(n, samples)``."""
    found = np.stack([model.scene(clip) for clip in audio.cpu().numpy()])
    return torch.from_numpy(found).to(audio.device)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: Oracle
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the notes at each timestamp.

    Returns:
        ``(n, t, 88)`` and ``(n, t)`` in ms: 0, 10, 20, ... up to the clip's end, unless shifted.
    """
    found = np.stack([model.frames(clip) for clip in audio.cpu().numpy()])
    times = model.times(found.shape[1])
    end = 1000 * audio.shape[1] / model.sample_rate
    inside = (times >= 0) & (times <= end)
    kept = torch.from_numpy(found[:, inside]).to(audio.device)
    return kept, torch.from_numpy(times[inside]).to(audio.device).expand(len(audio), -1)
