"""Crops of audio for pretraining: an endless stream in which crop i is a function of (seed, i)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hear_byola.audiofile import BadFile
from hear_byola.errors import UserError
from hear_byola.pretraining.corpus import AudioCorpus
from hear_byola.pretraining.sampling import CROP_SAMPLES, Draws, Sampling
from hear_byola.pretraining.sound import read_stretch, samples_at_16k

__all__ = ["CROP_SAMPLES", "CropSource", "Sampling", "check_audible"]

_PLACES = 2  # tries in one sound before another one is drawn
_TRIES = 64  # then the loudest crop is taken as it is: a run does not stop for a quiet corner
_READS_BEFORE_JUDGING = 200
_FAILURES_BORNE = 0.1  # of the reads


class CropSource:
    """Crops by position, each read alone; a map-style data set whose index is a batch.

    Crop i is a pure function of the corpus, the sampling, the seed and i: it matters neither in
    which order, in which batch nor by which process it is read. So a resumed run, and each rank
    of a distributed one, needs to know positions only. With unit "clips" and nothing balanced,
    the positions from k n to (k + 1) n - 1 go through all n sounds once.

    For a `torch.utils.data.DataLoader`, with `batch_size=None` and a sampler that yields lists of
    positions.

    Args:
        corpus: what `scan` returned.
        sampling: how often which sound is drawn.
        seed: 0 to 2**63 - 1.
        crop_samples: length of a crop at 16 kHz.

    Attributes:
        epoch_size: crops in an epoch (see `Sampling.unit`).

    Raises:
        ValueError: a seed out of range, or a sampling that does not fit the corpus.
    """

    def __init__(
        self, corpus: AudioCorpus, sampling: Sampling, seed: int, crop_samples: int = CROP_SAMPLES
    ) -> None:
        self.corpus = corpus
        self.sampling = sampling
        self.crop_samples = crop_samples
        self._draws = Draws(corpus, sampling, seed, crop_samples)
        self._lengths = samples_at_16k(corpus.frames, corpus.rate)
        self._floor = _power(sampling.silence_db)
        self._reads = 0
        self._failures = 0
        self._named: set[int] = set()

    @property
    def epoch_size(self) -> int:
        """Crops in an epoch."""
        return self._draws.epoch_size

    @property
    def items(self) -> np.ndarray:
        """The sounds that crops are taken from: indices into the corpus."""
        return self._draws.items

    def crops(self, positions: Sequence[int]) -> Tensor:
        """Crops of the stream.

        Args:
            positions: any, from 0 on.

        Returns:
            float32 (len(positions), crop_samples), mono, 16 kHz, in [-1, 1]. A shorter sound is
            at the centre, with zeros at both ends; of a longer one a random stretch is taken.

        Raises:
            UserError: more than a tenth of this process's reads failed, of 200 at least.

        Warns:
            UserWarning: a file cannot be read; another sound is drawn in its place.
        """
        batch = np.zeros((len(positions), self.crop_samples), np.float32)
        for row, position in zip(batch, positions):
            stretch, _ = self._draw(int(position))
            begin = (self.crop_samples - len(stretch)) // 2
            row[begin : begin + len(stretch)] = stretch
        return torch.from_numpy(batch)

    __getitem__ = crops

    def is_audible(self, position: int) -> bool:
        """Whether a crop of the stream is above the level of silence, after all tries."""
        return self._draw(position)[1]

    def _draw(self, position: int) -> tuple[np.ndarray, bool]:
        """A crop before it is padded, and whether it is no silence."""
        item, random = self._draws.item(position), self._draws.random(position)
        kind = int(self.corpus.kind[item])
        loudest, level = None, -1.0
        places = 0
        for _ in range(_TRIES):
            stretch = self._read(item, random)
            places += 1
            if stretch is not None:
                power = float(np.square(stretch).mean())
                if power > self._floor:
                    return stretch, power > 0
                if power > level:
                    loudest, level = stretch, power
            if stretch is None or places == _PLACES or self._lengths[item] <= self.crop_samples:
                item, places = self._draws.another(kind, random), 0
        if loudest is None:
            raise UserError(
                f"{_TRIES} sounds in a row could not be read, the last of them "
                f"{self.corpus.name(item)}: is the audio in {self.corpus.root} still there?"
            )
        return loudest, False

    def _read(self, item: int, random: np.random.Generator) -> np.ndarray | None:
        """A random stretch of a sound, at most a crop long; None where it cannot be read."""
        count = min(int(self._lengths[item]), self.crop_samples)
        start = int(random.integers(int(self._lengths[item]) - count + 1))
        self._reads += 1
        try:
            source = self.corpus.open(item)
            try:
                return read_stretch(source, start, count)
            finally:
                if hasattr(source, "close"):
                    source.close()
        except BadFile as error:
            self._note_failure(item, str(error))
        except OSError as error:
            self._note_failure(item, f"cannot be opened ({error.strerror}).")
        return None

    def _note_failure(self, item: int, reason: str) -> None:
        self._failures += 1
        name = self.corpus.name(item)
        if item not in self._named:
            self._named.add(item)
            warnings.warn(
                f"{name} {reason} Another sound is drawn in its place.", UserWarning, stacklevel=2
            )
        if self._reads >= _READS_BEFORE_JUDGING and self._failures > _FAILURES_BORNE * self._reads:
            raise UserError(
                f"{self._failures} of {self._reads} reads from {self.corpus.root} failed, the last "
                f"one of {name}, which {reason} Is the audio still there, and as it was scanned?"
            )


def check_audible(source: CropSource, draws: int = 200) -> None:
    """Draw up to `draws` crops until one is no silence.

    Raises:
        UserError: all are silence: digital silence, or below the sampling's `silence_db`.
    """
    if not any(source.is_audible(position) for position in range(draws)):
        level = source.sampling.silence_db
        below = "" if level is None else f" below {level:g} dB"
        raise UserError(
            f"{source.corpus.root} seems to hold nothing but silence{below}: no crop that was drawn"
            " is louder."
        )


def _power(level_db: float | None) -> float:
    """Mean square of a level; what is not above it is silence. Without one, none is (-1)."""
    return -1.0 if level_db is None else 10 ** (level_db / 10)
