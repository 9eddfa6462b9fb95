"""From audio to a stream of crops with its statistics and its description."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.errors import UserError
from hear_byola.frontend import LogMel
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.corpus import AudioCorpus, scan, tell_skipped
from hear_byola.pretraining.crops import CropSource, Sampling, check_audible
from hear_byola.pretraining.state import replacing

STATISTICS_CROPS = 10_000
"""How many crops the statistics are taken from, at the most (arXiv 2103.06695, section IV-A)."""

_PIECE = 16
_NAMED = 5
_KINDS = 8  # as many are all named
_LINE_EVERY = 5.0  # seconds between lines about the scan


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of the corpus's log-mel, over all bins of many crops."""

    mean: float
    std: float


@dataclass(frozen=True)
class Prepared:
    """Audio that is ready to be trained on.

    Attributes:
        source: the crops.
        statistics: of their log-mel.
        description: kinds and their lengths, for people.
        sha256: of the corpus's names, sizes and lengths.
    """

    source: CropSource
    statistics: Statistics
    description: str
    sha256: str


def prepare(
    audio: Path,
    config: PretrainConfig,
    record: Path,
    say: Callable[[str], None],
    begun: bool = False,
) -> Prepared:
    """Scan the audio, and take the statistics of its log-mel.

    Args:
        audio: a folder, list or tar file, see `corpus.scan`.
        config: the run.
        record: JSON file that keeps what was found; where it is of the same corpus and crops,
            nothing is measured again.
        say: told what goes on.
        begun: whether a run on what was recorded is to go on.

    Raises:
        UserError: nothing to train on, only silence, shares that do not fit the audio, other
            audio than the run began with.
    """
    corpus = find_sounds(audio, say)
    known = _read(record)
    if begun and known and known["sha256"] != corpus.sha256:
        raise UserError(
            f"{record.parent} holds a run on other audio ({known['description']}; now it is "
            f"{len(corpus)} sounds). Give it the same audio to go on, or another --out."
        )
    try:
        sampling = Sampling(
            balance=config.balance,
            shares=config.shares or None,
            unit=config.unit,
            silence_db=config.silence_db,
            fraction=config.fraction,
        )
        source = CropSource(corpus, sampling, config.seed)
    except ValueError as error:
        raise UserError(f"{audio}: {error}") from error
    check_audible(source)
    # JSON knows no tuples: what was read compares with what would be written.
    drawn = json.loads(
        json.dumps([corpus.sha256, asdict(sampling), config.seed, config.convention])
    )
    if known.get("measured_on") == drawn:
        statistics = Statistics(**known["statistics"])
    else:
        say("measuring the statistics of the log-mel spectrograms")
        statistics = measure(source, config.convention)
    description = describe(source)
    content = {
        "description": description,
        "sha256": corpus.sha256,
        "hours": corpus.hours_by_kind(),
        "sounds": len(corpus),
        "skipped": dict(corpus.skipped),
        "statistics": asdict(statistics),
        "measured_on": drawn,
    }
    if known != content and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    say(f"{description}; log-mel {statistics.mean:.3f} ± {statistics.std:.3f}")
    return Prepared(source, statistics, description, corpus.sha256)


def find_sounds(audio: Path, say: Callable[[str], None]) -> AudioCorpus:
    """Scan the audio, remembering its headers; `say` is told how far it is and what is skipped.

    Raises:
        UserError: see `corpus.scan`.
    """
    corpus = scan(audio, progress=_progress(say), memory=_memory(audio))
    told = tell_skipped(corpus.skipped)
    for line in told[:_NAMED]:
        say(f"skipped {line}")
    if len(told) > _NAMED:
        say("others were skipped for other reasons; all are in corpus.json")
    return corpus


@torch.no_grad()
def measure(source: CropSource, convention: str) -> Statistics:
    """Statistics of the log-mel of the stream's first crops, of one epoch at the most.

    Raises:
        UserError: the spectrograms do not vary.
    """
    front = LogMel(convention)
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, min(STATISTICS_CROPS, source.epoch_size), _PIECE):
        stop = min(start + _PIECE, STATISTICS_CROPS, source.epoch_size)
        bins = front.log_mel(source.crops(range(start, stop))).double()
        count += bins.numel()
        total += float(bins.sum())
        squares += float(bins.square().sum())
    variance = squares / count - (total / count) ** 2
    if variance < 1e-6:
        raise UserError("the audio's spectrograms do not vary: is it all one steady sound?")
    return Statistics(float(f"{total / count:.7g}"), float(f"{variance**0.5:.7g}"))


def _read(record: Path) -> dict[str, Any]:
    if not record.is_file():
        return {}
    try:
        content = json.loads(record.read_text("utf-8"))
    except ValueError:  # no JSON, or no text
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{record} is damaged: delete it, and the audio is measured again.")
    return content


def describe(source: CropSource) -> str:
    """Kinds and lengths of the sounds that crops are taken from, in a line.

    Of many kinds those with the most audio are named.
    """
    corpus, items = source.corpus, source.items
    seconds = np.bincount(corpus.kind[items], corpus.durations()[items], len(corpus.kinds))
    kinds = [(kind or "audio", total) for kind, total in zip(corpus.kinds, seconds) if total]
    told, before = kinds, ""
    if len(kinds) > _KINDS:
        before = f"{len(kinds)} kinds, {duration(seconds.sum())}: "
        kinds.sort(key=lambda each: -each[1])
        told, others = kinds[:_NAMED], kinds[_NAMED:]
        told.append((f"{len(others)} others", sum(total for _, total in others)))
    lengths = ", ".join(f"{kind} {duration(total)}" for kind, total in told)
    return f"{before}{lengths}; {len(items)} sounds"


def duration(seconds: float) -> str:
    """A length of audio in hours, below one in minutes, below one of these in seconds."""
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _memory(audio: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hear-byola"
    name = sha256(os.fsencode(audio.resolve())).hexdigest()[:16]
    return cache / "corpora" / name


def _progress(say: Callable[[str], None]) -> Callable[[int, int, int], None]:
    """Tell every few seconds how far a scan is; one that is quick is not spoken of."""
    began = last = time.monotonic()

    def progress(done: int, total: int, sounds: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LINE_EVERY or (done == total and last > began):
            last = now
            say(f"scanned {done:,} of {total:,} files, {sounds:,} sounds")

    return progress
