"""Scan the audio of a run, and measure the statistics of its log-mel spectrograms."""

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
from pydantic import ConfigDict
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hear_byola.core import jsontext, schema
from hear_byola.core.errors import UserError
from hear_byola.core.pace import Pace, rough_duration
from hear_byola.core.userfolders import cache_folder
from hear_byola.frontend import LogMel
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.corpus import AudioCorpus, scan, tell_skipped
from hear_byola.pretraining.crops import CropSource, Sampling, check_audible
from hear_byola.pretraining.state import replacing

STATISTICS_CROPS = 10_000
"""Largest number of crops for the statistics (arXiv 2103.06695, section IV-A)."""

RECORD_VERSION = 1
"""Version of ``corpus.json``. Files without a version also lack ``audio``."""

_PIECE = 16
_NAMED = 5
_KINDS = 8  # largest number of kinds that are all listed
_LINE_EVERY = 5.0  # seconds between lines about the progress


class Statistics(schema.Schema):
    """Mean and standard deviation of log-mel spectrograms, over all bins of many crops."""

    mean: schema.Number
    std: schema.Number


class _CorpusRecord(schema.Schema):
    """The fields of the record that are read again."""

    model_config = ConfigDict(extra="ignore")

    description: str
    sha256: str
    statistics: Statistics


@dataclass(frozen=True)
class Prepared:
    """Audio that is ready for training.

    Attributes:
        source: the crops.
        statistics: statistics of their log-mel spectrograms.
        description: kinds and their lengths, in words.
        sha256: hash of the corpus (`AudioCorpus.sha256`).
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
    select: Callable[[AudioCorpus], AudioCorpus] = lambda corpus: corpus,
) -> Prepared:
    """Scan the audio, and measure the statistics of its log-mel spectrograms.

    Args:
        audio: a folder, list or tar file, see `corpus.scan`.
        config: config of the run.
        record: JSON file for the results; statistics of the same corpus and crops are read from it.
        say: called with messages.
        begun: whether a run on the recorded audio is being resumed.
        select: returns the part of the corpus to train on.

    Raises:
        UserError: no usable audio, only silence, shares that do not match the audio, or other audio
            than the run began with.
    """
    corpus = select(find_sounds(audio, say))
    known = _read(record)
    if begun and known and known["sha256"] != corpus.sha256:
        raise UserError(
            f"{record.parent} contains a run on other audio ({known['description']}; now "
            f"{len(corpus)} sounds). Give the same audio to resume it, or another --out."
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
    # JSON has no tuples; after a round trip the value compares with the recorded one.
    drawn = json.loads(
        json.dumps([corpus.sha256, asdict(sampling), config.seed, config.convention])
    )
    if known.get("measured_on") == drawn:
        statistics = Statistics(**known["statistics"])
    else:
        say("measuring the statistics of the log-mel spectrograms")
        statistics = measure(source, config.convention, say)
    description = describe(source)
    content = {
        "version": RECORD_VERSION,
        "audio": os.path.abspath(audio),
        "description": description,
        "sha256": corpus.sha256,
        "hours": corpus.hours_by_kind(),
        "sounds": len(corpus),
        "skipped": dict(corpus.skipped),
        "statistics": statistics.model_dump(),
        "measured_on": drawn,
    }
    if known != content and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    say(f"{description}; log-mel {statistics.mean:.3f} ± {statistics.std:.3f}")
    return Prepared(source, statistics, description, corpus.sha256)


def find_sounds(audio: Path, say: Callable[[str], None]) -> AudioCorpus:
    """Scan the audio, remember its headers, and report progress and skipped files to `say`.

    Raises:
        UserError: as `corpus.scan`.
    """
    corpus = scan(audio, progress=_progress(say), memory=_memory(audio))
    told = tell_skipped(corpus.skipped)
    for line in told[:_NAMED]:
        say(f"skipped {line}")
    if len(told) > _NAMED:
        say("more files were skipped for other reasons; corpus.json lists all of them")
    return corpus


@torch.no_grad()
def measure(source: CropSource, convention: str, say: Callable[[str], None]) -> Statistics:
    """Return log-mel statistics of the first crops of the stream, of at most one epoch.

    Args:
        source: the crops.
        convention: mel filterbank.
        say: called with the progress every few seconds.

    Raises:
        UserError: the spectrograms do not vary.
    """
    front = LogMel(convention)
    count, total, squares = 0, 0.0, 0.0
    most = min(STATISTICS_CROPS, source.epoch_size)
    pace, began = Pace(_LINE_EVERY), time.monotonic()
    for start in range(0, most, _PIECE):
        stop = min(start + _PIECE, most)
        bins = front.log_mel(source.crops(range(start, stop))).double()
        count += bins.numel()
        total += float(bins.sum())
        squares += float(bins.square().sum())
        if pace.due():
            left = rough_duration((time.monotonic() - began) / stop * (most - stop))
            say(f"measured {stop:,} of {most:,} crops, {left} left")
    variance = squares / count - (total / count) ** 2
    if variance < 1e-6:
        raise UserError(
            "the spectrograms of the audio do not vary. Give audio that is not one steady sound."
        )
    return Statistics(mean=float(f"{total / count:.7g}"), std=float(f"{variance**0.5:.7g}"))


def _read(record: Path) -> dict[str, Any]:
    if not record.is_file():
        return {}
    cure = "Delete it; the audio is then measured again."
    try:
        content = jsontext.load(record.read_text("utf-8"))
        schema.read(_CorpusRecord, content, str(record), ValueError)
    except ValueError as error:  # neither JSON nor text, or other fields
        raise UserError(f"{record} is damaged ({error}). {cure}") from error
    return content


def describe(source: CropSource) -> str:
    """Return kinds and lengths of the sounds of a stream in one line.

    Of more than eight kinds, the five with the most audio are listed.
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
    """Return a length of audio in hours, minutes or seconds, the largest unit that fits."""
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _memory(audio: Path) -> Path:
    name = sha256(os.fsencode(audio.resolve())).hexdigest()[:16]
    return cache_folder() / "corpora" / name


def _progress(say: Callable[[str], None]) -> Callable[[int, int, int], None]:
    """Return a callback that reports the progress of a scan every few seconds."""
    pace, told = Pace(_LINE_EVERY), False

    def progress(done: int, total: int, sounds: int) -> None:
        nonlocal told
        if pace.due() or (told and done == total):
            told = True
            say(f"scanned {done:,} of {total:,} files, {sounds:,} sounds")

    return progress
