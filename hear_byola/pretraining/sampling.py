"""Choose the sound of each crop of the endless stream.

The stream is divided into epochs of N crops. Within an epoch, sounds are drawn by systematic
sampling: the unit interval is divided in proportion to the sounds' shares, and each of the N points
(k + u) / N, with one random u an epoch, selects a sound. So a sound is drawn N times its share,
rounded down or up. With equal shares and N sounds, each is drawn once. The N draws are shuffled.

All randomness is counter-based (Philox) and keyed by the seed and a position or an epoch, so any
draw can be computed alone, in any order, by any worker.
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
"""Samples of a crop: 0.95 s, as in the paper (arXiv 2103.06695)."""

_FRACTION, _EPOCH, _CROP = range(3)  # purposes of random numbers, each with a stream of its own
_EPOCHS_KEPT = 2  # a batch may contain the end of one epoch and the beginning of the next
# The random shift is an odd multiple of 2**-21. So no point falls on the edge between two sounds of
# equal shares, where rounding could draw one twice and the other never.
_SHIFTS = 1 << 20
_NEAREST = 1e-12  # prevents rounding of a point to the upper edge


@dataclass(frozen=True)
class Sampling:
    """Frequencies of the sounds in the stream.

    Attributes:
        balance: a kind's share of the crops is proportional to its amount to this power: 1 keeps
            the corpus's shares, 0.5 takes square roots, 0 makes all kinds equal.
        shares: relative shares of the kinds, instead of `balance`; every kind must be named, and
            0 leaves a kind out.
        unit: unit of an amount. "clips": number of sounds; each is drawn equally often, and an
            epoch has as many crops as sounds (the paper). "seconds": length; longer sounds are
            drawn more often, and an epoch has as many crops as fit into all sounds.
        silence_db: a crop whose RMS is below this level (dB relative to full scale 1.0, at most 0)
            is drawn again; None keeps all.
        fraction: share of each kind's sounds that is used, above 0 to 1; chosen by the seed. A
            smaller fraction is a subset of a larger one.

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
    """Return random numbers that depend on these three numbers alone."""
    # The purpose is the counter's highest word, so streams are 2**192 numbers apart.
    bits = np.random.Philox(key=[seed, position], counter=[0, 0, 0, purpose])
    return np.random.Generator(bits)


class Draws:
    """Sounds of the stream of crops by position.

    Args:
        corpus: the sounds.
        sampling: frequencies of the sounds.
        seed: 0 to 2**63 - 1.
        crop_samples: length of a crop at 16 kHz.

    Attributes:
        epoch_size: crops in an epoch.
        items: the sounds that can be drawn, in order of their kinds, int64.

    Raises:
        ValueError: a seed out of range; shares that do not match the corpus's kinds; no sound
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
        return {**self.__dict__, "_epochs": {}}  # faster to compute again than to send to workers

    def item(self, position: int) -> int:
        """Return the sound of a crop of the stream: an index into the corpus."""
        epoch, slot = divmod(position, self.epoch_size)
        shift, order = self._epoch(epoch)
        return self._at(int(order[slot]) + shift)

    def random(self, position: int) -> np.random.Generator:
        """Return random numbers for the other draws of a crop."""
        return generator(self._seed, _CROP, position)

    def another(self, kind: int, random: np.random.Generator) -> int:
        """Draw another sound of the same kind, for a crop that must be drawn again.

        Drawing from the same kind preserves the shares of the kinds.
        """
        low, high = self._edges[self._bounds[kind]], self._edges[self._bounds[kind + 1]]
        return self._at(low + (high - low) * (1 - _NEAREST) * random.random())

    def _at(self, point: float) -> int:
        """Return the sound at a point between 0 and the epoch's size."""
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
    """Return the relative frequency of each item: float64, at least 0.

    Raises:
        ValueError: `shares` does not match the corpus's kinds, or no item has a share above 0.
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
        raise ValueError("no sound can be drawn: all shares or weights are 0.")
    return shares


def _explicit_shares(kinds: tuple[str, ...], shares: Mapping[str, float]) -> np.ndarray:
    unknown, missing = sorted(set(shares) - set(kinds)), sorted(set(kinds) - set(shares))
    if unknown or missing:
        raise ValueError(
            f"shares must name every kind of the audio (0 leaves a kind out). Unknown are "
            f"{unknown}, missing are {missing}."
        )
    return np.array([shares[kind] for kind in kinds], np.float64)


def _fraction_of(corpus: AudioCorpus, fraction: float, seed: int) -> np.ndarray:
    """Return a share of each kind's sounds, at least one: indices by kind, then ascending."""
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
