"""Which sound each crop of an endless stream is taken from.

The stream is cut into epochs of N crops. In an epoch, sounds are drawn by systematic sampling: the
sounds are laid side by side on the unit interval, each as wide as its share, and the N points
(k + u) / N, with one random u an epoch, pick one sound each. Every sound is thus drawn N times its
share, rounded down or up, and an epoch misses no kind by chance. Equal shares and N = n sounds
give each sound once. The order of the N draws is shuffled.

All randomness is counter-based (Philox), keyed by the seed and a position or an epoch: any draw can
be computed alone, in any order, on any worker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hear_byola.frontend import SAMPLE_RATE
from hear_byola.pretraining.corpus import AudioCorpus

CROP_SAMPLES = 15_200
"""0.95 s, what the encoder sees in pretraining (arXiv 2103.06695)."""

_FRACTION, _EPOCH, _CROP = range(3)  # purposes of random numbers, which must not meet
_EPOCHS_KEPT = 2  # a batch may reach over the end of an epoch
# The random shift is a multiple of 2**-20 plus a half, so that no point falls on the edge between
# two sounds of equal shares: rounding cannot draw one twice and the other never.
_SHIFTS = 1 << 20
_NEAREST = 1e-12  # keeps a point between two edges from being rounded onto the upper one


@dataclass(frozen=True)
class Sampling:
    """How often which sound is drawn.

    Attributes:
        balance: a kind's share of the crops is proportional to its amount to this power: 1 leaves
            it as it is, 0.5 takes the square root, 0 makes all kinds equal.
        shares: shares of the kinds instead, in proportion; each kind must be named, with 0 it is
            left out.
        unit: what an amount is. "clips": the number of sounds, drawn equally often, whatever their
            length; an epoch has as many crops as sounds (the paper). "seconds": the length, and
            longer sounds are drawn more often; an epoch has as many crops as fit into all sounds.
        silence_db: a crop whose RMS is below this level (dB relative to full scale 1.0, so at
            most 0) is drawn again; None takes all.
        fraction: of the sounds of each kind that are used at all, above 0 to 1; chosen by the seed,
            and a smaller fraction is part of a larger one.

    Raises:
        ValueError: a value out of range.
    """

    balance: float = 1.0
    shares: Mapping[str, float] | None = None
    unit: Literal["clips", "seconds"] = "clips"
    silence_db: float | None = None
    fraction: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.balance) and self.balance >= 0):
            raise ValueError(f"balance={self.balance}: a number from 0 (equal) to 1 (natural).")
        if self.unit not in ("clips", "seconds"):
            raise ValueError(f"unit={self.unit!r}: 'clips' or 'seconds'.")
        if self.silence_db is not None and not self.silence_db <= 0:
            raise ValueError(f"silence_db={self.silence_db}: a level up to 0 dB, as -60, or none.")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction={self.fraction}: above 0, at most 1.")
        for kind, share in (self.shares or {}).items():
            if not (math.isfinite(share) and share >= 0):
                raise ValueError(f"shares: {kind!r} has {share}; a number from 0 on is needed.")


def generator(seed: int, purpose: int, position: int) -> np.random.Generator:
    """Random numbers that depend on these three alone."""
    # The purpose goes into the counter's highest word: 2**192 numbers lie between two purposes.
    bits = np.random.Philox(key=[seed, position], counter=[0, 0, 0, purpose])
    return np.random.Generator(bits)


class Draws:
    """The sounds of a stream of crops, by position.

    Args:
        corpus: the sounds.
        sampling: how often which is drawn.
        seed: 0 to 2**63 - 1.
        crop_samples: length of a crop at 16 kHz.

    Attributes:
        epoch_size: crops in an epoch.
        items: the sounds that can be drawn, in order of their kinds, int64.

    Raises:
        ValueError: a seed out of range; shares that do not fit the corpus's kinds; nothing left
            with a share above 0.
    """

    def __init__(
        self, corpus: AudioCorpus, sampling: Sampling, seed: int, crop_samples: int = CROP_SAMPLES
    ) -> None:
        if not 0 <= seed < 1 << 63:
            raise ValueError(f"seed={seed}: 0 to 2**63 - 1.")
        self._seed = seed
        items = _fraction_of(corpus, sampling.fraction, seed)
        shares = item_shares(corpus, sampling, items)
        self.items, shares = items[shares > 0], shares[shares > 0]
        if sampling.unit == "clips":
            self.epoch_size = len(self.items)
        else:
            seconds = float(corpus.durations()[self.items].sum())
            self.epoch_size = max(1, round(seconds * SAMPLE_RATE / crop_samples))
        edges = np.cumsum(shares / shares.max())
        self._edges = np.concatenate([[0.0], edges * (self.epoch_size / edges[-1])])
        kinds = np.arange(len(corpus.kinds) + 1)
        self._bounds = np.searchsorted(corpus.kind[self.items], kinds)
        self._epochs: dict[int, tuple[float, np.ndarray]] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_epochs": {}}  # quicker to make again than to send to workers

    def item(self, position: int) -> int:
        """The sound that a crop of the stream is taken from: an index into the corpus."""
        epoch, slot = divmod(position, self.epoch_size)
        shift, order = self._epoch(epoch)
        return self._at(int(order[slot]) + shift)

    def random(self, position: int) -> np.random.Generator:
        """Random numbers for all else about a crop of the stream."""
        return generator(self._seed, _CROP, position)

    def another(self, kind: int, random: np.random.Generator) -> int:
        """A sound of the same kind, by the shares, where a crop must be drawn again.

        Staying with the kind keeps the kinds' shares what they should be.
        """
        low, high = self._edges[self._bounds[kind]], self._edges[self._bounds[kind + 1]]
        return self._at(low + (high - low) * (1 - _NEAREST) * random.random())

    def _at(self, point: float) -> int:
        """The sound at a point between 0 and the epoch's size."""
        return int(self.items[np.searchsorted(self._edges, point, side="right") - 1])

    def _epoch(self, epoch: int) -> tuple[float, np.ndarray]:
        if epoch not in self._epochs:
            while len(self._epochs) >= _EPOCHS_KEPT:
                del self._epochs[next(iter(self._epochs))]
            random = generator(self._seed, _EPOCH, epoch)
            shift = (int(random.integers(_SHIFTS)) + 0.5) / _SHIFTS
            order = random.permutation(np.arange(self.epoch_size, dtype=np.uint32))
            self._epochs[epoch] = shift, order
        return self._epochs[epoch]


