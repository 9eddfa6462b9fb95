"""Write small HEAR task directories of every kind, with learnable labels, in milliseconds.

    directory = task_directories.make_task(tmp_path, "scene", n=12, rates=(16000, 48000))

Kinds (``n`` clips a split; labels differ by the frequency of a tone, so log-mel statistics
separate them):

=============  ========================================================================
``scene``      multiclass, train/valid/test, four scores
``kfold``      multiclass, new_split_kfold
``multilabel`` one to three tones per clip, train/valid/test
``pitch``      multiclass, labels are JSON numbers, pitch_acc and chroma_acc
``events``     event, multilabel, train/valid/test
``notes``      event, k-fold, set up like MAESTRO: early stopping on the loss, its own grids
=============  ========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

KINDS = ("scene", "kfold", "multilabel", "pitch", "events", "notes")

EVALUATION = {
    "scene": ["top1_acc", "mAP", "d_prime", "aucroc"],
    "kfold": ["top1_acc"],
    "multilabel": ["mAP", "d_prime", "aucroc"],
    "pitch": ["pitch_acc", "chroma_acc"],
    "events": ["event_onset_200ms_fms", "segment_1s_er"],
    "notes": ["event_onset_50ms_fms", "event_onset_offset_50ms_20perc_fms"],
}
CLASSES = {"scene": 4, "kfold": 3, "multilabel": 4, "pitch": 12, "events": 3, "notes": 4}
SECONDS = {"scene": 1.0, "kfold": 1.0, "multilabel": 1.0, "pitch": 1.0, "events": 4.0, "notes": 3.0}
NOTES_PARAMS = {
    "event_postprocessing_grid": {"median_filter_ms": [150], "min_duration": [50]},
    "task_specific_param_grid": {"max_epochs": [50], "check_val_every_n_epoch": [1]},
}


def make_task(
    root: Path,
    kind: str,
    *,
    n: int | Mapping[str, int] = 12,
    seconds: float | None = None,
    rates: Sequence[int] = (16000,),
    seed: int = 0,
    classes: int | Sequence[str | int] | None = None,
    folds: int = 3,
    name: str = "",
    **metadata: Any,
) -> Path:
    """Write one task under ``root`` and return its directory.

    ``n`` is the number of clips per split, or a mapping from split to number; ``classes`` is the
    number of labels or the labels themselves. Other keywords add or override metadata keys.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {KINDS}")
    length = SECONDS[kind] if seconds is None else seconds
    labels = label_names(kind, classes)
    splits = (
        [f"fold{i:02d}" for i in range(folds)]
        if kind in ("kfold", "notes")
        else ["train", "valid", "test"]
    )
    sizes = dict(n) if isinstance(n, Mapping) else dict.fromkeys(splits, n)
    event = kind in ("events", "notes")
    content: dict[str, Any] = {
        "task_name": name or f"tiny_{kind}",
        "version": "v1",
        "mode": "full",
        "embedding_type": "event" if event else "scene",
        "prediction_type": "multilabel" if event or kind == "multilabel" else "multiclass",
        "split_mode": "trainvaltest" if "train" in splits else "new_split_kfold",
        "splits": splits,
        "sample_duration": length,
        "evaluation": EVALUATION[kind],
        "download_urls": [],
        "tmp_dir": "_workdir",
    }
    if "train" not in splits:
        content["nfolds"] = folds
    if kind == "notes":
        content["use_scoring_for_early_stopping"] = False
        content["evaluation_params"] = NOTES_PARAMS
    content.update(metadata)
    directory = root / f"{content['task_name']}-{content['version']}-{content['mode']}"
    directory.mkdir(parents=True)
    (directory / "task_metadata.json").write_text(json.dumps(content, indent=1))
    write_vocabulary(directory, labels)
    frequencies = dict(zip(labels, tone_frequencies(kind, labels), strict=True))
    for index, split in enumerate(splits):
        rng = np.random.default_rng([seed, KINDS.index(kind), index])
        truth: dict[str, list[Any]] = {}
        for i in range(sizes[split]):
            clip = f"{split}-{i:04d}.wav"
            truth[clip] = draw_truth(rng, kind, labels, i, length)
            tones = tones_of(truth[clip], frequencies, length, event)
            write_tones(directory, rates, split, clip, tones, length, rng)
        (directory / f"{split}.json").write_text(json.dumps(truth, indent=1))
    return directory


