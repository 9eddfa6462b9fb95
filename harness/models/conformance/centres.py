"""Measure the offset of a module's timestamps from the sound, with clicks in silence.

A click at a known time changes the embeddings of the timestamps whose window contains it. Over many
clicks, the lag ``timestamp - click`` of the changed embeddings is centred on zero if timestamps are
the true centres of their windows, and on minus half a window if they are the windows' starts. The
offset is the weighted median of the lags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Long enough to affect every mel band at any hop, and short compared with all common windows.
CLICK_SECONDS = 0.002
CLICK_AMPLITUDE = 0.9
# Responses below this share of the strongest response to a click are ignored: they come from the
# edges of windows, or from attention and normalisation over the whole clip.
_ANSWER_FLOOR = 0.5


@dataclass(frozen=True)
class Lag:
    """The distribution of a module's response around clicks, in ms.

    Attributes:
        offset: median of ``timestamp - click``, weighted by the strength of the response; 0 for
            true centres.
        spread: distance of the weighted quartiles.
        hop: mean distance of the timestamps.
    """

    offset: float
    spread: float
    hop: float

    @property
    def allowed(self) -> float:
        """The largest offset that counts as measurement error, in ms.

        It is larger than the offsets of random encoders with true centres. A timestamp at the start
        of its window is off by half a window: at least half a hop if windows do not overlap, and
        about one spread if they do.
        """
        return max(0.25 * self.hop, 0.2 * self.spread)


def click_train(
    sample_rate: int, segment_seconds: float, n_clicks: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return silence with one click in the middle half of each segment.

    The positions within the segments are stratified, so that clicks occur at all phases of a hop.

    Returns:
        ``(samples,)`` float32 in [-0.9, 0.9], and the clicks' centres ``(n_clicks,)`` in ms.
    """
    rng = np.random.default_rng(seed)
    length = max(1, round(CLICK_SECONDS * sample_rate))
    click = CLICK_AMPLITUDE * rng.choice([-1.0, 1.0], size=length)
    places = 0.25 + 0.5 * (rng.permutation(n_clicks) + rng.random(n_clicks)) / n_clicks
    starts = np.round((np.arange(n_clicks) + places) * segment_seconds * sample_rate).astype(int)
    audio = np.zeros(round(n_clicks * segment_seconds * sample_rate), dtype=np.float32)
    for start in starts:
        audio[start : start + length] = click
    return audio, 1000.0 * (starts + (length - 1) / 2) / sample_rate


def measure_lag(embeddings: np.ndarray, timestamps: np.ndarray, clicks: np.ndarray) -> Lag | None:
    """Return the offset of timestamps from clicks in silence.

    A timestamp's response is the distance of its embedding from the median embedding, which is that
    of silence if clicks are rare.

    Args:
        embeddings: ``(t, size)``.
        timestamps: ``(t,)`` in ms, rising.
        clicks: ``(n,)`` in ms.

    Returns:
        The lag, or None if no embedding responds to the clicks, or embeddings all over the clip do.
    """
    embeddings = embeddings.astype(np.float64)
    timestamps = timestamps.astype(np.float64)
    answer = np.linalg.norm(embeddings - np.median(embeddings, axis=0), axis=1)
    answer = np.maximum(answer - np.median(answer), 0.0)
    if len(timestamps) < 2 or answer.max() <= 1e-6 * np.abs(embeddings).max():
        return None
    nearest = np.abs(timestamps[:, None] - clicks).argmin(axis=1)
    strongest = np.zeros(len(clicks))
    np.maximum.at(strongest, nearest, answer)
    answer = answer / np.maximum(strongest[nearest], np.finfo(float).tiny)
    answer[answer < _ANSWER_FLOOR] = 0.0
    lag = timestamps - clicks[nearest]
    order = np.argsort(lag)
    lag = lag[order]
    # Integrate over the lag instead of summing, because the observed lags are not evenly spaced.
    weight = answer[order] * np.gradient(lag)
    middle_of_mass = (np.cumsum(weight) - weight / 2) / weight.sum()
    low, middle, high = np.interp([0.25, 0.5, 0.75], middle_of_mass, lag)
    if high - low > np.diff(clicks).mean() / 4:
        return None
    return Lag(float(middle), float(high - low), float(np.diff(timestamps).mean()))
