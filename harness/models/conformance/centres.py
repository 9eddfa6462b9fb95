"""Where a module's timestamps really are, measured with clicks in silence.

A click of known time changes the embeddings of the timestamps whose window it falls into. Over
many clicks, the lag ``timestamp - click`` at which a module answers is spread about zero when
timestamps are the true centres of what their embeddings describe, and about minus half a window
when they are its start. The weighted median of the lags is that offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Long enough to reach every mel band and any hop, short beside every window in use.
CLICK_SECONDS = 0.002
CLICK_AMPLITUDE = 0.9
# Weaker answers, beside the strongest to the same click, are the edges of windows, or what
# attention and normalisation over the whole clip spread over all frames.
_ANSWER_FLOOR = 0.5


@dataclass(frozen=True)
class Lag:
    """How a module's answer to clicks lies about them, in ms.

    Attributes:
        offset: median of ``timestamp - click``, weighted by the answer's strength; 0 for true
            centres.
        spread: between the weighted quartiles.
        hop: mean spacing of the timestamps.
    """

    offset: float
    spread: float
    hop: float

    @property
    def allowed(self) -> float:
        """The largest offset that measurement alone can leave, in ms.

        Wider than what random encoders with true centres leave. A timestamp at the start of its
        window is off by half a window: at least half a hop where windows do not overlap, and about
        one spread where they do.
        """
        return max(0.25 * self.hop, 0.2 * self.spread)


def click_train(
    sample_rate: int, segment_seconds: float, n_clicks: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Make silence with one click in the middle half of each segment.

    The places within the segments are stratified, so that the clicks meet a hop at all phases.

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
    """Measure the offset of timestamps against clicks in silence.

    A timestamp's answer is the distance of its embedding from the median embedding, which is that
    of silence when clicks are rare.

    Args:
        embeddings: ``(t, size)``.
        timestamps: ``(t,)`` in ms, rising.
        clicks: ``(n,)`` in ms.

    Returns:
        The lag, or None when clicks are not answered where they are: not at all, or by timestamps
        all over the clip.
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
    # An integral over the lag, not a sum: the lags that happen to occur are not evenly spread.
    weight = answer[order] * np.gradient(lag)
    middle_of_mass = (np.cumsum(weight) - weight / 2) / weight.sum()
    low, middle, high = np.interp([0.25, 0.5, 0.75], middle_of_mass, lag)
    if high - low > np.diff(clicks).mean() / 4:
        return None
    return Lag(float(middle), float(high - low), float(np.diff(timestamps).mean()))