def label_names(kind: str, classes: int | Sequence[str | int] | None) -> list[str | int]:
    if classes is not None and not isinstance(classes, int):
        return list(classes)
    count = CLASSES[kind] if classes is None else classes
    if kind in ("pitch", "notes"):
        return [60 + i for i in range(count)]
    return [f"class{i:02d}" for i in range(count)]


def tone_frequencies(kind: str, labels: Sequence[str | int]) -> list[float]:
    """Return frequencies in Hz: of the notes for MIDI labels, else from 200 to 4,000 Hz."""
    if kind in ("pitch", "notes") and all(isinstance(label, int) for label in labels):
        return [440.0 * 2 ** ((int(label) - 69) / 12) for label in labels]
    return [float(f) for f in np.geomspace(200.0, 4000.0, max(len(labels), 2))][: len(labels)]


def draw_truth(
    rng: np.random.Generator, kind: str, labels: Sequence[str | int], i: int, seconds: float
) -> list[Any]:
    """Return the truth of clip ``i`` for the split file; labels take turns, so none is absent."""
    if kind == "multilabel":
        others = rng.permutation(len(labels))[: int(rng.integers(0, 3))]
        return [labels[k] for k in sorted({i % len(labels), *others.tolist()})]
    if kind not in ("events", "notes"):
        return [labels[i % len(labels)]]
    slot = 1000.0
    return [
        {
            "label": labels[(i + k) % len(labels)],
            "start": round(k * slot + rng.uniform(50, 350), 3),
            "end": round(k * slot + rng.uniform(600, 900), 3),
        }
        for k in range(int(seconds * 1000 // slot))
    ]


def tones_of(
    truth: Iterable[Any], frequencies: Mapping[Any, float], seconds: float, event: bool
) -> list[tuple[float, float, float]]:
    """Return the tones of a clip as (frequency in Hz, start in s, end in s)."""
    if event:
        return [(frequencies[e["label"]], e["start"] / 1e3, e["end"] / 1e3) for e in truth]
    return [(frequencies[label], 0.0, seconds) for label in truth]


def write_tones(
    directory: Path,
    rates: Sequence[int],
    split: str,
    clip: str,
    tones: Sequence[tuple[float, float, float]],
    seconds: float,
    rng: np.random.Generator,
) -> None:
    """Write a clip at every rate: tones of random phase and level over quiet noise."""
    drawn = [(*tone, rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.3)) for tone in tones]
    noise_seed = int(rng.integers(2**31))
    for rate in rates:
        t = np.arange(round(seconds * rate)) / rate
        audio = 0.01 * np.random.default_rng(noise_seed).standard_normal(len(t))
        for frequency, start, end, phase, level in drawn:
            audio += level * np.sin(2 * np.pi * frequency * t + phase) * ((t >= start) & (t < end))
        write_wav(directory / str(rate) / split / clip, audio, rate)


def write_wav(path: Path, audio: np.ndarray, rate: int) -> None:
    """Write a 16-bit wav; ``audio`` is (samples,) or (samples, channels) in [-1, 1]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(audio, -1, 1), rate, subtype="PCM_16")


def write_vocabulary(directory: Path, labels: Sequence[str | int]) -> None:
    rows = "".join(f"{i},{label}\n" for i, label in enumerate(labels))
    (directory / "labelvocabulary.csv").write_text("idx,label\n" + rows)


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Rewrite a JSON file with the value that ``change`` returns or changes in place."""
    content = json.loads(path.read_text())
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed, indent=1))


def edit_metadata(directory: Path, **changes: Any) -> None:
    """Set metadata keys; a value of ``...`` removes the key."""

    def change(metadata: dict[str, Any]) -> None:
        for key, value in changes.items():
            if value is ...:
                metadata.pop(key, None)
            else:
                metadata[key] = value

    edit_json(directory / "task_metadata.json", change)