def item_shares(corpus: AudioCorpus, sampling: Sampling, items: np.ndarray) -> np.ndarray:
    """How often each of some sounds is drawn, in proportion: float64, at least 0.

    Raises:
        ValueError: `shares` does not fit the corpus's kinds, or nothing has a share above 0.
    """
    kind = corpus.kind[items]
    amount = corpus.weight[items].astype(np.float64)
    if sampling.unit == "seconds":
        amount *= corpus.durations()[items]
    amounts = np.bincount(kind, amount, len(corpus.kinds))
    if sampling.shares is None:
        wanted = np.where(amounts > 0, amounts**sampling.balance, 0.0)
    else:
        wanted = _explicit_shares(corpus.kinds, sampling.shares)
    shares = (
        amount * np.divide(wanted, amounts, out=np.zeros_like(amounts), where=amounts > 0)[kind]
    )
    if not shares.any():
        raise ValueError("nothing is left to draw: all shares or weights are 0.")
    return shares


def _explicit_shares(kinds: tuple[str, ...], shares: Mapping[str, float]) -> np.ndarray:
    unknown, missing = sorted(set(shares) - set(kinds)), sorted(set(kinds) - set(shares))
    if unknown or missing:
        raise ValueError(
            f"shares must name the kinds of the audio, each once (0 leaves one out): unknown are "
            f"{unknown}, missing are {missing}."
        )
    return np.array([shares[kind] for kind in kinds], np.float64)


def _fraction_of(corpus: AudioCorpus, fraction: float, seed: int) -> np.ndarray:
    """A part of each kind's sounds, at least one: indices, by kind and then ascending."""
    by_kind = np.argsort(corpus.kind, kind="stable")
    if fraction == 1:
        return by_kind
    chance = generator(seed, _FRACTION, 0).random(len(corpus))
    shuffled = np.lexsort((chance, corpus.kind))
    counts = np.bincount(corpus.kind, minlength=len(corpus.kinds))
    rank = np.arange(len(corpus)) - np.repeat(np.cumsum(counts) - counts, counts)
    quota = np.maximum(np.rint(fraction * counts), 1)
    chosen = np.sort(shuffled[rank < np.repeat(quota, counts)])
    return chosen[np.argsort(corpus.kind[chosen], kind="stable")]
