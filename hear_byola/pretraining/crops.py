"""The endless stream of crops for pretraining; crop i depends only on the seed and i."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hear_byola.core.audiofile import BadFile
from hear_byola.core.errors import UserError
from hear_byola.pretraining.corpus import AudioCorpus
from hear_byola.pretraining.sampling import CROP_SAMPLES, Draws, Sampling
from hear_byola.pretraining.sound import read_stretch, samples_at_16k

__all__ = ["CROP_SAMPLES", "CropSource", "Sampling", "check_audible"]

_PLACES = 2  # tries in one sound before another sound is drawn
_TRIES = 64  # tries before the loudest crop so far is used
_READS_BEFORE_JUDGING = 200
_FAILURES_BORNE = 0.1  # largest share of failed reads


class CropSource:
    """Crops by position; a map-style data set whose index is a batch of positions.

    Crop i is a pure function of the corpus, the sampling, the seed and i. Order, batch and process
    do not matter, so a resumed run and each rank of a distributed run need only positions. With
    unit "clips" and balance 1, positions k n to (k + 1) n - 1 contain each of the n sounds once.

    Use it in a `torch.utils.data.DataLoader` with `batch_size=None` and a sampler that yields lists
    of positions.

    Args:
        corpus: result of `scan`.
        sampling: frequencies of the sounds.
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
        """Indices into the corpus of the sounds that crops are taken from."""
        return self._draws.items

    def crops(self, positions: Sequence[int]) -> Tensor:
        """Return crops of the stream.

        Args:
            positions: positions in the stream, 0 or more.

        Returns:
            float32 (len(positions), crop_samples), mono, 16 kHz, in [-1, 1]. A shorter sound is
            centred and padded with zeros; of a longer sound, a random stretch is taken.

        Raises:
            UserError: more than a tenth of at least 200 reads of this process failed.

        Warns:
            UserWarning: a file cannot be read; another sound is drawn instead.
        """
        batch = np.zeros((len(positions), self.crop_samples), np.float32)
        for row, position in zip(batch, positions):
            stretch, _ = self._draw(int(position))
            begin = (self.crop_samples - len(stretch)) // 2
            row[begin : begin + len(stretch)] = stretch
        return torch.from_numpy(batch)

    __getitem__ = crops

    def is_audible(self, position: int) -> bool:
        """Return whether a crop of the stream is above the level of silence, after all tries."""
        return self._draw(position)[1]

    def _draw(self, position: int) -> tuple[np.ndarray, bool]:
        """Return a crop before padding, and whether it is audible."""
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
                f"{_TRIES} sounds in a row could not be read; the last was "
                f"{self.corpus.name(item)}. Check that {self.corpus.root} still has its audio."
            )
        return loudest, False

    def _read(self, item: int, random: np.random.Generator) -> np.ndarray | None:
        """Return a random stretch of a sound, at most a crop long; None if it cannot be read."""
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
                f"{name} {reason} Another sound is drawn instead.", UserWarning, stacklevel=2
            )
        if self._reads >= _READS_BEFORE_JUDGING and self._failures > _FAILURES_BORNE * self._reads:
            raise UserError(
                f"{self._failures} of {self._reads} reads from {self.corpus.root} failed. The last "
                f"was of {name}, which {reason} Check that the audio is as it was scanned."
            )


def check_audible(source: CropSource, draws: int = 200) -> None:
    """Check that at least one of `draws` crops is audible.

    Raises:
        UserError: all are digital silence, or below the sampling's `silence_db`.
    """
    if not any(source.is_audible(position) for position in range(draws)):
        level = source.sampling.silence_db
        below = "" if level is None else f" below {level:g} dB"
        raise UserError(
            f"{source.corpus.root} seems to contain only silence{below}: none of {draws} crops is "
            "louder."
        )


def _power(level_db: float | None) -> float:
    """Return the mean square of a level; -1, below every crop, for none."""
    return -1.0 if level_db is None else 10 ** (level_db / 10)
